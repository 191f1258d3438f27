"""Temporal graphs as rows: one for each node and frame at which it is observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.nn import MLP
from torch_geometric.utils import scatter, segment

from pyg_relational.nn.checks import check_device, check_edges, check_pairs, check_range
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch
from pyg_relational.ops.checks import check_vector


@dataclass(frozen=True)
class Frames:
    r"""Who is observed when, as rows that are sorted by node, then by time.

    Args:
        node (torch.Tensor): The node of each row, :math:`[O]`.
        time (torch.Tensor): The frame of each row, :math:`[O]`.
        graph (torch.Tensor): The graph of each row, :math:`[O]`.
        seen (torch.Tensor): The nodes that are observed at all, :math:`[E]`.
        ptr (torch.Tensor): Boundaries of their rows, :math:`[E + 1]`.
        row (torch.Tensor): The row of each node and frame, -1 where it is absent,
            :math:`[N, T]`.
        node_ptr (torch.Tensor): Boundaries of the graphs' nodes, :math:`[B + 1]`.
        edge_index (torch.Tensor, optional): Edges between rows of one frame,
            :math:`[2, M]`; without them, all rows of a frame are related.
        edge_attr (torch.Tensor, optional): Their features, :math:`[M, D]`.
    """

    node: Tensor
    time: Tensor
    graph: Tensor
    seen: Tensor
    ptr: Tensor
    row: Tensor
    node_ptr: Tensor
    edge_index: Tensor | None
    edge_attr: Tensor | None

    def by_frame(self) -> tuple[Tensor, Tensor]:
        r"""Returns the rows frame by frame, :math:`[O]`, and the boundaries of the
        frames that are not empty."""
        frame = self.graph * max(1, self.row.size(1)) + self.time
        frame, order = frame.sort(stable=True)
        count = frame.unique_consecutive(return_counts=True)[1]
        return order, torch.cat([count.new_zeros(1), count.cumsum(0)])


def read_frames(
    x: Tensor,
    mask: Tensor | None = None,
    edge_index: Tensor | None = None,
    edge_time: Tensor | None = None,
    edge_attr: Tensor | None = None,
    batch: Tensor | None = None,
    batch_size: int | None = None,
) -> Frames:
    r"""Finds the rows and edges of all frames of a batch."""
    if x.dim() != 3:
        raise ValueError(f"'x' must have shape [N, T, F] (got {list(x.shape)})")
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"'mask' must be boolean of shape {list(x.shape[:2])} (got shape "
            f"{list(mask.shape)}, dtype {mask.dtype})"
        )
    check_device(mask, x.device, "mask", "'x'")
    check_edges(edge_index, edge_attr, x, x.size(0))
    node_ptr = set_ptr(batch, x.size(0), batch_size, x.device)
    node, time = mask.nonzero(as_tuple=True)
    row = torch.full(mask.shape, -1, device=x.device)
    row[node, time] = torch.arange(node.numel(), device=x.device)
    count = mask.sum(dim=1)
    (seen,) = count.nonzero(as_tuple=True)
    ptr = torch.cat([count.new_zeros(1), count[seen].cumsum(0)])
    edges = _edges(row, edge_index, edge_time, edge_attr)
    graph = ptr_to_batch(node_ptr, x.size(0))[node]
    return Frames(node, time, graph, seen, ptr, row, node_ptr, *edges)


def _edges(
    row: Tensor,
    edge_index: Tensor | None,
    edge_time: Tensor | None,
    edge_attr: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:
    """Edges between rows: each edge at each frame it is in."""
    if edge_index is None:
        if edge_time is not None:
            raise ValueError("'edge_time' needs 'edge_index', the edges it is of")
        return None, None
    if edge_time is None:
        # [2, E, T]
        ends = row[edge_index]
        edge, time = (ends >= 0).all(dim=0).nonzero(as_tuple=True)
        rows = ends[:, edge, time]
        return rows, None if edge_attr is None else edge_attr[edge]
    if edge_time.shape != edge_index.shape[1:] or edge_time.dtype != torch.long:
        raise ValueError(
            f"'edge_time' must name the frame of each of {edge_index.size(1)} edges "
            f"(got shape {list(edge_time.shape)}, dtype {edge_time.dtype})"
        )
    check_device(edge_time, row.device, "edge_time", "'x'")
    check_range(edge_time, row.size(1), "edge_time")
    rows = row[edge_index, edge_time]
    if not torch.compiler.is_compiling() and bool((rows < 0).any()):
        wrong = int((rows < 0).any(dim=0).nonzero()[0])
        raise ValueError(
            f"'edge_index' must join nodes that are observed at the frame of the edge "
            f"(got edge {wrong} between nodes {edge_index[:, wrong].tolist()} at "
            f"frame {int(edge_time[wrong])}); leave it out, or set 'mask' there"
        )
    return rows, edge_attr


def check_num_frames(num_frames: Tensor | None, x: Tensor, num_graphs: int) -> None:
    r"""Raises an error unless the frames of each graph are counted."""
    if num_frames is None:
        return
    check_vector(num_frames, "num_frames")
    check_device(num_frames, x.device, "num_frames", "'x'")
    if num_frames.numel() != num_graphs:
        raise ValueError(
            f"'num_frames' must have one number for each of {num_graphs} graphs (got "
            f"{num_frames.numel()})"
        )
    check_range(num_frames, x.size(1) + 1, "num_frames")


def pair_rows(frames: Frames, pairs: Tensor) -> tuple[Tensor, Tensor]:
    r"""Finds the frames that both ends of a pair of nodes are in."""
    # [2, P, T]
    ends = frames.row[pairs]
    together = (ends >= 0).all(dim=0)
    pair, together_at = together.nonzero(as_tuple=True)
    count = together.sum(dim=1)
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return ends[:, pair, together_at], ptr


class PairReadout(Composite):
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
        readout_channels (list of int): The widths of the hidden layers of :math:`f`;
            the first is also that of :math:`g^{\prime}`.
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
        readout_channels: Sequence[int],
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not readout_channels:
            raise ValueError(
                "'readout_channels' must name at least one layer, that of the pairs "
                "with the same end (got none)"
            )
        self.relation = PairwiseMLP(in_channels, relation_channels, act=act)
        width, hidden = self.relation.out_channels, readout_channels[0]
        self.context = MLP([width, hidden], act=act, norm=None, plain_last=False)
        channels = [width + 2 * hidden, *readout_channels, out_channels]
        self.head = MLP(channels, act=act, norm=None, dropout=dropout)

    def forward(self, h: Tensor, frames: Frames, edge_label_index: Tensor) -> Tensor:
        r"""Runs the forward pass.

        Args:
            h (torch.Tensor): States.
            frames (Frames): Whose they are, and when.
            edge_label_index (torch.Tensor): The pairs to judge.
        """
        target, source = self.relation.project(h, h, ("h", "h"))
        check_pairs(edge_label_index, "edge_label_index", h, frames.row.size(0))
        (first, second), ptr = pair_rows(frames, edge_label_index)
        met = self.relation.relate(target[first] + source[second])
        p = segment(met, ptr, "mean")
        nodes = frames.row.size(0)
        context = scatter(self.context(p), edge_label_index[0], dim_size=nodes)
        ends = context[edge_label_index]
        return self.head(torch.cat([p, ends[0], ends[1]], dim=-1))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.relation})"
