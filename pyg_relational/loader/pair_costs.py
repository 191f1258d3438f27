"""What the pairs of each graph cost."""

from typing import Any

import torch
from torch import Tensor

from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset
from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.stored_attributes import read_attributes

COSTS = ("sorted", "dense", "edges")


def pair_costs(dataset: Any, cost: str = "sorted") -> Tensor:
    r"""Returns what a model spends on the pairs of each graph, in whole units.

    With :math:`N` nodes and :math:`E` edges, the units are

    .. math::
        \text{sorted} = \lceil N \log_2 \max(N, 2) \rceil, \quad
        \text{dense} = N^2, \quad \text{edges} = E,

    and at least 1, so that no batch holds more graphs than its budget.

    Args:
        dataset (Dataset): The graphs.
        cost (str): The method that will run: :obj:`"sorted"` operators over all pairs,
            :obj:`"dense"` pairs, or given :obj:`"edges"`. (default: :obj:`"sorted"`)

    Returns:
        torch.Tensor: The cost of each graph, int64, :math:`[G]`.

    Raises:
        ValueError: If :obj:`cost` is unknown, or the number of nodes or edges of a
            graph is not known.
    """
    if cost not in COSTS:
        raise ValueError(f"'cost' must be one of {', '.join(COSTS)} (got '{cost}')")
    counts = _counts(dataset, edges=cost == "edges")
    if cost == "dense":
        counts = counts**2
    elif cost == "sorted":
        counts = (counts * counts.clamp(min=2).double().log2()).ceil().long()
    return counts.clamp(min=1)


def _counts(dataset: Any, edges: bool) -> Tensor:
    try:
        stored = read_attributes(dataset, ())
    except NotStoredError:
        if isinstance(dataset, ChunkedOnDiskDataset) and dataset.transform is None:
            name = "edge_index" if edges else "x"
            if name in dataset.schema and (edges or "num_nodes" not in dataset.schema):
                return dataset.row_counts(name)
        return _count_each(dataset, edges)
    segments = stored.nodes
    if edges:
        named = {part.name: part.segments for part in stored.attributes}
        segments = named.get("edge_index")
    if segments is None:
        raise _unknown(edges)
    return segments.slices.diff()[stored.order]


def _count_each(dataset: Any, edges: bool) -> Tensor:
    found = []
    for number in range(len(dataset)):
        graph = dataset[number]
        if edges and "edge_index" not in graph:
            raise _unknown(edges)
        count = graph.num_edges if edges else graph.num_nodes
        if count is None:
            raise _unknown(edges)
        found.append(count)
    return torch.tensor(found, dtype=torch.long)


def _unknown(edges: bool) -> ValueError:
    if edges:
        return ValueError(
            "'cost' is \"edges\", but graphs have no 'edge_index'; all pairs cost "
            '"sorted" or "dense"'
        )
    return ValueError(
        "the number of nodes of a graph is not known; set 'num_nodes', or pass the "
        "costs as 'cost'"
    )
