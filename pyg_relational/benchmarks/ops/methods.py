"""The methods of a case, on the same objects and weights."""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, MessagePassing
from torch_geometric.utils import to_dense_batch

from pyg_relational.benchmarks.ops.cases import Case
from pyg_relational.nn import PairwiseMLP, RelationAttentionConv, RelationConv
from pyg_relational.ops import (
    additive_attention,
    fully_connected_edges,
    ptr_to_batch,
    relu_pair_sum,
)

# All pairs as people write them: dense tensors, explicit edges, KeOps.


def sequential(relation: PairwiseMLP) -> nn.Sequential:
    """Return the relation as the MLP on concatenated pairs that it stands for."""
    left, right = relation.lin_r, relation.lin_l
    first = nn.Linear(left.in_channels + right.in_channels, left.out_channels)
    pairs: list[tuple[Any, Any]]
    pairs = [(torch.cat([left.weight, right.weight], dim=1), left.bias)]
    pairs += [(lin.weight, lin.bias) for lin in relation.lins]
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(pairs):
        linear = nn.Linear(weight.size(1), weight.size(0)) if number else first
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[: -1 if relation.plain_last else None])


class TextbookRelation(nn.Module):
    """Repeats the objects to pairs, concatenates, applies the MLP, sums.

    Args:
        mlp (nn.Sequential): The MLP on pairs.
    """

    def __init__(self, mlp: nn.Sequential) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Relates objects `[B, N, F]`, of which `mask` `[B, N]` are there."""
        n = x.size(1)
        x_i = x.unsqueeze(2).expand(-1, -1, n, -1)
        x_j = x.unsqueeze(1).expand(-1, n, -1, -1)
        pairs = self.mlp(torch.cat([x_i, x_j], dim=-1))
        if mask is not None:
            pairs = pairs * mask[:, None, :, None]
        return pairs.sum(dim=2)


class EdgeRelation(MessagePassing):
    """`EdgeConv` with both ends instead of one end and the difference.

    Args:
        mlp (nn.Sequential): The MLP on pairs.
    """

    def __init__(self, mlp: nn.Sequential) -> None:
        super().__init__(aggr="sum")
        self.mlp = mlp

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Relates objects `[N, F]` along the edges."""
        return self.propagate(edge_index, x=x)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        """Relates the ends of each edge."""
        return self.mlp(torch.cat([x_i, x_j], dim=-1))


