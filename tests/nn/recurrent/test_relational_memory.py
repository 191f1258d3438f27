import pytest
import torch
from torch import Tensor

from pyg_relational.nn import RelationalMemory, Unroll


def affine(x: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    bias = p.get(f"{name}.bias", 0.0)
    return (p[f"{name}.weight"] * x).sum(dim=1) + bias


def layer_norm(x: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    mean = x.sum() / x.numel()
    variance = ((x - mean) ** 2).sum() / x.numel()
    normal = (x - mean) / torch.sqrt(variance + 1e-5)
    return normal * p[f"{name}.weight"] + p[f"{name}.bias"]


def block(
    rows: list[Tensor], p: dict[str, Tensor], name: str, heads: int, layers: int
) -> list[Tensor]:
    width = rows[0].numel()
    size = width // heads
    qkv = [
        layer_norm(affine(r, p, f"{name}.lin_qkv"), p, f"{name}.norm_qkv") for r in rows
    ]
    out = []
    for i, row in enumerate(rows):
        heard = []
        for k in range(heads):
            q, key, value = (
                slice(part * width + k * size, part * width + (k + 1) * size)
                for part in range(3)
            )
            weights = [
                ((qkv[i][q] * qkv[j][key]).sum() / size**0.5).exp()
                for j in range(len(rows))
            ]
            said = [w * qkv[j][value] for j, w in enumerate(weights)]
            heard.append(sum(said) / sum(weights))
        row = layer_norm(row + torch.cat(heard), p, f"{name}.norm_attention")
        hidden = row
        for layer in range(layers):
            hidden = affine(hidden, p, f"{name}.mlp.lins.{layer}")
            if layer < layers - 1:
                hidden = hidden * (hidden > 0)
        out.append(layer_norm(row + hidden, p, f"{name}.norm_mlp"))
    return out


def naive_step(
    x: Tensor,
    slots: list[Tensor],
    p: dict[str, Tensor],
    heads: int,
    num_blocks: int,
    layers: int,
    gate: str,
    biases: tuple[float, float],
) -> list[Tensor]:
    """One step of one memory as its equations read, row by row and head by head."""
    z = affine(x, p, "lin_in")
    rows = [*slots, z]
    for b in range(num_blocks):
        rows = block(rows, p, f"blocks.{b}", heads, layers)
    rows.pop()
    if gate == "none":
        return rows
    new = []
    for slot, row in zip(slots, rows, strict=True):
        gates = affine(z, p, "lin_gate_in")
        gates = gates + affine(torch.tanh(slot), p, "lin_gate_memory")
        half = gates.numel() // 2
        take = 1 / (1 + torch.exp(-(gates[:half] + biases[0])))
        keep = 1 / (1 + torch.exp(-(gates[half:] + biases[1])))
        new.append(take * torch.tanh(row) + keep * slot)
    return new


def gradients(loss: Tensor, x: Tensor, p: dict[str, Tensor]) -> dict[str, Tensor]:
    values = torch.autograd.grad(loss, [x, *p.values()])
    return dict(zip(["x", *p], values, strict=True))


@pytest.mark.parametrize("gate", ["unit", "memory", "none"])
@pytest.mark.parametrize(
    ("slots", "heads", "size", "num_blocks", "layers", "biases"),
    [
        (3, 2, 4, 1, 2, (0.0, 1.0)),
        (5, 1, 3, 2, 2, (0.3, -0.7)),
        (1, 3, 2, 1, 3, (0, 0)),
    ],
)
def test_it_is_its_equations(gate, slots, heads, size, num_blocks, layers, biases):
    torch.manual_seed(0)
    memory = RelationalMemory(
        4,
        slots,
        heads,
        size,
        num_blocks,
        layers,
        gate,
        input_bias=biases[0],
        forget_bias=biases[1],
    ).double()
    with torch.no_grad():
        for parameter in memory.parameters():
            # Norms start as the identity, which would hide their weights.
            parameter.add_(0.1 * torch.randn_like(parameter))
    p = dict(memory.named_parameters())
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    state = None
    for t in range(3):
        state = memory(x[:, t], state)
    expected = []
    for sample in x:
        # The identity: cut where there are more slots than units, else padded.
        rows = torch.zeros(slots, heads * size, dtype=torch.float64)
        for d in range(min(slots, heads * size)):
            rows[d, d] = 1.0
        rows = list(rows)
        for step in sample:
            rows = naive_step(step, rows, p, heads, num_blocks, layers, gate, biases)
        expected.append(torch.stack(rows))
    expected = torch.stack(expected)
    torch.testing.assert_close(state, expected, rtol=1e-10, atol=1e-10)

    weight = torch.randn_like(expected)
    got = gradients((state * weight).sum(), x, p)
    for name, value in gradients((expected * weight).sum(), x, p).items():
        torch.testing.assert_close(
            got[name], value, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize(("slots", "width"), [(2, 4), (3, 3), (5, 3)])
def test_it_starts_as_the_identity_padded_or_cut(slots, width):
    memory = RelationalMemory(2, slots, 1, width)
    state = memory.initial_state(torch.zeros(7, 2))
    assert state.shape == (7, slots, width)
    expected = torch.eye(max(slots, width))[:slots, :width]
    assert all(torch.equal(one, expected) for one in state)
    x = torch.randn(7, 2)
    assert torch.equal(memory(x), memory(x, state))


def test_gates_have_the_size_their_name_says():
    sizes = {
        gate: RelationalMemory(2, 5, 2, 3, gate=gate).lin_gate_memory
        for gate in ("unit", "memory", "none")
    }
    assert sizes["unit"].weight.shape == (12, 6)
    assert sizes["memory"].weight.shape == (2, 6)
    assert sizes["none"] is None


@pytest.mark.parametrize("gate", ["unit", "memory"])
def test_a_shut_input_gate_and_an_open_forget_gate_keep_the_memory(gate):
    torch.manual_seed(0)
    memory = RelationalMemory(
        2, 3, 1, 4, gate=gate, forget_bias=1e4, input_bias=-1e4
    ).double()
    state = torch.randn(5, 3, 4, dtype=torch.float64)
    kept = memory(torch.randn(5, 2, dtype=torch.float64), state)
    assert torch.equal(kept, state)
    wiped = RelationalMemory(2, 3, 1, 4, gate=gate, forget_bias=-1e4, input_bias=-1e4)
    wiped = wiped.double()(torch.randn(5, 2, dtype=torch.float64), state)
    assert not wiped.any()


def test_memories_of_a_batch_are_apart_and_slots_are_exchangeable():
    torch.manual_seed(0)
    memory = RelationalMemory(2, 4, 2, 3, num_blocks=2).double()
    x, state = torch.randn(6, 2).double(), torch.randn(6, 4, 6).double()
    out = memory(x, state)
    single = torch.cat([memory(x[b : b + 1], state[b : b + 1]) for b in range(6)])
    torch.testing.assert_close(out, single, rtol=1e-12, atol=1e-12)
    order = torch.tensor([2, 0, 3, 1])
    moved = memory(x, state[:, order])
    torch.testing.assert_close(moved, out[:, order], rtol=1e-12, atol=1e-12)


def test_it_learns_to_recall_the_first_input_of_a_series():
    torch.manual_seed(0)
    memory = RelationalMemory(1, 2, 2, 8)
    run, read = Unroll(memory), torch.nn.Linear(2 * 16, 1)
    assert str(memory) == "RelationalMemory(1, slots=2, out_channels=16, gate='unit')"
    optimizer = torch.optim.Adam([*run.parameters(), *read.parameters()], lr=5e-3)
    for _ in range(200):
        x = torch.rand(64, 5, 1) * 2 - 1
        answer = read(run(x)[0][:, -1].flatten(1))
        loss = (answer - x[:, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # A guess of zero costs 1/3.
    assert loss < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, r"'slots' must be at least 1 \(got 0\)"),
        ({"heads": 0}, "'heads' must be at least 1"),
        ({"head_channels": -1}, "'head_channels' must be at least 1"),
        ({"num_blocks": 0}, "'num_blocks' must be at least 1"),
        ({"mlp_layers": 0}, "'mlp_layers' must be at least 1"),
        ({"in_channels": 0}, "'in_channels' must be at least 1"),
        ({"gate": "units"}, "'gate' must be one of .*did you mean 'unit'"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    defaults = {"in_channels": 2, "slots": 3, "heads": 2, "head_channels": 4}
    with pytest.raises(ValueError, match=message):
        RelationalMemory(**{**defaults, **options})


@pytest.mark.parametrize(
    ("x", "state", "error", "message"),
    [
        (torch.zeros(5, 3), None, ValueError, "'x' must have 2 features"),
        (torch.zeros(5, 7, 2), None, ValueError, r"one step.*'Unroll\(cell\)'"),
        (torch.full((5, 2), torch.nan), None, ValueError, "'x' must be finite"),
        (torch.zeros(5, 2).long(), None, ValueError, "'x' must be floating point"),
        (torch.zeros(5, 2), [0.0], TypeError, r"'state' must be a tensor \(got list"),
        (
            torch.zeros(5, 2),
            torch.zeros(4, 3, 8),
            ValueError,
            r"'state' must have shape \[5, 3, 8\].*got \[4, 3, 8\]",
        ),
        (
            torch.zeros(5, 2),
            torch.full((5, 3, 8), torch.inf),
            ValueError,
            "'state' must be finite",
        ),
    ],
)
def test_bad_inputs_name_the_argument(x, state, error, message):
    with pytest.raises(error, match=message):
        RelationalMemory(2, 3, 2, 4)(x, state)
