"""Temporal graphs from lists of PyG graphs, one a frame, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.data.snapshot_parts import (
    check_snapshot,
    check_times,
    edge_features,
    is_empty,
    joined,
    read_ids,
    same_everywhere,
)
from pyg_relational.data.temporal import TemporalGraph


def from_snapshots(
    snapshots: Iterable[Data], times: Sequence[float] | Tensor | None = None
) -> TemporalGraph:
    r"""Joins snapshots, one graph a frame, to one temporal graph.

    A node is the same in all snapshots that name its id, in :obj:`node_id` or
    :obj:`n_id`; without ids, all snapshots have the same nodes in the same order. A
    node is absent from the snapshots that do not name it, and its features there are
    zero. A snapshot without nodes is an empty frame.

    Args:
        snapshots (iterable of torch_geometric.data.Data): The snapshots, in time order.
            Each has :obj:`x` :math:`[N_t, F]`; :obj:`edge_index` and with it
            :obj:`edge_attr` (or :obj:`edge_weight`, where there is none) are had by all
            or by none; :obj:`y` is read where each has one row for each node. Other
            attributes are not read.
        times (sequence of float or torch.Tensor, optional): When each snapshot was
            taken, kept as :obj:`frame_time`. (default: :obj:`None`)

    Returns:
        TemporalGraph: Nodes ordered by :obj:`node_id`, each edge with its
        :obj:`edge_time`, features of edges :math:`[E, D]`; :obj:`y` of shape
        :math:`[N, T, *]`, zero where a node is absent.

    Raises:
        ValueError: If there is no snapshot, frames are out of order, an id repeats in
            a frame, an edge has an end that its snapshot has not, snapshots do not
            have the same attributes, or nodes without ids differ in number.
    """
    frames = list(snapshots)
    if not frames:
        raise ValueError("'snapshots' must hold at least one graph (got none)")
    for number, snapshot in enumerate(frames):
        check_snapshot(number, snapshot)
    filled = {t: s for t, s in enumerate(frames) if not is_empty(s)}
    if not filled:  # Nobody is ever there, but what they would have is known.
        filled = {t: s for t, s in enumerate(frames) if s.x is not None}
    if not filled:
        raise ValueError("'snapshots' must hold a graph with 'x' (got none)")
    names, ids = read_ids(filled)
    time = _repeated({t: s.x.size(0) for t, s in filled.items()}, ids.device)
    where = (names, time)
    shape = (int(names.max()) + 1 if names.numel() else 0, len(frames))
    extra: dict[str, Any] = {}
    if times is not None:
        extra["frame_time"] = check_times(times, len(frames))
    if all(_is_of_nodes(s) for s in filled.values()):
        extra["y"] = _spread([s.y for s in filled.values()], where, shape, "y")
    x = _spread([s.x for s in filled.values()], where, shape, "x")
    mask = torch.zeros(shape, dtype=torch.bool, device=x.device)
    mask[where] = True
    edges = _edges(filled, names)
    return TemporalGraph(x, mask, node_id=ids, **edges, **extra)


def to_snapshots(graph: TemporalGraph, split: Sequence[str] = ()) -> list[Data]:
    r"""Cuts a temporal graph into snapshots, one graph a frame; the inverse of
    :func:`from_snapshots`.

    A snapshot holds the nodes that are observed at its frame, with their
    :obj:`node_id` and other attributes of nodes, and the edges that are there with
    theirs: those of the frame, or the static ones both of whose ends are observed.
    Attributes of frames, such as :obj:`frame_time`, have one row. Attributes of the
    whole graph are left out, and :obj:`y` is unless it is split.

    Args:
        graph (TemporalGraph): One graph, not a batch.
        split (sequence of str): Attributes of shape :math:`[N, T, *]` of which each
            snapshot gets its own frame, such as :obj:`y` of :func:`from_snapshots`.
            (default: :obj:`()`)

    Raises:
        ValueError: If a batch is given, or an attribute to split has another shape.
    """
    if isinstance(graph, Batch):
        raise ValueError(
            "'graph' must be one graph (got a batch); use 'batch.to_data_list()'"
        )
    x, mask = graph.x, graph.mask
    if x is None or mask is None:
        raise ValueError("'graph' must have 'x' (got a graph without features)")
    for name in split:
        value = graph.get(name)
        shape = None if value is None else list(value.shape)
        if value is None or value.shape[:2] != mask.shape:
            raise ValueError(
                f"'{name}' must have shape [N, T, *], here {list(mask.shape)} and "
                f"more, to be split (got {shape})"
            )
    return [_snapshot(graph, x, mask, t, split) for t in range(mask.size(1))]


def _snapshot(
    graph: TemporalGraph, x: Tensor, mask: Tensor, time: int, split: Sequence[str]
) -> Data:
    nodes = mask[:, time].nonzero().flatten()
    out = Data(x=x[nodes, time])
    for name in split:
        out[name] = graph[name][nodes, time]
    kept = None
    if graph.edge_index is not None:
        number = torch.full_like(mask[:, time], -1, dtype=torch.long)
        number[nodes] = torch.arange(nodes.numel(), device=nodes.device)
        edges = number[graph.edge_index]
        kept = (edges >= 0).all(dim=0)
        if "edge_time" in graph:
            kept &= graph.edge_time == time
        out.edge_index = edges[:, kept]
    for name, value in graph:
        if name in ("edge_index", "edge_time", "y", "y_mask", *split):
            continue
        if name.startswith("frame_"):
            out[name] = value[time : time + 1]
        elif graph.is_node_attr(name):
            out[name] = _chosen(value, nodes)
        elif kept is not None and graph.is_edge_attr(name):
            out[name] = _chosen(value, kept.nonzero().flatten())
    return out


def _chosen(value: Any, index: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[index]
    return [value[i] for i in index.tolist()]


def _edges(filled: dict[int, Data], names: Tensor) -> dict[str, Tensor]:
    """Returns edges between the nodes of the temporal graph, with times."""
    if not same_everywhere(filled, "edge_index"):
        return {}
    start, parts = 0, []
    for snapshot in filled.values():
        parts.append(names[snapshot.edge_index + start])
        start += snapshot.x.size(0)
    counts = {t: s.edge_index.size(1) for t, s in filled.items()}
    edge_index = torch.cat(parts, dim=1)
    edges = {
        "edge_index": edge_index,
        "edge_time": _repeated(counts, edge_index.device),
    }
    if same_everywhere(filled, "edge_attr", edge_features):
        features = [edge_features(s) for s in filled.values()]
        rows = [value for value in features if value is not None]
        edges["edge_attr"] = joined(rows, "edge_attr")
    return edges


def _spread(
    parts: list[Tensor],
    where: tuple[Tensor, Tensor],
    shape: tuple[int, int],
    name: str,
) -> Tensor:
    """Returns rows of all snapshots as `[N, T, *]`."""
    rows = joined(parts, name)
    out = rows.new_zeros(*shape, *rows.shape[1:])
    out[where] = rows
    return out


def _repeated(counts: dict[int, int], device: torch.device) -> Tensor:
    """Returns each key as often as its value says."""
    keys = torch.tensor(list(counts), device=device)
    return keys.repeat_interleave(torch.tensor(list(counts.values()), device=device))


def _is_of_nodes(snapshot: Data) -> bool:
    y = snapshot.y
    return isinstance(y, Tensor) and y.dim() > 0 and y.size(0) == snapshot.x.size(0)