class TextbookAttention(nn.Module):
    """`GATConv` on the complete graph, over dense pairs.

    Args:
        conv (GATConv): The layer; its weights are shared.
    """

    def __init__(self, conv: GATConv) -> None:
        super().__init__()
        self.conv = conv

    def scores(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return target scores, source scores and values of each object and head."""
        # [*, F] -> [*, K, C]
        value = self.conv.lin(x).unflatten(-1, (self.conv.heads, -1))
        target = (value * self.conv.att_dst[0]).sum(dim=-1)
        return target, (value * self.conv.att_src[0]).sum(dim=-1), value

    def forward(self, x: Tensor) -> Tensor:
        """Attends among objects `[B, N, F]`."""
        target, source, value = self.scores(x)
        alpha = F.leaky_relu(target.unsqueeze(2) + source.unsqueeze(1), 0.2)
        out = torch.einsum("bijk,bjkc->bikc", alpha.softmax(dim=2), value)
        return out.flatten(-2) + self.conv.bias


class OperatorAttention(TextbookAttention):
    """The same layer on our operator.

    Args:
        conv (GATConv): The layer; its weights are shared.
        method (str): The method of the operator.
    """

    def __init__(self, conv: GATConv, method: str) -> None:
        super().__init__(conv)
        self.method = method

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> Tensor:
        """Attends among the objects `[N, F]` of each set."""
        out = additive_attention(*self.scores(x), ptr, ptr, method=self.method)
        return out.flatten(-2) + self.conv.bias


def dense_pair_sum(target: Tensor, source: Tensor) -> Tensor:
    """Sum over pairs of one set, `[N, H]` and `[M, H]`, all at once."""
    return torch.relu(target[:, None] + source).sum(dim=1)


def lazy_tensor() -> Any:
    """Return KeOps' tensor class."""
    # The libgomp of its kernels reads this when it is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    import pykeops

    pykeops.set_verbose(False)
    from pykeops.torch import LazyTensor

    return LazyTensor


def keops_pair_sum(target: Tensor, source: Tensor) -> Tensor:
    """Sum over pairs of each set, `[B, N, H]` and `[B, M, H]`, by KeOps."""
    lazy = lazy_tensor()
    pairs = lazy(target.unsqueeze(2)) + lazy(source.unsqueeze(1))
    return pairs.relu().sum(dim=2)


def keops_relation(relation: PairwiseMLP) -> Callable[[Tensor], Tensor]:
    """Return a relation with one hidden layer over `[B, N, F]` that leaves the sum
    over pairs to KeOps, and applies the last layer to sums."""
    last: Any
    (last,) = relation.lins

    def forward(x: Tensor) -> Tensor:
        out = keops_pair_sum(relation.lin_r(x), relation.lin_l(x))
        return F.linear(out, last.weight) + x.size(1) * last.bias

    return forward


def padded(model: Callable[..., Tensor], batch: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the model on objects `[N, F]` of sets of several sizes: padded, masked."""

    def forward(x: Tensor) -> Tensor:
        dense, mask = to_dense_batch(x, batch)
        return model(dense, mask)[mask]

    return forward


def gatv2(ours: RelationAttentionConv) -> GATv2Conv:
    """Return PyG's layer with the weights of ours, for complete edges."""
    score = ours.attention.score
    (width, _), heads = ours.attention.in_channels, ours.heads
    conv = GATv2Conv(width, ours.out_channels, heads, add_self_loops=False)
    weights = score.state_dict()
    # [K, C] -> [1, K, C]
    weights |= {"att": weights["att"][None], "bias": ours.bias}
    conv.load_state_dict(weights)
    return conv.to(weights["att"].device)


OURS = ("auto", "sorted", "tiled", "dense")
# What a user sees; ours are named by their method.
LABELS = {
    "textbook": "textbook dense",
    "compiled": "textbook dense, torch.compile",
    "edges": "PyG on complete edges",
    "keops": "KeOps",
    "argsort": "np.argsort of both operands",
    "matmul": "matrix multiply 4096 x 256 x 256",
    "square_matmul": "matrix multiply 2048 x 2048 x 2048",
    **{method: f"ours: {method}" for method in OURS},
}
# Yardsticks compute something else: they are timed, not compared.
YARDSTICKS = ("argsort", "matmul", "square_matmul")
MATMULS = {"matmul": (4096, 256, 256), "square_matmul": (2048, 2048, 2048)}
QUADRATIC = ("textbook", "compiled", "edges", "keops", "tiled", "dense")


@dataclass
class Problem:
    """The objects of a case and the weights that its methods share.

    Args:
        case (Case): The case.
        device (str): Where to compute.
        seed (int): Seed of objects and weights.
    """

    case: Case
    device: str
    seed: int
    leaves: list[Tensor] = field(init=False)
    ptr: Tensor = field(init=False)
    cotangent: Tensor = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        torch.manual_seed(self.seed)
        sizes = torch.tensor([0, *case.sizes])
        self.ptr = sizes.cumsum(0).to(self.device)
        number = int(self.ptr[-1])
        width, leaves, out = case.in_channels, 1, case.channels[-1]
        if case.kind == "pair_sum":
            width, leaves = out, 2
        if case.kind == "attention":
            out = case.channels[0] * case.channels[1]
            self.conv = GATConv(
                width, case.channels[1], case.channels[0], add_self_loops=False
            ).to(self.device)
        if case.kind == "mlp_attention":
            out = case.channels[0] * case.channels[1]
            self.scores = RelationAttentionConv(
                width, case.channels[1], case.channels[0], score="mlp"
            ).to(self.device)
        if case.kind == "relation":
            relation = PairwiseMLP(width, case.channels, plain_last=case.plain_last)
            self.layer = RelationConv(relation).to(self.device)
        self.leaves = [
            torch.randn(number, width, device=self.device, requires_grad=True)
            for _ in range(leaves)
        ]
        self.cotangent = torch.randn(number, out, device=self.device)

    def build(self, method: str) -> "Method":
        """Return a method, ready to be called."""
        if method in YARDSTICKS:
            return Method(self, _yardstick(method, self), [])
        make = {
            "relation": self._relation,
            "pair_sum": self._pair_sum,
            "attention": self._attention,
            "mlp_attention": self._mlp_attention,
        }[self.case.kind]
        call, module = make(method)
        return Method(self, call, [] if module is None else [*module.parameters()])

    @property
    def _batch(self) -> Tensor:
        return ptr_to_batch(self.ptr, self.leaves[0].size(0))

    def _relation(self, method: str) -> tuple[Callable[..., Tensor], nn.Module]:
        if method in OURS:
            layer = copy.deepcopy(self.layer)
            layer.method = method
            number = len(self.case.sizes)
            batch = self._batch if number > 1 else None
            return lambda x: layer(x, batch=batch, batch_size=number), layer
        relation = self.layer.nn
        if method == "keops":
            return self._sets(keops_relation(relation)), relation
        mlp = sequential(relation).to(self.device)
        if method == "edges":
            conv = EdgeRelation(mlp)
            edges = fully_connected_edges(ptr=self.ptr)
            return lambda x: conv(x, edges), conv
        module = TextbookRelation(mlp)
        run = torch.compile(module) if method == "compiled" else module
        if len(self.case.sets) > 1:
            return padded(run, self._batch), module
        return self._sets(run), module

    def _pair_sum(self, method: str) -> tuple[Callable[..., Tensor], None]:
        if method in OURS:
            return lambda a, b: relu_pair_sum(a, b, method=method), None
        if method == "keops":
            return lambda a, b: keops_pair_sum(a[None], b[None])[0], None
        run = dense_pair_sum
        return torch.compile(run) if method == "compiled" else run, None

    def _attention(self, method: str) -> tuple[Callable[..., Tensor], nn.Module]:
        if method in OURS:
            ours = OperatorAttention(self.conv, method)
            return lambda x: ours(x, self.ptr), self.conv
        if method == "edges":
            edges = fully_connected_edges(ptr=self.ptr)
            return lambda x: self.conv(x, edges), self.conv
        module: Any = TextbookAttention(self.conv)
        if method == "compiled":
            module = torch.compile(module)
        return self._sets(module), self.conv

    def _mlp_attention(self, method: str) -> tuple[Callable[..., Tensor], nn.Module]:
        if method in OURS:
            return self.scores, self.scores
        conv = gatv2(self.scores)
        edges = fully_connected_edges(ptr=self.ptr)
        return lambda x: conv(x, edges), conv

    def _sets(self, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        number = len(self.case.sizes)
        # [B * N, F] -> [B, N, F]: a view, as users of dense tensors hold it.
        return lambda x: run(x.unflatten(0, (number, -1))).flatten(0, 1)


@dataclass
class Method:
    """A method of a problem: forward, or forward and backward.

    Args:
        problem (Problem): The problem.
        call (Callable): Takes the leaves.
        parameters (list): What else is differentiated.
    """

    problem: Problem
    call: Callable[..., Any]
    parameters: list[nn.Parameter]

    def forward(self) -> Any:
        """Compute without gradients."""
        with torch.no_grad():
            return self.call(*self.problem.leaves)

    def train(self) -> list[Tensor]:
        """Compute, and differentiate by leaves and parameters."""
        leaves = self.problem.leaves
        out = self.call(*leaves)
        if not isinstance(out, Tensor) or not out.requires_grad:
            return []
        grads = torch.autograd.grad(
            out, [*leaves, *self.parameters], self.problem.cotangent
        )
        return [out.detach(), *grads[: len(leaves)]]


def needed_bytes(case: Case, method: str) -> int:
    """Return about how much memory forward and backward take beyond the objects."""
    if method not in ("textbook", "compiled", "edges", "dense"):
        return 0
    pairs = case.padded_pairs if method in ("textbook", "compiled") else case.pairs
    if "attention" in case.kind:
        heads, width = case.channels
        floats = 4 * heads + (4 * heads * width if method == "edges" else 0)
    else:
        # Inputs and activations are kept, and one gradient of each is alive.
        floats = 3 * sum(case.channels)
        if case.kind == "relation" and method != "dense":
            floats += (6 if method == "edges" else 4) * case.in_channels
    return 4 * pairs * floats


def _yardstick(method: str, problem: Problem) -> Callable[..., Any]:
    if method == "argsort":
        # Channels first, as a sort along memory wants them.
        arrays = [
            np.ascontiguousarray(x.detach().cpu().numpy().T) for x in problem.leaves
        ]
        return lambda *leaves: [array.argsort(axis=1) for array in arrays]
    n, k, m = MATMULS[method]
    left = torch.randn(n, k, device=problem.device)
    right = torch.randn(k, m, device=problem.device)
    return lambda *leaves: left @ right
