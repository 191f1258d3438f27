import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pyg_relational.nn import (
    PairwiseMLP,
    RelationalMemory,
    RelationGRUCell,
    RelationLSTMCell,
    Unroll,
)
from pyg_relational.ops import ptr_to_batch

CELLS = {
    "rnn": lambda: nn.RNNCell(3, 4),
    "gru": lambda: nn.GRUCell(3, 4),
    "lstm": lambda: nn.LSTMCell(3, 4),
    "relation_gru": lambda: RelationGRUCell(3, 4, PairwiseMLP(4, [5])),
    "relation_lstm": lambda: RelationLSTMCell(3, 4, PairwiseMLP(4, [5, 2]), "max"),
    "memory": lambda: RelationalMemory(3, 2, 2, 2),
}
GRAPHS = [name for name in CELLS if name.startswith("relation")]


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return CELLS[name]().double()


def parts(state) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else state


def same(got, expected) -> None:
    for a, b in zip(parts(got), parts(expected), strict=True):
        assert torch.equal(a, b)


def close(got, expected) -> None:
    for a, b in zip(parts(got), parts(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "run"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)]
)
def test_a_cell_of_torch_runs_as_its_layer(name, run):
    cell, x = build(name), torch.randn(6, 5, 3).double()
    layer = run(3, 4, batch_first=True).double()
    with torch.no_grad():
        for key, value in cell.named_parameters():
            getattr(layer, f"{key}_l0").copy_(value)
    outputs, state = Unroll(cell)(x)
    expected, last = layer(x)
    close(outputs, expected)
    close(state, tuple(s[0] for s in parts(last)))


@pytest.mark.parametrize("name", CELLS)
def test_it_calls_the_cell_step_by_step(name):
    cell, x = build(name), torch.randn(6, 3, 3).double()
    graph = {"batch": ptr_to_batch(torch.tensor([0, 2, 6]))} if name in GRAPHS else {}
    outputs, last = Unroll(cell)(x, **graph)
    state = None
    for t in range(3):
        state = cell(x[:, t], state, **graph)
        assert torch.equal(outputs[:, t], parts(state)[0])
    same(last, state)
    # With shared steps, all see the same input.
    outputs, last = Unroll(cell)(x[:, 0], steps=2, **graph)
    once = cell(x[:, 0], None, **graph)
    same(last, cell(x[:, 0], once, **graph))
    assert outputs.shape[:2] == (6, 2)
    assert torch.equal(outputs[:, 0], parts(once)[0])


@pytest.mark.parametrize("name", CELLS)
def test_two_halves_equal_the_whole(name):
    cell, x = build(name), torch.randn(6, 5, 3).double().requires_grad_()
    run = Unroll(cell)
    mask = torch.rand(6, 5) < 0.6
    for whole_mask in (None, mask):
        masks = [None] * 2 if whole_mask is None else [mask[:, :2], mask[:, 2:]]
        outputs, last = run(x, mask=whole_mask)
        first, state = run(x[:, :2], mask=masks[0])
        second, state = run(x[:, 2:], state, mask=masks[1])
        same(torch.cat([first, second], dim=1), outputs)
        same(state, last)
        got, expected = (
            torch.autograd.grad(sum(p.square().sum() for p in parts(s)), x)[0]
            for s in (state, last)
        )
        close(got, expected)
    _, half = run(x[:, 0], steps=2)
    same(run(x[:, 0], half, steps=3)[1], run(x[:, 0], steps=5)[1])


@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_who_is_absent_keeps_its_state_and_is_not_there(name, data):
    """Each step equals the cell on the present rows alone, and the rest is untouched
    to the bit."""
    cell = build(name)
    steps = data.draw(st.integers(1, 4))
    bits = data.draw(st.lists(st.booleans(), min_size=6 * steps, max_size=6 * steps))
    mask = torch.tensor(bits).view(6, steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, steps, 3, generator=generator).double()
    batch = torch.tensor([0, 0, 0, 1, 1, 2])
    edges = torch.tensor([[0, 1, 2, 2, 3, 4, 5], [1, 0, 0, 2, 4, 3, 5]])
    graph = {"batch": batch} if name in GRAPHS else {}
    if name in GRAPHS and data.draw(st.booleans()):
        graph["edge_index"] = edges
    # Nobody looks at the input of those who are absent.
    x[~mask] = torch.nan
    outputs, last = Unroll(cell)(x, mask=mask, **graph)

    if name == "memory":
        state = (torch.eye(2, 4).double().repeat(6, 1, 1),)
    else:
        state = (torch.zeros(6, 4).double(),) * (2 if "lstm" in name else 1)
    for t in range(steps):
        here = mask[:, t].nonzero()[:, 0].tolist()
        if here:
            part = tuple(s[here] for s in state)
            small = {"batch": batch[here]} if graph else {}
            if "edge_index" in graph:
                kept = [
                    [here.index(j), here.index(i)]
                    for j, i in edges.t().tolist()
                    if j in here and i in here
                ]
                small["edge_index"] = torch.tensor(kept).view(-1, 2).t().long()
            part = part if "lstm" in name else part[0]
            new = cell(x[here, t], part, **small)
            state = tuple(s.clone() for s in state)
            for s, n in zip(state, parts(new), strict=True):
                s[here] = n
        close(outputs[:, t], state[0])
        gone = ~mask[:, t]
        before = outputs[:, t - 1] if t else None
        if before is not None:
            assert torch.equal(outputs[gone, t], before[gone])
    close(last, state)


