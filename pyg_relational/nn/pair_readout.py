from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import scatter, segment

from pyg_relational.nn.frames import Frames, pair_rows
from pyg_relational.nn.index_checks import check_pairs
from pyg_relational.nn.pairwise import PairwiseMLP


class PairReadout(nn.Module):
    r"""What pairs of nodes are to each other, from all frames that both are in.

    .. math::
        \mathbf{p}_{i,j} = \frac{1}{|T_{i,j}|} \sum_{t \in T_{i,j}}
        g(\mathbf{h}^{(t)}_i, \mathbf{h}^{(t)}_j), \quad
        \mathbf{c}_i = \sum_{k} g^{\prime}(\mathbf{p}_{i,k}), \quad
        \mathbf{y}_{i,j} = f(\mathbf{p}_{i,j}, \mathbf{c}_i, \mathbf{c}_j)

    The pairs of a graph are judged together: a pair hears from all asked pairs that
    start at one of its ends. So what would explain a pair can be explained away by
    another. A pair that never meets has :math:`\mathbf{p} = \mathbf{0}`.

    Args:
        in_channels (int): The width of a state.
        out_channels (int): The width of an answer.
        relation_channels (list of int): The widths of the layers of :math:`g`.
        head_channels (list of int): The widths of the hidden layers of :math:`f`; the
            first is also that of :math:`g^{\prime}`.
        act (str): The activation. (default: :obj:`"relu"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** states :math:`(O, H)` of the rows of
          :class:`~pyg_relational.nn.frames.Frames`, pairs of nodes :math:`(2, P)`
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If widths do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        relation_channels: Sequence[int],
        head_channels: Sequence[int],
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not head_channels:
            raise ValueError(
                "'head_channels' must name at least one layer, that of the pairs with "
                "the same end (got none)"
            )
        self.relation = PairwiseMLP(in_channels, relation_channels, act=act)
        width, hidden = self.relation.out_channels, head_channels[0]
        self.context = MLP([width, hidden], act=act, norm=None, plain_last=False)
        channels = [width + 2 * hidden, *head_channels, out_channels]
        self.head = MLP(channels, act=act, norm=None, dropout=dropout)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for part in (self.relation, self.context, self.head):
            part.reset_parameters()

    def forward(self, h: Tensor, frames: Frames, pairs: Tensor) -> Tensor:
        r"""Runs the forward pass.

        Args:
            h (torch.Tensor): States.
            frames (Frames): Whose they are, and when.
            pairs (torch.Tensor): The pairs to judge.
        """
        target, source = self.relation.project(h, h, ("h", "h"))
        check_pairs(pairs, "pairs", h, frames.row.size(0))
        (first, second), ptr = pair_rows(frames, pairs)
        met = self.relation.relate(target[first] + source[second])
        p = segment(met, ptr, "mean")
        nodes = frames.row.size(0)
        context = scatter(self.context(p), pairs[0], dim_size=nodes)
        ends = context[pairs]
        return self.head(torch.cat([p, ends[0], ends[1]], dim=-1))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.relation})"
