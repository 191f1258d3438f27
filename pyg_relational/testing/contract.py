"""What every relational part promises, as checks."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.nn.checks import forward_arguments
from pyg_relational.ops import fully_connected_edges


def random_sets(
    sizes: Sequence[int],
    in_channels: int,
    u_dim: int | None = None,
    edge_dim: int | None = None,
    edges: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    r"""Makes a batch of sets (or graphs) with normally distributed features.

    Args:
        sizes (list of int): The number of objects of each set; zero is allowed.
        in_channels (int): The width of an object.
        u_dim (int, optional): The width of what a set shares, :obj:`u`.
            (default: :obj:`None`)
        edge_dim (int, optional): The width of edge features; implies :obj:`edges`.
            (default: :obj:`None`)
        edges (bool): Whether each set gets edges: each ordered pair with probability
            one half. (default: :obj:`False`)
        seed (int): The seed. (default: :obj:`0`)
        dtype (torch.dtype): The dtype of features. (default: :obj:`torch.float64`)
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    graphs = []
    for size in sizes:
        data = Data(x=normal(size, in_channels), num_nodes=size)
        if u_dim is not None:
            data.u = normal(1, u_dim)
        if edges or edge_dim is not None:
            pairs = fully_connected_edges(ptr=torch.tensor([0, size]))
            kept = torch.rand(pairs.size(1), generator=generator) < 0.5
            data.edge_index = pairs[:, kept]
            if edge_dim is not None:
                data.edge_attr = normal(data.edge_index.size(1), edge_dim)
        graphs.append(data)
    return Batch.from_data_list(graphs)


SIZES = (3, 1, 4, 2)


