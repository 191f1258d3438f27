"""Graph tasks of any size: shortest path, sorting, breadth-first search, components."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_relational._checks import check_int, check_name
from pyg_relational.datasets.base import (
    SPLITS,
    GeneratedDataset,
    Slices,
    collate_ragged,
)

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
    """A graph and its answers."""

    x: NDArray[np.float32]  # `[N, F]` features of the nodes
    y: Array  # `[N]` or `[E]` answers
    edge_index: Array | None  # `[2, E]` edges; all pairs without them
    # How far apart what has to be related is: edges of the path, or to the farthest
    # node; 1 where all are related to all.
    length: int


def geometric_graph(num_nodes: int, rng: np.random.Generator) -> "nx.Graph":
    """Returns a connected graph of random places in the unit square.

    Edges are the minimum spanning tree of the places, and all pairs that are nearer
    than a radius within which a node has `DEGREE` others on average: local circles,
    and few of them."""
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
    shortest paths between them, cut at 2."""
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
    (0), which stay as many edges away as they were (1)?"""
    edges, adjacency = _shuffled(geometric_graph(num_nodes, rng), rng)
    start = rng.integers(num_nodes, size=1)
    (distance,), _ = hops(adjacency, start)
    x = np.zeros((num_nodes, 1), np.float32)
    x[start] = 1
    y = 1 + distance[edges[1]] - distance[edges[0]]
    return GraphSample(x, y, edges, int(distance.max()))


def connected_components(num_nodes: int, rng: np.random.Generator) -> GraphSample:
    """Makes two to `COLOURS` connected graphs, in each of which one node has a colour
    of its own: which colour has the component of each node?"""
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
    two of them differ by at least half a cell."""
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


class GraphTasks(GeneratedDataset):
    r"""Four questions about graphs whose answers are told by an algorithm, for
    training on small graphs and testing on larger ones, after the demonstrations of
    `"Relational inductive biases, deep learning, and graph networks"
    <https://arxiv.org/abs/1806.01261>`_, which have no published figures.

    - `"shortest-path"`: which nodes are on the path with the fewest edges from a start
      to an end? There is exactly one such path.
    - `"sorting"`: which number comes before each in ascending order? The smallest is
      its own. All pairs are related; there are no edges.
    - `"breadth-first-search"`: does each edge lead towards the start (0), from it (2),
      or neither (1)?
    - `"connected-components"`: two to four components, in each of which one node has
      a colour of its own: which colour belongs to each node?

    The graphs are random places in a square, joined by their minimum spanning tree and
    by all pairs nearer than a radius within which a node has 3 others on average. As
    edges carry no lengths and nodes no places, answers are exact and no two of them are
    nearly equal, whatever the size; the demonstrations measure paths in lengths.

    By default there are 25,600 graphs for training, and 500 each for validation and
    test.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        name (str): The task. (default: `"shortest-path"`)
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_nodes (int or tuple): Nodes of a graph, at least 8, or the smallest and the
            largest number of them. (default: `(8, 16)`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

    Shapes:
        - **x:** `[N, F]`: marks of start and end (2), number (1), mark of the start
          (1), or colour (4)
        - **edge_index:** `[2, E]` edges in both directions, sorted by target; not with
          `"sorting"`
        - **y:** `[N]` 0 or 1, row of the number before, or colour; `[E]` with
          `"breadth-first-search"`
        - **length:** `[1]` edges between what has to be related: those of the path, or
          to the node that is farthest from a mark; 1 with `"sorting"`
    """

    sizes = (25600, 500, 500)

    def __init__(
        self,
        root: str,
        name: str = "shortest-path",
        split: str = "train",
        num_nodes: int | Sequence[int] = (8, 16),
        **kwargs: Any,
    ) -> None:
        self.name = check_name("name", name, tuple(TASKS))
        self.node_range = _node_range(num_nodes)
        super().__init__(root, split, **kwargs)

    def _name(self) -> str:
        low, high = self.node_range
        return (
            f"{self.split}-{self.name}-samples{self.num_samples}-nodes{low}to{high}"
            f"-seed{self.seed}"
        )

    def generate(self) -> tuple[Data, Slices]:
        place = (list(TASKS).index(self.name), SPLITS.index(self.split))
        rng = np.random.default_rng([self.seed, *place, *self.node_range])
        numbers = rng.integers(*self.node_range, self.num_samples, endpoint=True)
        samples = [TASKS[self.name](int(number), rng) for number in numbers]
        rows = {
            "x": torch.from_numpy(np.concatenate([s.x for s in samples])),
            "y": torch.from_numpy(np.concatenate([s.y for s in samples])),
            "length": torch.tensor([s.length for s in samples]),
        }
        counts = {
            "x": torch.tensor([len(s.x) for s in samples]),
            "y": torch.tensor([len(s.y) for s in samples]),
            "length": torch.ones(len(samples), dtype=torch.long),
        }
        edges = [s.edge_index for s in samples if s.edge_index is not None]
        if edges:
            rows["edge_index"] = torch.from_numpy(np.concatenate(edges, axis=1))
            counts["edge_index"] = torch.tensor([e.shape[1] for e in edges])
        return collate_ragged(rows, counts)


def _node_range(num_nodes: int | Sequence[int]) -> tuple[int, int]:
    least = COLOURS * SMALLEST
    if isinstance(num_nodes, int):
        return (check_int("num_nodes", num_nodes, least),) * 2
    if len(num_nodes) != 2:
        raise ValueError(
            f"Expected `num_nodes` to be a number, or the smallest and the largest, "
            f"got {num_nodes!r}."
        )
    low, high = num_nodes
    check_int("num_nodes[0]", low, least)
    return low, check_int("num_nodes[1]", high, low)
