"""The methods of a case, on the same objects and weights."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from pyg_relational.benchmarks.ops import baselines
from pyg_relational.benchmarks.ops.cases import Case
from pyg_relational.nn import PairwiseMLP, RelationAttentionConv, RelationConv
from pyg_relational.ops import fully_connected_edges, ptr_to_batch, relu_pair_sum

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
        """Return a method, ready to be called.

        Args:
            method (str): One of the case's methods.

        Raises:
            ModuleNotFoundError: If the method's package is not installed.
        """
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
            return self._sets(baselines.keops_relation(relation)), relation
        mlp = baselines.sequential(relation).to(self.device)
        if method == "edges":
            conv = baselines.EdgeRelation(mlp)
            edges = fully_connected_edges(self.ptr)
            return lambda x: conv(x, edges), conv
        module = baselines.TextbookRelation(mlp)
        run = torch.compile(module) if method == "compiled" else module
        if len(self.case.sets) > 1:
            return baselines.padded(run, self._batch), module
        return self._sets(run), module

    def _pair_sum(self, method: str) -> tuple[Callable[..., Tensor], None]:
        if method in OURS:
            return lambda a, b: relu_pair_sum(a, b, method=method), None
        if method == "keops":
            return lambda a, b: baselines.keops_pair_sum(a[None], b[None])[0], None
        run = baselines.dense_pair_sum
        return torch.compile(run) if method == "compiled" else run, None

    def _attention(self, method: str) -> tuple[Callable[..., Tensor], nn.Module]:
        if method in OURS:
            ours = baselines.OperatorAttention(self.conv, method)
            return lambda x: ours(x, self.ptr), self.conv
        if method == "edges":
            edges = fully_connected_edges(self.ptr)
            return lambda x: self.conv(x, edges), self.conv
        module: Any = baselines.TextbookAttention(self.conv)
        if method == "compiled":
            module = torch.compile(module)
        return self._sets(module), self.conv

    def _mlp_attention(self, method: str) -> tuple[Callable[..., Tensor], nn.Module]:
        if method in OURS:
            return self.scores, self.scores
        conv = baselines.gatv2(self.scores)
        edges = fully_connected_edges(self.ptr)
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
        """Compute, and differentiate by leaves and parameters.

        Returns:
            list[torch.Tensor]: The result and the gradients of the leaves.
        """
        leaves = self.problem.leaves
        out = self.call(*leaves)
        if not isinstance(out, Tensor) or not out.requires_grad:
            return []
        grads = torch.autograd.grad(
            out, [*leaves, *self.parameters], self.problem.cotangent
        )
        return [out.detach(), *grads[: len(leaves)]]


def needed_bytes(case: Case, method: str) -> int:
    """Return about how much memory forward and backward take beyond the objects.

    Args:
        case (Case): The case.
        method (str): The method; those that never list the pairs need next to none.
    """
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
