"""Scenes in lists short enough to be encoded together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

CHUNK = 256  # scenes that are encoded together
ROWS = 100_000  # nodes and edges beyond which a chunk ends


def is_graph(scenes: Any) -> bool:
    """Tells whether this is one scene."""
    import networkx as nx

    return isinstance(scenes, nx.Graph)


def chunks(scenes: Any) -> Iterator[tuple[int, list[nx.Graph]]]:
    """Yields lists of scenes and the number of the first of each.

    Args:
        scenes (networkx.Graph or iterable of them): Scenes.

    Raises:
        TypeError: If a scene is no NetworkX graph.
    """
    import networkx as nx

    remaining = iter([scenes] if isinstance(scenes, nx.Graph) else scenes)
    first = 0
    while True:
        graphs: list[nx.Graph] = []
        rows = 0
        for graph in islice(remaining, CHUNK):
            if not isinstance(graph, nx.Graph):
                raise TypeError(
                    f"scene {first + len(graphs)} must be a networkx graph (got "
                    f"{type(graph).__name__}); build one from it first"
                )
            graphs.append(graph)
            # `number_of_edges` asks for the degree of each node, which takes longer.
            rows += sum(len(neighbours) + 1 for _, neighbours in graph.adjacency())
            if rows > ROWS:
                break
        if not graphs:
            return
        yield first, graphs
        first += len(graphs)
