"""Nodes and edges of several NetworkX graphs, read without a loop over edges."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import networkx as nx

CLASSES = ("DiGraph", "Graph", "MultiDiGraph", "MultiGraph")


@dataclass(frozen=True)
class Structure:
    """The nodes and edges of several scenes, one after the other.

    Args:
        classes (list of str): The NetworkX class of each scene.
        node_keys (list): The node keys of each scene.
        node_ptr (ndarray): Where the nodes of each scene begin, `[B + 1]`.
        edge_ptr (ndarray): Where the edges of each scene begin, `[B + 1]`.
        source (ndarray): The place of each edge's source in its scene, `[E]`.
        target (ndarray): Likewise of its target, `[E]`.
        edge_keys (list, optional): The key of each edge, if there are multigraphs.
        attributes (dict): The attribute dictionaries of nodes, edges and graphs.
    """

    classes: list[str]
    node_keys: list[list[Hashable]]
    node_ptr: NDArray[np.int64]
    edge_ptr: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    edge_keys: list[Hashable] | None
    attributes: dict[str, list[dict[Hashable, Any]]]

    def where(self, level: str, row: int) -> tuple[int, str]:
        """Returns the scene of a row, and how its node or edge is called.

        Args:
            level (str): `"node"`, `"edge"` or `"graph"`.
            row (int): The row among all nodes, edges or graphs.
        """
        if level == "graph":
            return row, "graph"
        ptr = self.node_ptr if level == "node" else self.edge_ptr
        scene = int(np.searchsorted(ptr, row, side="right")) - 1
        keys = self.node_keys[scene]
        if level == "node":
            return scene, f"node {keys[row - int(ptr[scene])]!r}"
        ends = (keys[self.source[row]], keys[self.target[row]])
        if self.edge_keys is not None and self.classes[scene].startswith("Multi"):
            return scene, f"edge {(*ends, self.edge_keys[row])!r}"
        return scene, f"edge {ends!r}"


def graph_class(graph: nx.Graph) -> str:
    """Returns which of the four NetworkX classes a graph is of."""
    multi = "Multi" if graph.is_multigraph() else ""
    return multi + ("DiGraph" if graph.is_directed() else "Graph")


def read_structure(graphs: Sequence[nx.Graph]) -> Structure:
    """Returns the nodes and edges of graphs, edges in the order of `graph.edges`.

    Args:
        graphs (sequence of networkx.Graph): Graphs of any of the four classes.
    """
    classes = [graph_class(graph) for graph in graphs]
    multi = any(name.startswith("Multi") for name in classes)
    keys: list[list[Hashable]] = []
    nodes: list[dict[Hashable, Any]] = []
    edges: list[dict[Hashable, Any]] = []
    edge_keys: list[Hashable] = []
    degrees: list[int] = []
    targets: list[int] = []
    for graph, name in zip(graphs, classes, strict=True):
        names = list(graph)
        keys.append(names)
        nodes.extend(values for _, values in graph.nodes(data=True))
        place = dict(zip(names, range(len(names)), strict=True)).__getitem__
        if name.startswith("Multi"):
            _read_multi(graph, place, degrees, targets, edges, edge_keys)
            continue
        before = len(edges)
        for _, neighbours in graph.adjacency():
            degrees.append(len(neighbours))
            targets.extend(map(place, neighbours))
            edges.extend(neighbours.values())
        if multi:
            edge_keys.extend([None] * (len(edges) - before))
    sizes = np.array([len(names) for names in keys], dtype=np.int64)
    node_ptr = pointers(sizes)
    local = np.arange(node_ptr[-1]) - np.repeat(node_ptr[:-1], sizes)
    count = np.array(degrees, dtype=np.int64)
    source, target = np.repeat(local, count), np.array(targets, dtype=np.int64)
    scene = np.repeat(np.repeat(np.arange(len(sizes)), sizes), count)
    undirected = np.array(["Di" not in name for name in classes], dtype=bool)
    if undirected.any():
        # The adjacency names an undirected edge twice; `graph.edges` from its first
        # end, which is the one that comes first among the nodes.
        keep = (target >= source) | ~undirected[scene]
        chosen = keep.tolist()
        edges = list(compress(edges, chosen))
        edge_keys = list(compress(edge_keys, chosen))
        source, target, scene = source[keep], target[keep], scene[keep]
    return Structure(
        classes=classes,
        node_keys=keys,
        node_ptr=node_ptr,
        edge_ptr=pointers(np.bincount(scene, minlength=len(sizes))),
        source=source,
        target=target,
        edge_keys=edge_keys if multi else None,
        attributes={
            "node": nodes,
            "edge": edges,
            "graph": [graph.graph for graph in graphs],
        },
    )


def pointers(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns where parts of given sizes begin and the last one ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def both_ways(
    structure: Structure,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Returns the edges with those of undirected scenes a second time, reversed, after
    the original ones of their scene; a self-loop has only one direction.

    Returns:
        tuple: Which edge, `[E']`, whether reversed, `[E']`, and where the edges of
        each scene begin, `[B + 1]`.
    """
    sizes = np.diff(structure.edge_ptr)
    rows = np.arange(len(structure.source))
    undirected = np.array(["Di" not in name for name in structure.classes], dtype=bool)
    if not undirected.any():
        return rows, np.zeros(len(rows), dtype=bool), structure.edge_ptr
    scene = np.repeat(np.arange(len(sizes)), sizes)
    again = rows[undirected[scene] & (structure.source != structure.target)]
    both = np.concatenate([rows, again])
    order = np.argsort(scene[both], kind="stable")
    ptr = pointers(np.bincount(scene[both], minlength=len(sizes)))
    return both[order], order >= len(rows), ptr


def _read_multi(
    graph: nx.Graph,
    place: Any,
    degrees: list[int],
    targets: list[int],
    edges: list[dict[Hashable, Any]],
    edge_keys: list[Hashable],
) -> None:
    for _, neighbours in graph.adjacency():
        counts = [len(parallel) for parallel in neighbours.values()]
        degrees.append(sum(counts))
        for node, count in zip(neighbours, counts, strict=True):
            targets.extend([place(node)] * count)
        edge_keys.extend(chain.from_iterable(neighbours.values()))
        for parallel in neighbours.values():
            edges.extend(parallel.values())
