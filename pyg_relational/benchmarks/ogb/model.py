"""Body, readout and head, with equally many parameters whatever the readout."""

from bisect import bisect_left
from functools import cache

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr import (
    Aggregation,
    DeepSetsAggregation,
    MeanAggregation,
    Set2Set,
    SetTransformerAggregation,
    SumAggregation,
)
from torch_geometric.utils import degree

from pyg_relational.benchmarks.ogb.body import MoleculeBody
from pyg_relational.benchmarks.ogb.settings import Size
from pyg_relational.nn.aggr import RelationAggregation, RelationAttentionAggregation
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.train.fit import count_parameters

# How far the number of parameters may be from that of the readout `sum`.
TOLERANCE = 0.05


class MoleculeModel(nn.Module):
    r"""A graph network with a readout.

    The body's vectors of a molecule's atoms become one by the readout, and the answers
    by a linear layer; of `relation`, `relation-attention` and `mlp-sum` by an MLP with
    one hidden layer, the outer function of relation networks.

    Args:
        body (str): :obj:`"gin"` or :obj:`"gcn"`.
        readout (str): One of :obj:`READOUTS`.
        channels (int): The width of all layers.
        num_tasks (int): The number of answers.
        size (Size): Layers and dropout.

    Shapes:
        - **input:** as for :class:`MoleculeBody`
        - **output:** :math:`(B, T)`
    """

    def __init__(
        self, body: str, readout: str, channels: int, num_tasks: int, size: Size
    ) -> None:
        super().__init__()
        self.body = MoleculeBody(
            body, channels, size.layers, size.dropout, readout == "virtual-node"
        )
        self.readout = build_readout(readout, channels, size.heads)
        if readout in ("relation", "relation-attention", "mlp-sum"):
            widths = [channels, channels, num_tasks]
            self.head: nn.Module = MLP(widths, norm=None)
        else:
            width = 2 * channels if readout == "set2set" else channels
            self.head = nn.Linear(width, num_tasks)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        batch: Tensor,
        batch_size: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        h = self.body(x, edge_index, edge_attr, batch, batch_size)
        return self.head(self.readout(h, index=batch, dim_size=batch_size))


class RelationPerNode(Aggregation):
    r"""Sums a relation over all pairs of a set, divided by the number of its nodes.

    .. math::
        \mathbf{x}^{\prime}_s = \frac{1}{|s|} \sum_{i, j \in s}
        g(\mathbf{x}_i, \mathbf{x}_j)

    Divided so that a relation that does not look at one end is a sum over nodes: the
    control `mlp-sum` is that case. The plain sum grows with the square of the size.

    Args:
        nn (PairwiseMLP): The relation :math:`g`.

    Shapes:
        - **input:** nodes :math:`(N, F)`, set of each node :math:`(N)`
        - **output:** :math:`(B, F_{out})`
    """

    def __init__(self, nn: PairwiseMLP) -> None:
        super().__init__()
        self.relation = RelationAggregation(nn, reduce="mean")

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass."""
        assert index is not None
        # Over |s| squared pairs, so that this is the sum divided by |s|.
        mean = self.relation(x, index, dim_size=dim_size)
        return mean * degree(index, dim_size, mean.dtype).unsqueeze(1)


def build_readout(name: str, channels: int, heads: int) -> Aggregation:
    """Returns the readout of a name.

    Args:
        name (str): One of :obj:`READOUTS`.
        channels (int): The width of a node, and of the result except for `set2set`.
        heads (int): Attention heads, where there are any.
    """
    if name == "sum":
        return SumAggregation()
    if name in ("mean", "virtual-node"):
        return MeanAggregation()
    if name == "set2set":
        return Set2Set(channels, processing_steps=2)
    if name == "set-transformer":
        return SetTransformerAggregation(channels, heads=heads)
    if name == "mlp-sum":
        return DeepSetsAggregation(MLP([channels, channels, channels], norm=None))
    if name == "relation":
        nn = PairwiseMLP(channels, [channels, channels], plain_last=True)
        return RelationPerNode(nn)
    assert name == "relation-attention"
    nn = PairwiseMLP(channels, [channels, channels], plain_last=True)
    return RelationAttentionAggregation(channels, channels // heads, heads, nn=nn)


@cache
def matched_width(body: str, readout: str, num_tasks: int, size: Size) -> int:
    """Returns the width with which a model has as many parameters as with `sum`.

    The rule: all layers of body, readout and head have one width; it is that of the
    size for `sum`, and else the one whose number of parameters is nearest, among
    multiples of the number of heads where a readout has heads.

    Args:
        body (str): The body.
        readout (str): The readout.
        num_tasks (int): The number of answers.
        size (Size): The size.

    Raises:
        RuntimeError: No width comes near enough.
    """
    wanted = _parameters(body, "sum", size.width, num_tasks, size)
    step = size.heads if readout in ("set-transformer", "relation-attention") else 1
    widths = range(step, size.width + step, step)

    def count(width: int) -> int:
        return _parameters(body, readout, width, num_tasks, size)

    above = bisect_left(widths, wanted, key=count)
    near = widths[max(0, above - 1) : above + 1]
    best = min(near, key=lambda width: abs(count(width) - wanted))
    if abs(count(best) - wanted) > TOLERANCE * wanted:
        raise RuntimeError(
            f"No width gives {readout!r} within {TOLERANCE:.0%} of {wanted:,} "
            f"parameters; the nearest, {best}, has {count(best):,}."
        )
    return best


@cache
def _parameters(body: str, readout: str, width: int, num_tasks: int, size: Size) -> int:
    with torch.device("meta"):
        return count_parameters(MoleculeModel(body, readout, width, num_tasks, size))