@dataclass(frozen=True)
class Part:
    r"""A layer or model, and how the checks may use it.

    Args:
        build (callable): Makes the part.
        output (str): What a row of the output belongs to: :obj:`"node"`,
            :obj:`"set"`, :obj:`"pair"` or :obj:`"sequence"` (of those that
            :obj:`length` counts).
        in_channels (int): The width of an object.
        u_dim (int, optional): The width of shared features. (default: :obj:`None`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        edges (bool): Whether the part is given edges. (default: :obj:`False`)
        naive (callable, optional): Computes the output by textbook loops from the part
            and a batch. (default: :obj:`None`)
        call (callable, optional): Runs the part on a batch; by default by the names of
            the arguments of its :meth:`forward`. (default: :obj:`None`)
        make (callable, optional): Makes a batch from sizes and a seed for parts whose
            input is not a set of rows. (default: :obj:`None`)
        compiles (bool): Whether :meth:`torch.compile` must take it in one graph.
            (default: :obj:`True`)
        empty (bool): Whether a set may be empty. (default: :obj:`True`)
    """

    build: Callable[[], nn.Module]
    output: Literal["node", "set", "pair", "sequence"]
    in_channels: int = 5
    u_dim: int | None = None
    edge_dim: int | None = None
    edges: bool = False
    naive: Callable[[nn.Module, Data], Tensor] | None = None
    call: Callable[[nn.Module, Data], Tensor] | None = None
    make: Callable[[tuple[int, ...], int], Batch] | None = None
    compiles: bool = True
    empty: bool = True

    def module(self, seed: int = 0) -> nn.Module:
        r"""Builds the part from a seed, in float64 and evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build().double().eval()

    def batch(self, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> Batch:
        r"""Makes a batch the part can take."""
        if self.make is not None:
            return self.make(sizes, seed)
        return random_sets(
            sizes, self.in_channels, self.u_dim, self.edge_dim, self.edges, seed
        )

    def run(self, module: nn.Module, data: Data) -> Tensor:
        r"""Runs the part on a batch or on a single graph."""
        if self.call is not None:
            return self.call(module, data)
        return module(**forward_arguments(module, data))

    def split(self, out: Tensor, data: Batch) -> list[Tensor]:
        r"""Cuts the output into those of the graphs of a batch."""
        if self.output == "set":
            return list(out.split(1))
        if self.output == "node":
            return list(out.split(data.ptr.diff().tolist()))
        if self.output == "sequence":
            return list(out.split(data._slice_dict["length"].diff().tolist()))
        owner = data.batch[_pairs(data)[1]]
        return [out[owner == s] for s in range(data.num_graphs)]


def check_sizes(part: Part) -> None:
    r"""No, one and many objects give finite outputs with the right number of rows."""
    module = part.module()
    batches: list[tuple[int, ...]] = [(1,), (7,), SIZES]
    if part.empty:
        batches += [(0,), (0, 0), (0, 3, 0, 1, 0)]
    for sizes in batches:
        data = part.batch(sizes)
        out = part.run(module, data)
        rows = {"set": len(sizes)}
        if part.output == "pair":
            rows["pair"] = _pairs(data).size(1)
        assert out.size(0) == rows.get(part.output, sum(sizes)), (sizes, out.shape)
        assert bool(out.isfinite().all()), f"sizes {sizes} give non-finite outputs"


def check_permutation(part: Part) -> None:
    r"""Renaming the objects of a set renames node outputs and changes nothing else."""
    module, data = part.module(), part.batch((5,))
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    moved = copy.copy(data)
    moved.x = data.x[order]
    if part.edges or part.edge_dim is not None:
        moved.edge_index = order.argsort()[data.edge_index]
    out, expected = part.run(module, moved), part.run(module, data)
    expected = expected[order] if part.output == "node" else expected
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)


def check_batch(part: Part) -> None:
    r"""A batch gives the same as its graphs one by one, and so do their gradients."""
    module, data = part.module(), part.batch()
    joint = part.split(part.run(module, data), data)
    for graph, rows in zip(data.to_data_list(), joint, strict=True):
        single = part.run(module, Batch.from_data_list([graph]))
        torch.testing.assert_close(rows, single, rtol=1e-9, atol=1e-9)
    data = _with_gradients(data)
    gradients = _gradients(part.split(part.run(module, data), data), data)
    for s, graph in enumerate(data.to_data_list()):
        alone = _with_gradients(Batch.from_data_list([graph]))
        expected = _gradients([part.run(module, alone)], alone)
        for name, value in expected.items():
            mine = gradients[name][owners_of(data, name) == s]
            torch.testing.assert_close(mine, value, rtol=1e-9, atol=1e-9)


def check_no_leak(part: Part) -> None:
    r"""Changing one graph leaves the others' outputs untouched, to the bit."""
    module, data = part.module(), part.batch()
    changed = copy.copy(data)
    for name in features_of(data):
        value = data[name].clone()
        value[owners_of(data, name) == 1] *= -1e6
        changed[name] = value
    before = part.split(part.run(module, data), data)
    after = part.split(part.run(module, changed), changed)
    for s in (0, 2, 3):
        assert torch.equal(before[s], after[s]), f"graph 1 leaks into graph {s}"


def check_naive(part: Part) -> None:
    r"""Values and gradients equal those of textbook loops in float64."""
    assert part.naive is not None, "the part names no textbook computation"
    results = []
    for compute in (part.run, part.naive):
        module, data = part.module(), _with_gradients(part.batch((4, 1, 3)))
        out = compute(module, data)
        out.square().sum().backward()
        leaves = dict(module.named_parameters())
        leaves |= {name: data[name] for name in features_of(data)}
        results.append((out, {k: _gradient(v, k) for k, v in leaves.items()}))
    (out, gradients), (expected, expected_gradients) = results
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    for name, value in expected_gradients.items():
        error = (gradients[name] - value).abs().max() / value.abs().max()
        assert error < 1e-9, f"the gradient of '{name}' is off by {error:.1e}"


def check_gradients(part: Part) -> None:
    r"""Every parameter gets a finite gradient that is not zero."""
    module, data = part.module(), part.batch((6, 5))
    part.run(module.train(), data).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert bool(_gradient(parameter, name).any()), f"'{name}': zero gradient"


