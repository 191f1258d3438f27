"""Graph tasks of any size: shortest path, sorting, breadth-first search, components."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.graph_tasks_generator import (
    COLOURS,
    SMALLEST,
    TASKS,
    GraphSample,
)
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

SPLITS = ("train", "val", "test")
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class GraphTasks(InMemoryDataset):
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

    A sample is generated on the first use, from the seed alone. Each task, split and
    range of sizes has its own random stream, which also depends on the split's size.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        name (str): The task. (default: `"shortest-path"`)
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_nodes (int or tuple): Nodes of a graph, at least 8, or the smallest and the
            largest number of them. (default: `(8, 16)`)
        num_train (int): Graphs in the training split. (default: `25600`)
        num_val (int): Graphs in the validation split. (default: `500`)
        num_test (int): Graphs in the test split. (default: `500`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

    Shapes:
        - **x:** `[N, F]`: marks of start and end (2), number (1), mark of the start
          (1), or colour (4)
        - **edge_index:** `[2, E]` edges in both directions, sorted by target; not with
          `"sorting"`
        - **y:** `[N]` 0 or 1, row of the number before, or colour; `[E]` with
          `"breadth-first-search"`
        - **length:** `[1]` edges between what has to be related: those of the path, or
          to the node that is farthest from a mark; 1 with `"sorting"`

    Raises:
        OSError: The samples have to be generated and `root` cannot be written.
        TypeError: A number is not an integer.
        ValueError: A name is unknown, or a number is out of range.
    """

    def __init__(
        self,
        root: str,
        name: str = "shortest-path",
        split: str = "train",
        num_nodes: int | Sequence[int] = (8, 16),
        num_train: int = 25600,
        num_val: int = 500,
        num_test: int = 500,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.name = check_name("name", name, tuple(TASKS))
        self.split = check_name("split", split, SPLITS)
        sizes = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
        for argument, size in sizes.items():
            check_int(argument, size, 1)
        self.num_samples = sizes[f"num_{split}"]
        self.node_range = _node_range(num_nodes)
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def processed_file_names(self) -> str:
        low, high = self.node_range
        name = (
            f"{self.split}-{self.name}-samples{self.num_samples}-nodes{low}to{high}"
            f"-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    def _generate(self) -> dict[str, Any]:
        place = (list(TASKS).index(self.name), SPLITS.index(self.split))
        rng = np.random.default_rng([self.seed, *place, *self.node_range])
        numbers = rng.integers(*self.node_range, self.num_samples, endpoint=True)
        make = TASKS[self.name]
        samples = [make(int(number), rng) for number in numbers]
        return stored_content(self, *_collate(samples))


def _collate(samples: list[GraphSample]) -> tuple[Data, dict[str, torch.Tensor]]:
    """All samples one after the other."""
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
