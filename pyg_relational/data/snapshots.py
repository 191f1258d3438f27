"""Temporal graphs from snapshots, one graph a frame: those of PyG, of NetworkX and of
PyTorch Geometric Temporal; and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.temporal import TemporalGraph, described, values_of_one

if TYPE_CHECKING:
    import networkx as nx

IDS = ("node_id", "n_id")


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
    return _joined_frames(list(snapshots), times)


def from_signal(signal: Iterable[Data]) -> TemporalGraph:
    r"""Turns a signal of PyTorch Geometric Temporal, such as a
    :obj:`StaticGraphTemporalSignal` or a :obj:`DynamicGraphTemporalSignal`, into a
    temporal graph.

    Signals are told by what they have, so that package is not needed. A signal with
    one :obj:`edge_index` for all frames gives static edges, any other edges with
    times. Its targets, where there are any, are :obj:`y` of shape :math:`[N, T, *]`.
    To forecast the features of the next frames instead, use :func:`windows`.

    Args:
        signal (iterable of torch_geometric.data.Data): The signal.

    Raises:
        ValueError: As in :func:`from_snapshots`, or if the signal is heterogeneous.
    """
    static = getattr(signal, "edge_index", None) is not None
    return _joined_frames(list(signal), static_edges=static)


def from_networkx_snapshots(
    graphs: Iterable[nx.Graph],
    node_attrs: Sequence[str],
    edge_attrs: Sequence[str] = (),
    times: Sequence[float] | Tensor | None = None,
) -> TemporalGraph:
    r"""Joins NetworkX graphs, one a frame, to one temporal graph.

    Nodes of the same name are the same node; they may come and go. An edge of an
    undirected graph becomes one in each direction. A graph without nodes is an empty
    frame.

    Args:
        graphs (iterable of networkx.Graph): The graphs, in time order.
        node_attrs (sequence of str): The attributes of nodes that make up
            :obj:`x`, numbers or vectors, side by side in this order.
        edge_attrs (sequence of str): Likewise of edges, for :obj:`edge_attr`.
            (default: :obj:`()`)
        times (sequence of float or torch.Tensor, optional): When each frame was taken,
            ascending, kept as :obj:`frame_time`. (default: :obj:`None`)

    Returns:
        TemporalGraph: Nodes in the order in which they first appear, their names in
        the list :obj:`node_names`; each edge with its :obj:`edge_time`.

    Raises:
        ValueError: If there is no graph with nodes, frames are out of order, an
            attribute is missing, not numeric, or not as wide as elsewhere; node or
            edge and frame are named.
    """
    names: dict[Hashable, int] = {}
    snapshots = [
        _networkx_snapshot(graph, number, node_attrs, edge_attrs, names)
        for number, graph in enumerate(graphs)
    ]
    if not names:
        raise ValueError("'graphs' must hold a graph with nodes (got none)")
    out = from_snapshots(snapshots, times)
    out.node_names = list(names)
    return out


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
    x, mask = values_of_one(graph)
    for name in split:
        value = graph.get(name)
        shape = None if value is None else list(value.shape)
        if value is None or value.shape[:2] != mask.shape:
            raise ValueError(
                f"'{name}' must have shape [N, T, *], here {list(mask.shape)} and "
                f"more, to be split (got {shape})"
            )
    return [_snapshot(graph, x, mask, t, split) for t in range(mask.size(1))]


def _joined_frames(
    frames: list[Data],
    times: Sequence[float] | Tensor | None = None,
    static_edges: bool = False,
) -> TemporalGraph:
    if not frames:
        raise ValueError("'snapshots' must hold at least one graph (got none)")
    for number, snapshot in enumerate(frames):
        _check_snapshot(number, snapshot)
    filled = {t: s for t, s in enumerate(frames) if not _is_empty(s)}
    if not filled:  # Nobody is ever there, but what they would have is known.
        filled = {t: s for t, s in enumerate(frames) if s.x is not None}
    if not filled:
        raise ValueError("'snapshots' must hold a graph with 'x' (got none)")
    names, ids = _read_ids(filled)
    time = _repeated({t: s.x.size(0) for t, s in filled.items()}, ids.device)
    where = (names, time)
    shape = (int(names.max()) + 1 if names.numel() else 0, len(frames))
    extra: dict[str, Any] = {}
    if times is not None:
        extra["frame_time"] = _check_times(times, len(frames))
    if all(_is_of_nodes(s) for s in filled.values()):
        extra["y"] = _spread([s.y for s in filled.values()], where, shape, "y")
    x = _spread([s.x for s in filled.values()], where, shape, "x")
    mask = torch.zeros(shape, dtype=torch.bool, device=x.device)
    mask[where] = True
    edges = _static_edges(frames[0]) if static_edges else _edges(filled, names)
    return TemporalGraph(x, mask, node_id=ids, **edges, **extra)


def _check_snapshot(number: int, snapshot: Any) -> None:
    """Raises a `ValueError` unless a snapshot has features and edges that fit."""
    if not isinstance(snapshot, Data):
        raise ValueError(
            f"'snapshots' must be of torch_geometric.data.Data (got "
            f"{type(snapshot).__name__} at frame {number})"
        )
    x, edges = snapshot.x, snapshot.edge_index
    if _is_empty(snapshot) and edges is None:
        return
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise ValueError(
            f"'x' must have shape [N, F] in each snapshot (got "
            f"{'none' if x is None else described(x)} at frame {number})"
        )
    if edges is None:
        return
    if edges.dim() != 2 or edges.size(0) != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, E] (got {list(edges.shape)} at frame "
            f"{number})"
        )
    outside = (edges < 0) | (edges >= x.size(0))
    if bool(outside.any()):
        raise ValueError(
            f"'edge_index' must join nodes of its snapshot (got node "
            f"{int(edges[outside][0])} of {x.size(0)} at frame {number})"
        )
    features = _edge_features(snapshot)
    if features is not None and features.size(0) != edges.size(1):
        raise ValueError(
            f"'edge_attr' must have one row for each of {edges.size(1)} edges (got "
            f"{features.size(0)} at frame {number})"
        )


def _is_empty(snapshot: Data) -> bool:
    """Returns whether a snapshot has no nodes."""
    x = snapshot.x
    if isinstance(x, Tensor) and x.dim() == 2:
        return x.size(0) == 0
    names = ("x", "edge_index", *IDS)
    return not any(name in snapshot for name in names) and not snapshot.get("num_nodes")


def _read_ids(filled: Mapping[int, Data]) -> tuple[Tensor, Tensor]:
    """Returns the node of each row of all snapshots and the id of each node."""
    parts = []
    for name in IDS:
        if _same_everywhere(filled, name):
            parts = [s[name] for s in filled.values()]
            break
    if not parts:
        return _ids_by_order(filled)
    for (frame, snapshot), part in zip(filled.items(), parts, strict=True):
        if not isinstance(part, Tensor) or part.shape != snapshot.x.shape[:1]:
            raise ValueError(
                f"'{name}' must be a tensor with one id for each of "
                f"{snapshot.x.size(0)} nodes (got {described(part)} at frame {frame})"
            )
        values, count = part.unique(return_counts=True)
        if bool((count > 1).any()):
            raise ValueError(
                f"'{name}' must not repeat in a frame (got id "
                f"{values[count > 1][0].item()} {int(count.max())} times at frame "
                f"{frame})"
            )
    ids, names = torch.cat(parts).unique(return_inverse=True)
    return names, ids


def _ids_by_order(filled: Mapping[int, Data]) -> tuple[Tensor, Tensor]:
    sizes = {frame: s.x.size(0) for frame, s in filled.items()}
    first, frame = next(iter(sizes)), max(sizes, key=lambda f: sizes[f])
    smallest = min(sizes, key=lambda f: sizes[f])
    if sizes[frame] != sizes[smallest]:
        other = frame if sizes[frame] != sizes[first] else smallest
        raise ValueError(
            f"'node_id' is needed where snapshots differ in their number of nodes (got "
            f"{sizes[first]} at frame {first} and {sizes[other]} at frame {other})"
        )
    ids = torch.arange(sizes[first], device=filled[first].x.device)
    return ids.repeat(len(sizes)), ids


def _same_everywhere(
    filled: Mapping[int, Data], name: str, read: Callable[[Data], Any] | None = None
) -> bool:
    """Returns whether all snapshots have something; raises a `ValueError` where only
    some do."""
    found = {t: s.get(name) if read is None else read(s) for t, s in filled.items()}
    without = [frame for frame, value in found.items() if value is None]
    if without and len(without) < len(filled):
        raise ValueError(
            f"'{name}' must be in all snapshots or in none (got none at frame "
            f"{without[0]})"
        )
    return not without


def _check_times(times: Sequence[float] | Tensor, frames: int) -> Tensor:
    """Returns the times as a tensor; raises a `ValueError` unless they ascend."""
    out = torch.as_tensor(times)
    if out.shape != (frames,):
        raise ValueError(
            f"'times' must have one entry for each of {frames} frames (got "
            f"{described(out)})"
        )
    late = (~(out[1:] > out[:-1])).nonzero().flatten()
    if late.numel():
        frame = int(late[0]) + 1
        raise ValueError(
            f"frames out of order: 'times' must ascend (got {out[frame].item()} at "
            f"frame {frame} after {out[frame - 1].item()}); sort the snapshots"
        )
    return out


def _spread(
    parts: list[Tensor],
    where: tuple[Tensor, Tensor],
    shape: tuple[int, int],
    name: str,
) -> Tensor:
    """Returns rows of all snapshots as `[N, T, *]`."""
    rows = _joined(parts, name)
    out = rows.new_zeros(*shape, *rows.shape[1:])
    out[where] = rows
    return out


def _joined(parts: Sequence[Tensor], name: str) -> Tensor:
    """Returns the rows of all snapshots one after the other."""
    # What has no rows may have no width either.
    rows = [part for part in parts if part.size(0)] or list(parts[:1])
    widths = sorted({tuple(part.shape[1:]) for part in rows})
    if len(widths) > 1:
        raise ValueError(
            f"'{name}' must be as wide in all snapshots (got rows of shape "
            f"{list(widths[0])} and of {list(widths[1])})"
        )
    return torch.cat(rows)


def _edges(filled: dict[int, Data], names: Tensor) -> dict[str, Tensor]:
    """Returns edges between the nodes of the temporal graph, with times."""
    if not _same_everywhere(filled, "edge_index"):
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
    if _same_everywhere(filled, "edge_attr", _edge_features):
        features = [_edge_features(s) for s in filled.values()]
        rows = [value for value in features if value is not None]
        edges["edge_attr"] = _joined(rows, "edge_attr")
    return edges


def _static_edges(frame: Data) -> dict[str, Tensor]:
    features = _edge_features(frame)
    attr = {} if features is None else {"edge_attr": features}
    return {"edge_index": frame.edge_index, **attr}


def _edge_features(snapshot: Data) -> Tensor | None:
    """Returns the features of a snapshot's edges, `[E, D]`, or its weights, `[E,
    1]`."""
    value = snapshot.get("edge_attr")
    value = snapshot.get("edge_weight") if value is None else value
    if value is None:
        return None
    return value.unsqueeze(-1) if value.dim() == 1 else value


def _repeated(counts: dict[int, int], device: torch.device) -> Tensor:
    """Returns each key as often as its value says."""
    keys = torch.tensor(list(counts), device=device)
    return keys.repeat_interleave(torch.tensor(list(counts.values()), device=device))


def _is_of_nodes(snapshot: Data) -> bool:
    y = snapshot.y
    return isinstance(y, Tensor) and y.dim() > 0 and y.size(0) == snapshot.x.size(0)


def _networkx_snapshot(
    graph: nx.Graph,
    number: int,
    node_attrs: Sequence[str],
    edge_attrs: Sequence[str],
    names: dict[Hashable, int],
) -> Data:
    if graph.number_of_nodes() == 0:
        return Data()
    place = {node: i for i, node in enumerate(graph)}
    rows = [
        _features(values, node_attrs, f"node {node!r} of frame {number}")
        for node, values in graph.nodes(data=True)
    ]
    ends, features = [], []
    for source, target, values in graph.edges(data=True):
        what = f"edge {(source, target)!r} of frame {number}"
        row = _features(values, edge_attrs, what)
        ways = [(source, target), (target, source)]
        if graph.is_directed() or source == target:
            ways = ways[:1]
        ends += [(place[a], place[b]) for a, b in ways]
        features += [row] * len(ways)
    out = Data(
        x=_stacked(rows, "node_attrs", number),
        node_id=torch.tensor([names.setdefault(n, len(names)) for n in graph]),
        edge_index=torch.tensor(ends, dtype=torch.long).view(-1, 2).t(),
    )
    if edge_attrs:
        out.edge_attr = _stacked(features, "edge_attrs", number)
    return out


def _features(values: Mapping[str, Any], attrs: Sequence[str], what: str) -> np.ndarray:
    """Returns the attributes of a node or an edge side by side."""
    parts = [np.empty(0)]
    for name in attrs:
        if name not in values:
            known = ", ".join(repr(n) for n in values) or "no attribute"
            raise ValueError(f"{what} must have the attribute '{name}' (got {known})")
        try:
            parts.append(np.asarray(values[name], dtype=np.float64).ravel())
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"'{name}' of {what} must be a number or a vector of them (got "
                f"{values[name]!r})"
            ) from error
    return np.concatenate(parts)


def _stacked(rows: list[np.ndarray], attrs: str, number: int) -> Tensor:
    widths = sorted({row.size for row in rows})
    if len(widths) > 1:
        raise ValueError(
            f"'{attrs}' must be as wide everywhere (got {widths[0]} and {widths[-1]} "
            f"numbers in frame {number})"
        )
    dense = np.stack(rows) if rows else np.empty((0, 0))
    return torch.from_numpy(dense).to(torch.get_default_dtype())


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