def check_reset(part: Part) -> None:
    r"""Resetting with the same seed gives the same parameters, and all are reset."""
    module = part.module()
    states: list[list[Tensor]] = []
    for fill in (7.0, -3.0):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for parameter in module.parameters():
                parameter.fill_(fill)
            torch.manual_seed(5)
            reset = module.reset_parameters
            assert callable(reset), "the part has no 'reset_parameters'"
            reset()
        states.append([parameter.clone() for parameter in module.parameters()])
    for (name, _), first, second in zip(
        module.named_parameters(), *states, strict=True
    ):
        assert torch.equal(first, second), f"'{name}' is not reset"


def check_state_dict(part: Part) -> None:
    r"""A part that loads another's state gives the same outputs, to the bit."""
    first, second, data = part.module(seed=0), part.module(seed=1), part.batch()
    second.load_state_dict(first.state_dict())
    assert torch.equal(part.run(first, data), part.run(second, data))


def check_compile(part: Part) -> None:
    r"""It compiles into one graph, with the same values and gradients."""
    if not part.compiles:
        return
    torch.compiler.reset()
    module, data = part.module(), part.batch()
    expected = part.run(module, data)
    expected.square().sum().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    module.zero_grad(set_to_none=True)
    run = torch.compile(part.run, fullgraph=True, backend="aot_eager")
    out = run(module, data)
    out.square().sum().backward()
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    for parameter, value in zip(module.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, value, rtol=1e-9, atol=1e-9)


def check_autocast(part: Part) -> None:
    r"""Under bfloat16 autocast on a CPU, values stay near those in float32, and
    gradients are finite."""
    module, data = part.module().float(), part.batch()
    for name in features_of(data):
        if data[name].is_floating_point():
            data[name] = data[name].float()
    expected = part.run(module, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = part.run(module, data)
    error = ((out.float() - expected).norm() / expected.norm()).item()
    assert error < 0.05, f"autocast moves the output by {error:.1%}"
    out.float().square().sum().backward()
    for name, parameter in module.named_parameters():
        _gradient(parameter, name)


CHECKS: dict[str, Callable[[Part], None]] = {
    "sizes": check_sizes,
    "permutation": check_permutation,
    "batch": check_batch,
    "no_leak": check_no_leak,
    "naive": check_naive,
    "gradients": check_gradients,
    "reset": check_reset,
    "state_dict": check_state_dict,
    "compile": check_compile,
    "autocast": check_autocast,
}


def check_part(part: Part) -> None:
    r"""Runs all checks; raises an :class:`AssertionError` at the first that fails.

    Args:
        part (Part): The layer or model, and how to use it.
    """
    for check in CHECKS.values():
        check(part)


def _gradient(leaf: Tensor, name: str) -> Tensor:
    assert leaf.grad is not None, f"'{name}' gets no gradient"
    assert bool(leaf.grad.isfinite().all()), f"the gradient of '{name}' is not finite"
    return leaf.grad


def features_of(data: Data) -> list[str]:
    """The attributes of a batch that hold features."""
    return [name for name in ("x", "u", "edge_attr", "image") if name in data]


def _pairs(data: Data) -> Tensor:
    """The pairs that a part answers for."""
    return data["edge_label_index" if "edge_label_index" in data else "edge_index"]


def owners_of(data: Batch, name: str) -> Tensor:
    """The graph of each row of an attribute."""
    if name == "x":
        return data.batch
    if name == "edge_attr":
        return data.batch[data.edge_index[1]]
    return torch.arange(data.num_graphs)


def _with_gradients(data: Batch) -> Batch:
    data = copy.copy(data)
    for name in features_of(data):
        if data[name].is_floating_point():
            data[name] = data[name].detach().clone().requires_grad_()
    return data


def _gradients(outputs: list[Tensor], data: Batch) -> dict[str, Tensor]:
    loss = torch.stack([out.square().sum() for out in outputs]).sum()
    names = [name for name in features_of(data) if data[name].requires_grad]
    values = torch.autograd.grad(loss, [data[name] for name in names])
    return dict(zip(names, values, strict=True))
