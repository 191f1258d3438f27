"""All pairs as people write them: dense tensors, explicit edges, KeOps."""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, MessagePassing
from torch_geometric.utils import to_dense_batch

from pyg_relational.nn import PairwiseMLP, RelationAttentionConv
from pyg_relational.ops import additive_attention


def sequential(relation: PairwiseMLP) -> nn.Sequential:
    """Return the relation as the MLP on concatenated pairs that it stands for.

    Args:
        relation (PairwiseMLP): The relation; its weights are copied.
    """
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
    """Return KeOps' tensor class.

    Raises:
        ModuleNotFoundError: If `pykeops` is not installed.
    """
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
    over pairs to KeOps, and applies the last layer to sums.

    Args:
        relation (PairwiseMLP): The relation; its weights are shared.
    """
    last: Any
    (last,) = relation.lins

    def forward(x: Tensor) -> Tensor:
        out = keops_pair_sum(relation.lin_r(x), relation.lin_l(x))
        return F.linear(out, last.weight) + x.size(1) * last.bias

    return forward


def padded(model: Callable[..., Tensor], batch: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the model on objects `[N, F]` of sets of several sizes: padded, masked.

    Args:
        model (Callable): Takes `[B, N, F]` and a mask `[B, N]`.
        batch (torch.Tensor): The set of each object.
    """

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
