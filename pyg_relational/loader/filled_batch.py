"""A batch from the joined attributes of its graphs."""

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.segments import Chosen


@dataclass(frozen=True)
class Joined:
    """An attribute of the graphs of a batch.

    Args:
        name (str): Its name.
        value (Any): The rows of all graphs, one graph after another.
        shifts (Any): What was added to the values of each graph.
        rows (Chosen): Which rows are whose.
    """

    name: str
    value: Any
    shifts: Any
    rows: Chosen


def empty_batch(data_class: type[Data]) -> Batch:
    """Returns a batch without attributes.

    Args:
        data_class (type): What a graph is.

    Raises:
        NotStoredError: Its batches have attributes of their own.
    """
    batch = Batch(_base_cls=data_class)
    if len(batch._store):
        name = data_class.__name__
        raise NotStoredError(f"a batch of '{name}' has attributes of its own")
    return batch


def fill_batch(
    template: Batch,
    attributes: Iterable[Joined],
    numbers: Tensor,
    nodes: Chosen | None,
    num_nodes: list[int] | None,
    follow_batch: Collection[str],
) -> Batch:
    """Returns a filled copy of an empty batch.

    Args:
        template (Batch): The empty batch.
        attributes (Iterable[Joined]): Its attributes, in its order.
        numbers (torch.Tensor): The number of each graph, `[B]`.
        nodes (Chosen, optional): Which nodes are whose.
        num_nodes (list[int], optional): The number of nodes of each graph, where it is
            an attribute.
        follow_batch (Collection[str]): Attributes whose rows are assigned to graphs.
    """
    batch = copy.copy(template)
    # A plain dictionary: nothing is cached for a batch that is being filled.
    into = batch._store._mapping
    slices, shifts = {}, {}
    for attribute in attributes:
        name, rows = attribute.name, attribute.rows
        into[name] = attribute.value
        slices[name], shifts[name] = rows.ptr.clone(), attribute.shifts
        if name in follow_batch:
            into[f"{name}_batch"], into[f"{name}_ptr"] = _assignment(rows)
    store = batch._store
    if num_nodes is not None:
        store._num_nodes = num_nodes
        into["num_nodes"] = sum(num_nodes)
    if nodes is not None:
        into["batch"], into["ptr"] = _assignment(nodes)
    store._num_graphs = numbers.numel()
    store._slice_dict, store._inc_dict = slices, shifts
    return batch


def _assignment(chosen: Chosen) -> tuple[Tensor, Tensor]:
    """Copies, for what a batch holds may be written to."""
    return chosen.owner.clone(), chosen.ptr.clone()
