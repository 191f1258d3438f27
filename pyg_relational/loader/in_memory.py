"""Any graphs as an in-memory dataset."""

from collections.abc import Sequence
from typing import Any

from torch_geometric.data import Data, InMemoryDataset


class _Collated(InMemoryDataset):
    """Graphs that were collated."""


def in_memory(graphs: Sequence[Data] | Any) -> InMemoryDataset:
    """Collates graphs, such as those of a list or of a `SceneDataset`, once, for
    `StoredLoader`.

    All of them have to fit into memory. A transform of a dataset is called once for
    each graph, so one that draws at random is not for this.

    Args:
        graphs (Sequence[Data] or Dataset): The graphs.

    Raises:
        ValueError: There is no graph, or graphs hold nothing but `num_nodes`.
    """
    found = [graphs[number] for number in range(len(graphs))]
    if not found:
        raise ValueError("Expected `graphs` to hold a graph, it holds none.")
    dataset = _Collated()
    dataset._data, dataset.slices = InMemoryDataset.collate(found)
    if len(dataset) != len(found):
        raise ValueError(
            "Expected `graphs` to hold an attribute besides 'num_nodes', which alone "
            "is not stored."
        )
    return dataset
