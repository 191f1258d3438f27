"""Temporal graphs as rows: one for each node and frame at which it is observed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.nn.checks import check_device
from pyg_relational.nn.index_checks import check_edges, check_range
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
    r"""Finds the rows and edges of all frames of a batch.

    Args:
        x (torch.Tensor): Features, :math:`[N, T, F]`.
        mask (torch.Tensor, optional): Whether a node is observed, :math:`[N, T]`;
            always by default. (default: :obj:`None`)
        edge_index (torch.Tensor, optional): Edges between nodes, :math:`[2, E]`.
            (default: :obj:`None`)
        edge_time (torch.Tensor, optional): The frame of each edge, :math:`[E]`; by
            default every frame that both ends are in. (default: :obj:`None`)
        edge_attr (torch.Tensor, optional): Features of edges. (default: :obj:`None`)
        batch (torch.Tensor, optional): The graph of each node, ascending.
            (default: :obj:`None`)
        batch_size (int, optional): The number of graphs. (default: :obj:`None`)

    Raises:
        ValueError: If shapes do not fit, or an edge has a time at which one of its
            ends is absent.
    """
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
    r"""Raises an error unless the frames of each graph are counted.

    Args:
        num_frames (torch.Tensor, optional): The number of frames, :math:`[B]`.
        x (torch.Tensor): Features, :math:`[N, T, F]`.
        num_graphs (int): The number of graphs :math:`B`.
    """
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
    r"""Finds the frames that both ends of a pair of nodes are in.

    Args:
        frames (Frames): The rows.
        pairs (torch.Tensor): Pairs of nodes, :math:`[2, P]`.

    Returns:
        The rows of both ends, :math:`[2, M]`, and the boundaries of the pairs,
        :math:`[P + 1]`.
    """
    # [2, P, T]
    ends = frames.row[pairs]
    together = (ends >= 0).all(dim=0)
    pair, together_at = together.nonzero(as_tuple=True)
    count = together.sum(dim=1)
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return ends[:, pair, together_at], ptr
