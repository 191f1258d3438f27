"""Temporal graphs from lists of NetworkX graphs, one a frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.snapshots import from_snapshots
from pyg_relational.data.temporal import TemporalGraph

if TYPE_CHECKING:
    import networkx as nx


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
        _snapshot(graph, number, node_attrs, edge_attrs, names)
        for number, graph in enumerate(graphs)
    ]
    if not names:
        raise ValueError("'graphs' must hold a graph with nodes (got none)")
    out = from_snapshots(snapshots, times)
    out.node_names = list(names)
    return out


def _snapshot(
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
