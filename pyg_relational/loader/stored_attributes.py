"""The attributes of a dataset as they are stored, and how each is cut into graphs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.storage import N_KEYS
from torch_geometric.typing import SparseTensor, TensorFrame

from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.increments import ask_each_graph, by_nodes
from pyg_relational.loader.segments import Segments
from pyg_relational.loader.sources import Source, source_of
from pyg_relational.loader.stored_list import StoredList
from pyg_relational.loader.stored_tensor import StoredTensor

# What PyG joins, looks into or drops; it lists all else.
JOINED = (Tensor, SparseTensor, TensorFrame, int, float, Mapping, Sequence, NoneType)


@dataclass(frozen=True)
class StoredAttributes:
    """What batches are cut from.

    Args:
        data_class (type): What a graph is.
        order (torch.Tensor): The graphs that the dataset holds, `[len(dataset)]`.
        attributes (list): The attributes of a batch, in its order.
        nodes (Segments or None): The nodes of each graph, where graphs have any.
        num_nodes (torch.Tensor or None): Their numbers, where they are stored and
            belong to the batch, `[G]`.
    """

    data_class: type[Data]
    order: Tensor
    attributes: list[StoredTensor | StoredList]
    nodes: Segments | None
    num_nodes: Tensor | None


def read_attributes(dataset: Any, exclude_keys: Collection[str]) -> StoredAttributes:
    """Returns the attributes of a dataset.

    Args:
        dataset (Dataset): The dataset.
        exclude_keys (Collection[str]): Attributes to leave out.

    Raises:
        NotStoredError: Batches cannot be cut from what is stored.
    """
    source = source_of(dataset)
    return _Reader(source).read(exclude_keys)


def counts_nodes(names: Collection[str]) -> list[str]:
    """Returns the attributes that have a row for each node, as `Data.num_nodes` asks
    them.

    Args:
        names (Collection[str]): All attributes, in the order of a graph.
    """
    named = [name for name in names if name in N_KEYS]
    return named + [name for name in names if "node" in name]


class _Reader:
    """Reads the attributes of one dataset."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values = source.data._store._mapping
        # The order in which PyG gives them to a graph.
        self.names = [name for name in source.slices if name in self.values]
        self.segments: list[Segments] = []
        tensors = [v for v in self.values.values() if isinstance(v, Tensor)]
        if any(value.device.type != "cpu" for value in tensors):
            raise NotStoredError("attributes are not in main memory")

    def read(self, exclude_keys: Collection[str]) -> StoredAttributes:
        if "num_nodes" in self.names:
            raise NotStoredError("'num_nodes' is stored as an attribute with slices")
        counted = self._stored_numbers()
        nodes = self._nodes(counted)
        attributes = [
            self._attribute(name, nodes)
            for name in self.names
            # PyG makes `ptr` anew.
            if name not in exclude_keys and name != "ptr"
        ]
        kept = "num_nodes" not in exclude_keys
        return StoredAttributes(
            type(self.source.data),
            self.source.order,
            attributes,
            nodes,
            counted if kept else None,
        )

    def _stored_numbers(self) -> Tensor | None:
        numbers = self.source.data._store.__dict__.get("_num_nodes")
        if numbers is None:
            return None
        if not isinstance(numbers, list) or {type(n) for n in numbers} - {int}:
            raise NotStoredError("'_num_nodes' is no list of whole numbers")
        return torch.tensor(numbers, dtype=torch.long)

    def _nodes(self, counted: Tensor | None) -> Segments | None:
        """The nodes of each graph, found as `Data.num_nodes` finds them."""
        if counted is not None:
            slices = torch.nn.functional.pad(counted.cumsum(0), (1, 0))
            return self._segments("num_nodes", slices, int(slices[-1]))
        named = counts_nodes(self.names)
        for name in named:
            value = self.values[name]
            if isinstance(value, Tensor):
                dim = self._dim(name, value)
                if dim is None:
                    raise NotStoredError(f"'{name}' has no row for each node")
                slices = self._slices(name)
                return self._segments(name, slices, value.size(dim))
        if named or {"adj", "adj_t", "edge_index", "face"} & {*self.names}:
            raise NotStoredError(
                "the number of nodes is not stored; set 'num_nodes' of each graph"
            )
        return None

    def _attribute(
        self, name: str, nodes: Segments | None
    ) -> StoredTensor | StoredList:
        value, slices = self.values[name], self._slices(name)
        if isinstance(value, list) and all(map(_stays, value)):
            if not slices.equal(torch.arange(len(value) + 1)):
                raise NotStoredError(f"'{name}' is not one object a graph")
            return StoredList(name, value, self._segments(name, slices, len(value)))
        if type(value) is not Tensor or value.layout != torch.strided:
            kind = type(value).__name__ if type(value) is not Tensor else value.layout
            raise NotStoredError(f"'{name}' is stored as '{kind}'")
        dim = self._dim(name, value)
        segments = self._segments(name, slices, value.size(dim or 0))
        increments: Segments | Tensor | None = None
        rule = by_nodes(self.source.data, name)
        if rule is None:
            increments = ask_each_graph(self.source, name, dim is None)
        elif rule:
            if nodes is None:
                raise NotStoredError(f"'{name}' counts nodes, whose number is unknown")
            increments = nodes
        try:
            return StoredTensor(name, value, dim or 0, segments, increments)
        except ValueError as error:
            raise NotStoredError(f"'{name}' {error}") from error

    def _dim(self, name: str, value: Tensor) -> int | None:
        """The dimension along which graphs are joined; `None` for a new first one."""
        data = self.source.data
        dim: Any = data.__cat_dim__(name, value, data._store)
        if dim is None:
            return None
        if not isinstance(dim, int) or value.is_nested:
            raise NotStoredError(f"'{name}' is joined along {dim}")
        return dim % value.dim()

    def _slices(self, name: str) -> Tensor:
        slices = self.source.slices[name]
        if isinstance(slices, Tensor) and slices.dim() == 1:
            return slices.long()
        raise NotStoredError(f"'{name}' is a collection, or is joined along several")

    def _segments(self, name: str, slices: Tensor, num_rows: int) -> Segments:
        for known in self.segments:
            if known.num_rows == num_rows and known.slices.equal(slices):
                return known
        try:
            found = Segments(slices, num_rows)
        except ValueError as error:
            raise NotStoredError(f"'{name}' {error}") from error
        self.segments.append(found)
        return found


def _stays(entry: Any) -> bool:
    """Tells whether PyG leaves an object of a list as it is."""
    return isinstance(entry, str) or not isinstance(entry, JOINED)
