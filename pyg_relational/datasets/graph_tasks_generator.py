"""Graphs of any size for the graph tasks, and what is to be said about them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import networkx as nx

Array = NDArray[np.int64]
# Edges of a node that are shorter than the radius, on average; those of the spanning
# tree come on top.
DEGREE = 3.0
# Components are told apart by so many colours, and there are at most so many.
COLOURS = 4
SMALLEST = 2


class GraphSample(NamedTuple):
    """A graph and its answers.

    Args:
        x (ndarray): `[N, F]` features of the nodes.
        y (ndarray): `[N]` or `[E]` answers.
        edge_index (ndarray, optional): `[2, E]` edges; all pairs without them.
        length (int): How far apart what has to be related is: edges of the path, or
            to the farthest node; 1 where all are related to all.
    """

    x: NDArray[np.float32]
    y: Array
    edge_index: Array | None
    length: int


def geometric_graph(num_nodes: int, rng: np.random.Generator) -> "nx.Graph":
    """Returns a connected graph of random places in the unit square.

    Edges are the minimum spanning tree of the places, and all pairs that are nearer
    than a radius within which a node has `DEGREE` others on average: local circles,
    and few of them.

    Args:
        num_nodes (int): Number of nodes, at least 1.
        rng (np.random.Generator): Source of randomness.
    """
    import networkx as nx

    place = rng.random((num_nodes, 2))
    first, second = np.triu_indices(num_nodes, 1)
    apart = np.linalg.norm(place[first] - place[second], axis=1)
    radius = np.sqrt(DEGREE / (np.pi * num_nodes))
    near = nx.empty_graph(num_nodes)
    reach = 2 * radius
    # The tree has no edge longer than what is needed to connect the graph.
    while True:
        chosen = np.flatnonzero(apart < reach)
        ends = (first[chosen].tolist(), second[chosen].tolist())
        near.add_weighted_edges_from(zip(*ends, apart[chosen].tolist(), strict=True))
        if nx.is_connected(near):
            break
        reach *= 2
    graph = nx.minimum_spanning_tree(near)
    short = [e for e in near.edges(data="weight") if e[2] < radius]
    graph.add_weighted_edges_from(short)
    return graph


def hops(adjacency: NDArray[np.bool_], sources: Array) -> tuple[Array, Array]:
    """Returns the number of edges from each source to each node, and the number of
    shortest paths between them, cut at 2.

    Args:
        adjacency (ndarray): `[N, N]`, symmetric.
        sources (ndarray): `[S]` nodes.

    Returns:
        tuple: Two arrays `[S, N]`; unreached nodes are -1 edges away.
    """
    steps = adjacency.astype(np.float32)
    paths = np.zeros((len(sources), len(adjacency)), np.float32)
    paths[np.arange(len(sources)), sources] = 1
    distance = np.where(paths > 0, 0, -1)
    total, level = paths.copy(), 0
    while paths.any():
        level += 1
        paths = np.minimum(paths @ steps, 2) * (distance < 0)
        distance[paths > 0] = level
        total += paths
    return distance, total.astype(np.int64)


def shortest_path(num_nodes: int, rng: np.random.Generator) -> GraphSample:
    """Makes a graph with a start and an end between which there is exactly one path
    with the fewest edges: which nodes are on it?

    The start is one of up to 32 random nodes. The number of edges of the path is drawn
    first, uniformly among those from 2 on that occur, so that long paths are not rare.

    Args:
        num_nodes (int): Number of nodes.
        rng (np.random.Generator): Source of randomness.
    """
    while True:
        edges, adjacency = _shuffled(geometric_graph(num_nodes, rng), rng)
        starts = rng.permutation(num_nodes)[:32]
        distance, paths = hops(adjacency, starts)
        distance = np.where(paths == 1, distance, 0)
        lengths = np.unique(distance[distance > 1])
        if len(lengths):
            break
    length = int(rng.choice(lengths))
    row, end = rng.choice(np.argwhere(distance == length))
    ends = np.array([starts[row], end])
    x = np.zeros((num_nodes, 2), np.float32)
    x[ends, [0, 1]] = 1
    (from_start, from_end), _ = hops(adjacency, ends)
    y = (from_start + from_end == length).astype(np.int64)
    return GraphSample(x, y, edges, length)


def breadth_first_search(num_nodes: int, rng: np.random.Generator) -> GraphSample:
    """Makes a graph with a start: which edges lead away from it (2), which towards it
    (0), which stay as many edges away as they were (1)?

    Args:
        num_nodes (int): Number of nodes.
        rng (np.random.Generator): Source of randomness.
    """
    edges, adjacency = _shuffled(geometric_graph(num_nodes, rng), rng)
    start = rng.integers(num_nodes, size=1)
    (distance,), _ = hops(adjacency, start)
    x = np.zeros((num_nodes, 1), np.float32)
    x[start] = 1
    y = 1 + distance[edges[1]] - distance[edges[0]]
    return GraphSample(x, y, edges, int(distance.max()))


def connected_components(num_nodes: int, rng: np.random.Generator) -> GraphSample:
    """Makes two to `COLOURS` connected graphs, in each of which one node has a colour
    of its own: which colour has the component of each node?

    Args:
        num_nodes (int): Number of nodes, at least `COLOURS * SMALLEST`.
        rng (np.random.Generator): Source of randomness.
    """
    import networkx as nx

    number = int(rng.integers(2, COLOURS + 1))
    free = num_nodes - SMALLEST * number
    cuts = np.sort(rng.integers(free + 1, size=number - 1))
    sizes = np.diff(cuts, prepend=0, append=free) + SMALLEST
    parts = [geometric_graph(int(size), rng) for size in sizes]
    order = rng.permutation(num_nodes)
    edges, adjacency = _shuffled(nx.disjoint_union_all(parts), rng, order)
    first = np.cumsum(sizes) - sizes
    marked = order[first + rng.integers(sizes)]
    colours = rng.permutation(COLOURS)[:number]
    x = np.zeros((num_nodes, COLOURS), np.float32)
    x[marked, colours] = 1
    y = np.empty(num_nodes, np.int64)
    y[order] = np.repeat(colours, sizes)
    distance, _ = hops(adjacency, marked)
    return GraphSample(x, y, edges, int(distance.max()))


def sorting(num_nodes: int, rng: np.random.Generator) -> GraphSample:
    """Makes numbers from 0 to 1: which one comes before each? The smallest is its own.

    Numbers are in cells of the width 1 / N, one in each, and in the middle half of it:
    two of them differ by at least half a cell.

    Args:
        num_nodes (int): How many numbers.
        rng (np.random.Generator): Source of randomness.
    """
    rank = rng.permutation(num_nodes)
    value = (rank + rng.uniform(0.25, 0.75, num_nodes)) / num_nodes
    # The row of each rank.
    row = rank.argsort()
    y = row[np.maximum(rank - 1, 0)]
    return GraphSample(value[:, None].astype(np.float32), y, None, 1)


def _shuffled(
    graph: "nx.Graph", rng: np.random.Generator, order: Array | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """Edges in both directions, sorted, and the adjacency matrix, after the nodes were
    given the numbers `order`, random ones by default."""
    number = graph.number_of_nodes()
    if order is None:
        order = rng.permutation(number)
    ends = np.array(list(graph.edges), np.int64).reshape(-1, 2).T
    adjacency = np.zeros((number, number), bool)
    adjacency[order[ends[0]], order[ends[1]]] = True
    adjacency |= adjacency.T
    return np.stack(adjacency.nonzero())[::-1].copy(), adjacency


TASKS = {
    "shortest-path": shortest_path,
    "sorting": sorting,
    "breadth-first-search": breadth_first_search,
    "connected-components": connected_components,
}