def test_edge_features_follow_their_edges_when_rows_are_absent():
    torch.manual_seed(0)
    cell = RelationGRUCell(3, 4, PairwiseMLP(4, [5], edge_dim=2, u_dim=1)).double()
    x = torch.randn(4, 1, 3).double()
    state = torch.randn(4, 4).double()
    edge_index = torch.tensor([[0, 1, 3, 2, 3], [1, 3, 0, 3, 2]])
    edge_attr, u = torch.randn(5, 2).double(), torch.randn(2, 1).double()
    batch = torch.tensor([0, 0, 0, 0])
    mask = torch.tensor([[True], [False], [True], [True]])
    options = {"edge_attr": edge_attr, "u": u, "batch": batch, "batch_size": 2}
    out, _ = Unroll(cell)(x, state, mask=mask, edge_index=edge_index, **options)
    here = [0, 2, 3]
    expected = cell(
        x[here, 0],
        state[here],
        torch.tensor([[2, 1, 2], [0, 2, 1]]),
        edge_attr[[2, 3, 4]],
        u,
        batch[here],
    )
    close(out[here, 0], expected)
    assert torch.equal(out[1, 0], state[1])


def test_no_gradient_crosses_a_step_of_absence_wrongly():
    """An absent row passes its gradient on, and its input gets none."""
    cell, x = build("gru"), torch.randn(2, 3, 3).double().requires_grad_()
    mask = torch.tensor([[True, False, False], [True, True, True]])
    outputs, _ = Unroll(cell)(x, mask=mask)
    (gradient,) = torch.autograd.grad(outputs[0, -1].sum(), x)
    assert gradient[0, 0].abs().min() > 0
    assert not gradient[0, 1:].any()
    assert not gradient[1].any()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("truncate", [1, 2, 3, 9])
def test_truncated_gradients_reach_so_many_steps_back(name, truncate):
    cell, x = build(name), torch.randn(3, 5, 3).double().requires_grad_()
    whole, _ = Unroll(cell)(x)
    outputs, state = Unroll(cell, truncate)(x)
    same(outputs, whole)
    loss = sum(part.square().sum() for part in parts(state))
    (gradient,) = torch.autograd.grad(loss, x)
    reached = gradient.abs().sum(dim=(0, 2)) > 0
    # Detached before steps k, 2k, ...: the last segment alone is reached.
    start = 4 // truncate * truncate
    assert reached.tolist() == [t >= start for t in range(5)]


def test_a_state_that_is_given_is_not_detached():
    cell = build("gru")
    state = torch.randn(3, 4).double().requires_grad_()
    x = torch.randn(3, 1, 3).double()
    _, last = Unroll(cell, truncate=1)(x, state)
    assert torch.autograd.grad(last.sum(), state)[0].any()


def test_it_resets_its_cell():
    run = Unroll(nn.GRUCell(3, 4), truncate=2)
    assert str(run) == "Unroll(cell=GRUCell(3, 4), truncate=2)"
    before = run.cell.weight_ih.clone()
    run.reset_parameters()
    assert not torch.equal(run.cell.weight_ih, before)


class Sum(nn.Module):
    """A cell that does not say how it starts."""

    def forward(self, x: Tensor, state: Tensor | None = None, scale=1.0) -> Tensor:
        return x if state is None else state + scale * x


def test_any_module_that_maps_a_state_to_the_next_is_a_cell():
    x = torch.randn(2, 4, 3)
    outputs, state = Unroll(Sum())(x, scale=2.0)
    expected = torch.cat([x[:, :1], 2 * x[:, 1:]], dim=1).cumsum(1)
    torch.testing.assert_close(outputs, expected)
    assert torch.equal(state, outputs[:, -1])
    mask = torch.rand(2, 4) < 0.5
    mask[0, 0] = False
    start = torch.zeros(2, 3)
    outputs, _ = Unroll(Sum())(x, start, mask=mask)
    torch.testing.assert_close(outputs, (x * mask[..., None]).cumsum(1))
    with pytest.raises(ValueError, match="Sum has no method 'initial_state"):
        Unroll(Sum())(x, mask=mask)


X = torch.zeros(2, 4, 3)
MASK = torch.zeros(2, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "steps": 4}, r"'steps' is for an 'x' of shape \[N, F\]"),
        ({"x": X[:, :0]}, r"at least one step.*got shape \[2, 0, 3\]"),
        ({"x": X[:, 0]}, "'steps' is missing"),
        ({"x": X[:, 0], "steps": 0}, r"'steps' must be at least 1 \(got 0\)"),
        ({"x": X[0, 0]}, r"'x' must have shape \[N, T, F\]"),
        ({"x": X[None]}, r"'x' must have shape .*got \[1, 2, 4, 3\]"),
        ({"x": X, "mask": MASK[:, :3]}, r"'mask' must be boolean of shape \[2, 4\]"),
        ({"x": X, "mask": MASK.float()}, "'mask' must be boolean .*float32"),
        ({"x": X[:, 0], "steps": 2, "mask": MASK}, "'mask' says who is present"),
        ({"x": X, "mask": MASK, "scale": 2}, "with 'mask' a cell may take.*'scale'"),
        ({"x": X, "state": torch.zeros(3, 4)}, "one row for each of the 2 rows"),
        ({"x": X, "state": (X[:, 0], X[0, :, 0])}, r"got shape \[4\]"),
    ],
)
def test_bad_inputs_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        Unroll(nn.GRUCell(3, 4))(**arguments)


@pytest.mark.parametrize("state", [0.0, [X[:, 0]], (), (X[:, 0], None)])
def test_states_of_the_wrong_kind(state):
    with pytest.raises(TypeError, match="'state' must be a tensor or a tuple"):
        Unroll(nn.GRUCell(3, 4))(X, state)


def test_truncation_takes_at_least_a_step():
    with pytest.raises(ValueError, match=r"'truncate' must be at least 1 or None"):
        Unroll(nn.GRUCell(3, 4), truncate=0)
