"""Batches cut from the stored tensors of a dataset.

Which rows of each stored tensor belong to which graph is known beforehand
(:class:`GraphRows`). A batch takes the rows of its graphs in one step an attribute
(:class:`StoredAttribute`) and is put together as PyG's would be (:func:`fill_batch`).
"""

import copy
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.data.separate import separate
from torch_geometric.data.storage import N_KEYS, GlobalStorage
from torch_geometric.loader import DataLoader
from torch_geometric.typing import SparseTensor, TensorFrame

from pyg_relational.data import TemporalGraph
from pyg_relational.data.temporal import TemporalStorage
from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset

if TYPE_CHECKING:
    from pyg_relational.loader.on_disk import OnDiskGraphs

logger = logging.getLogger(__name__)

OVERRIDDEN = ("get", "indices", "__getitem__")
# What PyG joins, looks into or drops; it lists all else.
JOINED = (Tensor, SparseTensor, TensorFrame, int, float, Mapping, Sequence, NoneType)
# Whose rule is known: the number of nodes for names with `index`, nothing for others.
KNOWN = (Data.__inc__, TemporalGraph.__inc__)


class NotStoredError(ValueError):
    """A dataset whose batches cannot be cut from stored tensors; the text says why."""


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


class BatchRows(NamedTuple):
    """Which rows of an attribute belong to the graphs of a batch."""

    numbers: Tensor  # the number of each graph, `[B]`
    # The rows of these graphs one after another, `[R]`; `None` where all graphs have as
    # many.
    rows: Tensor | None
    owner: Tensor  # the graph of the batch that each row belongs to, `[R]`
    ptr: Tensor  # where the graphs start and end in the batch, `[B + 1]`

    def assignment(self) -> tuple[Tensor, Tensor]:
        """Copies, for what a batch holds may be written to."""
        return self.owner.clone(), self.ptr.clone()


class GraphRows:
    """Where each graph starts and ends among the rows of a stored attribute.

    Attributes that are cut alike share one object, so that the rows of a batch are
    counted once.

    Args:
        slices (torch.Tensor): Boundaries, `[G + 1]`, ascending.
        num_rows (int): The number of rows.

    Raises:
        ValueError: The boundaries descend or leave the rows.
    """

    def __init__(self, slices: Tensor, num_rows: int) -> None:
        sizes = slices.diff()
        first, last = int(slices[0]), int(slices[-1])
        if first < 0 or last > num_rows or bool((sizes < 0).any()):
            raise ValueError(
                f"runs from {first} to {last} in {num_rows} rows, or descends"
            )
        self.slices = slices
        self.num_rows = num_rows
        self.count = sizes.numel()
        equal = self.count > 0 and bool((sizes == sizes[0]).all())
        whole = equal and first == 0 and last == num_rows
        # Rows of each graph, where all have as many: then nothing has to be counted.
        self.each: int | None = int(sizes[0]) if whole else None
        self._last: tuple[Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def choose(self, numbers: Tensor) -> BatchRows:
        """Returns the rows of some graphs, in their order."""
        if self.each is not None:
            count = numbers.numel()
            # Most batches are as large as the one before.
            if self._last is None or self._last[0].numel() != count + 1:
                ptr = torch.arange(count + 1) * self.each
                self._last = ptr, torch.arange(count).repeat_interleave(self.each)
            ptr, owner = self._last
            return BatchRows(numbers, None, owner, ptr)
        # NumPy takes a third of the time of `gather_sets` for as few as these.
        index, slices = numbers.numpy(), self.slices.numpy()
        starts = slices[index]
        sizes = slices[1:][index] - starts
        ends = np.zeros(len(index) + 1, dtype=np.int64)
        sizes.cumsum(out=ends[1:])
        owners = np.repeat(np.arange(len(index)), sizes)
        rows = np.arange(ends[-1]) + (starts - ends[:-1])[owners]
        return BatchRows(numbers, *map(torch.from_numpy, (rows, owners, ends)))


class StoredAttribute:
    """An attribute of all graphs of a dataset: tensors joined along one dimension, or
    one text or other object for each graph.

    Args:
        name (str): Its name.
        value (torch.Tensor or list): The rows of all graphs, `[..., sum of rows, ...]`.
        rows (GraphRows): The rows of each graph.
        dim (int): The dimension of the rows. (default: `0`)
        increments (GraphRows or torch.Tensor, optional): What each graph adds to the
            values of the graphs behind it in a batch: its number of nodes, of which
            these are the rows, or any numbers, `[G, ...]`. (default: `None`)

    Raises:
        ValueError: The increments differ between the rows of a graph.
    """

    def __init__(
        self,
        name: str,
        value: Tensor | list[Any],
        rows: GraphRows,
        dim: int = 0,
        increments: GraphRows | Tensor | None = None,
    ) -> None:
        self.name = name
        self.rows = rows
        self.increments = increments
        self._dim = dim
        self._value = value
        if isinstance(value, list):
            return
        if rows.each is not None:
            # [..., G * each, ...] -> [..., G, each, ...]
            self._value = value.unflatten(dim, (rows.count, rows.each))
        shape = increments.shape[1:] if isinstance(increments, Tensor) else ()
        missing = value.dim() - len(shape)
        # As PyG adds them: the last dimensions fit those of the value.
        self._shape = (*[1] * missing, *shape)
        if missing < 0 or self._shape[dim] != 1:
            raise ValueError(f"is incremented by {list(shape)} numbers a graph")

    def take(self, chosen: BatchRows, nodes: BatchRows | None) -> "JoinedAttribute":
        """Returns the rows of the graphs of a batch, in their order, as a copy."""
        value, dim, numbers = self._value, self._dim, chosen.numbers
        if isinstance(value, list):
            found = [value[number] for number in numbers.tolist()]
            return JoinedAttribute(self.name, found, None, chosen)
        if chosen.rows is None:
            # [..., G, each, ...] -> [..., B * each, ...]
            rows = value.index_select(dim, numbers).flatten(dim, dim + 1)
        else:
            rows = value.index_select(dim, chosen.rows)
        if self.increments is None:
            shifts = torch.zeros(numbers.numel(), dtype=torch.long)
            return JoinedAttribute(self.name, rows, shifts, chosen)
        if isinstance(self.increments, GraphRows):
            assert nodes is not None
            shifts = nodes.ptr[:-1].clone()
        else:
            each = self.increments[numbers]
            shifts = torch.cat([torch.zeros_like(each[:1]), each[:-1].cumsum(0)])
        if shifts.dim() > 1 or shifts[-1]:
            rows = add_shifts(rows, shifts, chosen.owner, dim, self._shape)
        return JoinedAttribute(self.name, rows, shifts, chosen)


class JoinedAttribute(NamedTuple):
    """An attribute of the graphs of a batch: its rows one graph after another, what was
    added to the values of each graph, and which rows are whose."""

    name: str
    value: Any
    shifts: Tensor | None
    rows: BatchRows


def add_shifts(
    rows: Tensor, shifts: Tensor, owner: Tensor, dim: int, shape: tuple[int, ...]
) -> Tensor:
    """Adds to the rows of each graph what PyG adds."""
    # A single number takes the dtype of the values, several may widen it.
    dtype = torch.result_type(rows, shifts[0])
    # [B, ...] -> [B, 1, ..., ...], without the dimension of the rows
    each = shifts.reshape(-1, *shape).select(dim + 1, 0)
    added = each.index_select(0, owner).movedim(0, dim)
    return rows.to(dtype) + added.to(dtype)


def empty_batch(data_class: type[Data]) -> Batch:
    """Returns a batch without attributes."""
    batch = Batch(_base_cls=data_class)
    if len(batch._store):
        name = data_class.__name__
        raise NotStoredError(f"a batch of '{name}' has attributes of its own")
    return batch


def fill_batch(
    template: Batch,
    attributes: Iterable[JoinedAttribute],
    num_graphs: int,
    nodes: BatchRows | None,
    num_nodes: list[int] | None,
    follow_batch: Collection[str],
) -> Batch:
    """Returns a filled copy of an empty batch."""
    batch = copy.copy(template)
    # A plain dictionary: nothing is cached for a batch that is being filled.
    into = batch._store._mapping
    slices, increments = {}, {}
    for name, value, shifts, rows in attributes:
        into[name] = value
        slices[name], increments[name] = rows.ptr.clone(), shifts
        if name in follow_batch:
            into[f"{name}_batch"], into[f"{name}_ptr"] = rows.assignment()
    store = batch._store
    if num_nodes is not None:
        store._num_nodes = num_nodes
        into["num_nodes"] = sum(num_nodes)
    if nodes is not None:
        into["batch"], into["ptr"] = nodes.assignment()
    store._num_graphs = num_graphs
    store._slice_dict, store._inc_dict = slices, increments
    return batch


def by_nodes(data: Data, name: str) -> bool | None:
    """Tells whether an attribute is incremented by the number of nodes, or not at all;
    `None` where each graph has to be asked."""
    cls = type(data)
    if cls.__inc__ not in KNOWN or cls.num_nodes is not Data.num_nodes:
        return None
    if "batch" in name:
        return None
    return "index" in name or name == "face"


def counts_nodes(names: Collection[str]) -> list[str]:
    """Returns the attributes that have a row for each node, as `Data.num_nodes` asks
    them."""
    named = [name for name in names if name in N_KEYS]
    return named + [name for name in names if "node" in name]


class StoredGraphs(Dataset):
    r"""The graphs of an in-memory dataset, several of which are read as one batch by
    index arithmetic on the stored tensors, without a loop over graphs.

    The batch is that of :meth:`torch_geometric.data.Batch.from_data_list`: the same
    attributes in the same order, :obj:`batch` and :obj:`ptr`, and what
    :meth:`~torch_geometric.data.Batch.to_data_list` needs. The dataset is read when
    this is made; what is assigned to it later is not seen.

    Args:
        dataset (InMemoryDataset or Subset): The dataset; :func:`in_memory` makes one
            of any graphs.
        follow_batch (list[str], optional): Attributes whose rows get a vector
            :obj:`<name>_batch` that assigns them to graphs, and :obj:`<name>_ptr`.
            (default: :obj:`None`)
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)

    Raises:
        NotStoredError: If batches cannot be cut from stored tensors: there is a
            transform, a method :obj:`get` of the dataset's own, a sparse, nested or
            unknown attribute, or a number of nodes that has to be guessed.
    """

    def __init__(
        self,
        dataset: Any,
        follow_batch: Collection[str] | None = None,
        exclude_keys: Collection[str] | None = None,
    ) -> None:
        self.dataset = dataset
        self.follow_batch = frozenset(follow_batch or ())
        self.exclude_keys = frozenset(exclude_keys or ())
        stored, self._order = _stored(dataset)
        self._data, self._slices = stored._data, stored.slices
        self._values = self._data._store._mapping
        tensors = [v for v in self._values.values() if isinstance(v, Tensor)]
        if any(value.device.type != "cpu" for value in tensors):
            raise NotStoredError("attributes are not in main memory")
        # The order in which PyG gives them to a graph.
        names = [name for name in self._slices if name in self._values]
        if "num_nodes" in names:
            raise NotStoredError("'num_nodes' is stored as an attribute with slices")
        self._known: list[GraphRows] = []
        counted = self._stored_counts()
        self._nodes = self._node_rows(names, counted)
        self._num_nodes = None if "num_nodes" in self.exclude_keys else counted
        self._attributes = [
            self._attribute(name)
            for name in names
            # PyG makes `ptr` anew.
            if name not in self.exclude_keys and name != "ptr"
        ]
        self._template = empty_batch(type(self._data))

    def __len__(self) -> int:
        return self._order.numel()

    def __getitem__(self, index: int) -> Data:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        r"""Returns a batch."""
        asked = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        if asked.numel() == 0:
            raise ValueError("'indices' must name a graph (got none)")
        numbers = self._order[asked]
        chosen: dict[int, BatchRows] = {}
        nodes = None
        if self._nodes is not None:
            nodes = chosen[id(self._nodes)] = self._nodes.choose(numbers)
        counts = self._num_nodes
        return fill_batch(
            self._template,
            self._join(numbers, nodes, chosen),
            numbers.numel(),
            nodes,
            None if counts is None else counts[numbers].tolist(),
            self.follow_batch,
        )

    def row_counts(self, name: str | None = None) -> Tensor | None:
        r"""Returns how many rows an attribute has in each graph, :math:`[G]`.

        Args:
            name (str, optional): The attribute; by default the nodes are counted.
                (default: :obj:`None`)

        Returns:
            torch.Tensor: The counts; :obj:`None` if there is no such attribute, or
            graphs have no nodes.
        """
        rows = self._nodes
        if name is not None:
            rows = {part.name: part.rows for part in self._attributes}.get(name)
        return None if rows is None else rows.slices.diff()[self._order]

    def _join(
        self, numbers: Tensor, nodes: BatchRows | None, chosen: dict[int, BatchRows]
    ) -> Iterator[JoinedAttribute]:
        for attribute in self._attributes:
            # The rows of attributes that are cut alike are counted once.
            key = id(attribute.rows)
            if key not in chosen:
                chosen[key] = attribute.rows.choose(numbers)
            yield attribute.take(chosen[key], nodes)

    def _stored_counts(self) -> Tensor | None:
        numbers = self._data._store.__dict__.get("_num_nodes")
        if numbers is None:
            return None
        if not isinstance(numbers, list) or {type(n) for n in numbers} - {int}:
            raise NotStoredError("'_num_nodes' is no list of whole numbers")
        return torch.tensor(numbers, dtype=torch.long)

    def _node_rows(self, names: list[str], counted: Tensor | None) -> GraphRows | None:
        """The nodes of each graph, found as `Data.num_nodes` finds them."""
        if counted is not None:
            slices = torch.nn.functional.pad(counted.cumsum(0), (1, 0))
            return self._rows("num_nodes", int(slices[-1]), slices)
        named = counts_nodes(names)
        for name in named:
            value = self._values[name]
            if isinstance(value, Tensor):
                dim = self._dim(name, value)
                if dim is None:
                    raise NotStoredError(f"'{name}' has no row for each node")
                return self._rows(name, value.size(dim), self._slices_of(name))
        if named or {"adj", "adj_t", "edge_index", "face"} & {*names}:
            raise NotStoredError(
                "the number of nodes is not stored; set 'num_nodes' of each graph"
            )
        return None

    def _attribute(self, name: str) -> StoredAttribute:
        value, slices = self._values[name], self._slices_of(name)
        if isinstance(value, list) and all(
            # What PyG leaves as it is.
            isinstance(entry, str) or not isinstance(entry, JOINED)
            for entry in value
        ):
            rows = self._rows(name, len(value), slices)
            if not slices.equal(torch.arange(len(value) + 1)):
                raise NotStoredError(f"'{name}' is not one object a graph")
            return StoredAttribute(name, value, rows)
        if type(value) is not Tensor or value.layout != torch.strided:
            kind = type(value).__name__ if type(value) is not Tensor else value.layout
            raise NotStoredError(f"'{name}' is stored as '{kind}'")
        dim = self._dim(name, value)
        rows = self._rows(name, value.size(dim or 0), slices)
        increments: GraphRows | Tensor | None = None
        rule = by_nodes(self._data, name)
        if rule is None:
            increments = self._asked(name, dim is None)
        elif rule:
            if self._nodes is None:
                raise NotStoredError(f"'{name}' counts nodes, whose number is unknown")
            increments = self._nodes
        try:
            return StoredAttribute(name, value, rows, dim or 0, increments)
        except ValueError as error:
            raise NotStoredError(f"'{name}' {error}") from error

    def _dim(self, name: str, value: Tensor) -> int | None:
        """The dimension along which graphs are joined; `None` for a new first one."""
        dim: Any = self._data.__cat_dim__(name, value, self._data._store)
        if dim is None:
            return None
        if not isinstance(dim, int) or value.is_nested:
            raise NotStoredError(f"'{name}' is joined along {dim}")
        return dim % value.dim()

    def _slices_of(self, name: str) -> Tensor:
        slices = self._slices[name]
        if isinstance(slices, Tensor) and slices.dim() == 1:
            return slices.long()
        raise NotStoredError(f"'{name}' is a collection, or is joined along several")

    def _rows(self, name: str, count: int, slices: Tensor) -> GraphRows:
        for known in self._known:
            if known.num_rows == count and known.slices.equal(slices):
                return known
        try:
            self._known.append(GraphRows(slices, count))
        except ValueError as error:
            raise NotStoredError(f"'{name}' {error}") from error
        return self._known[-1]

    def _asked(self, name: str, unsqueeze: bool) -> Tensor:
        """What each graph says it adds, `[G, ...]`; zero for graphs that the dataset
        leaves out."""
        found: dict[int, Tensor] = {}
        for number in self._order.unique().tolist():
            graph = separate(
                cls=type(self._data),
                batch=self._data,
                idx=number,
                slice_dict=self._slices,
                decrement=False,
            )
            value = graph[name].unsqueeze(0) if unsqueeze else graph[name]
            found[number] = torch.as_tensor(graph.__inc__(name, value, graph._store))
        looks = {
            (tuple(inc.shape), inc.dtype, inc.device.type) for inc in found.values()
        }
        if len(looks) > 1 or any(device != "cpu" for _, _, device in looks):
            raise NotStoredError(
                f"'{name}' is incremented in another way by each graph"
            )
        first = next(iter(found.values()), torch.tensor(0))
        out = first.new_zeros((len(self._slices[name]) - 1, *first.shape))
        if found:
            out[torch.tensor([*found])] = torch.stack([*found.values()])
        return out


def _stored(dataset: Any) -> tuple[Any, Tensor]:
    """Returns the dataset whose tensors are stored, and which of its graphs a dataset
    holds, `[len(dataset)]`."""
    if type(dataset) is Subset:
        stored, order = _stored(dataset.dataset)
        return stored, order[_numbers(dataset.indices)]
    name = type(dataset).__name__
    if not isinstance(dataset, InMemoryDataset):
        raise NotStoredError(
            f"'{name}' keeps no collated tensors; where its graphs fit into memory, "
            f"pass 'in_memory(dataset)'"
        )
    if dataset.transform is not None:
        raise NotStoredError(
            f"'{name}' has a transform, which is called with one graph after another; "
            f"where it draws nothing at random, pass 'in_memory(dataset)'"
        )
    for method in OVERRIDDEN:
        if getattr(type(dataset), method) is not getattr(InMemoryDataset, method):
            raise NotStoredError(f"'{name}' has a method '{method}' of its own")
    data: Any = dataset._data
    if data is None or dataset.slices is None or dataset.len() < 2:
        raise NotStoredError(f"'{name}' holds fewer than two graphs")
    cls = type(data)
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise NotStoredError(f"graphs are '{cls.__name__}' and not 'Data'")
    if type(data._store) not in (GlobalStorage, TemporalStorage):
        raise NotStoredError(
            f"'{cls.__name__}' keeps attributes in '{type(data._store).__name__}'"
        )
    if len(cls()._store):
        raise NotStoredError(f"'{cls.__name__}' has attributes before any is set")
    return dataset, _numbers(dataset.indices())


def _numbers(indices: Sequence[int] | Tensor) -> Tensor:
    if isinstance(indices, range):
        return torch.arange(indices.start, indices.stop, indices.step)
    return torch.as_tensor(indices, dtype=torch.long).flatten()


class StoredLoader(torch.utils.data.DataLoader):
    r"""Loads batches of an in-memory dataset by slicing its stored tensors, or of an
    on-disk dataset by joining stored rows, in the order and with the content of
    :class:`torch_geometric.loader.DataLoader`.

    Which graphs a batch holds is decided by :class:`torch.utils.data.DataLoader`, whose
    arguments all work: the same seed gives the same order as with PyG's.

    Args:
        dataset (InMemoryDataset, ChunkedOnDiskDataset or Subset): The dataset, whole or
            indexed, without a transform.
        batch_size (int, optional): Graphs a batch. (default: :obj:`1`)
        shuffle (bool, optional): Whether to draw a new order in every epoch.
            (default: :obj:`False`)
        follow_batch (list[str], optional): As in :class:`StoredGraphs`.
            (default: :obj:`None`)
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)
        **kwargs (optional): Further arguments of :class:`torch.utils.data.DataLoader`,
            such as :obj:`batch_sampler`, :obj:`drop_last` or :obj:`generator`.

    Raises:
        NotStoredError: If batches cannot be cut from stored tensors;
            :func:`graph_loader` takes PyG's loader then.
        ValueError: If :obj:`batch_size` is :obj:`None`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        follow_batch: Collection[str] | None = None,
        exclude_keys: Collection[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if batch_size is None and kwargs.get("batch_sampler") is None:
            raise ValueError("'batch_size' must be a number of graphs (got None)")
        # Lightning makes a loader anew from its attributes.
        kwargs.pop("collate_fn", None)
        self.follow_batch = follow_batch
        self.exclude_keys = exclude_keys
        graphs = _graphs(dataset, follow_batch, exclude_keys)
        super().__init__(graphs, batch_size, shuffle, collate_fn=_as_it_is, **kwargs)


def graph_loader(dataset: Any, *args: Any, **kwargs: Any) -> StoredLoader | DataLoader:
    r"""Returns a :class:`StoredLoader` where the dataset allows it, and PyG's loader
    otherwise, which is logged with the reason.

    Args:
        dataset (Dataset): The dataset.
        *args (optional): Arguments of both.
        **kwargs (optional): Arguments of both.
    """
    try:
        return StoredLoader(dataset, *args, **kwargs)
    except NotStoredError as error:
        logger.info("batches are formed graph by graph: %s", error)
        return DataLoader(dataset, *args, **kwargs)


def why_not_stored(
    dataset: Any, exclude_keys: Collection[str] | None = None
) -> str | None:
    r"""Returns why :class:`StoredLoader` refuses a dataset, :obj:`None` if it does not.

    Args:
        dataset (Dataset): The dataset.
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)
    """
    try:
        _graphs(dataset, None, exclude_keys)
    except NotStoredError as error:
        return str(error)
    return None


def _graphs(
    dataset: Any,
    follow_batch: Collection[str] | None,
    exclude_keys: Collection[str] | None,
) -> "StoredGraphs | OnDiskGraphs":
    # It is made of what is in this file.
    from pyg_relational.loader.on_disk import OnDiskGraphs

    if isinstance(dataset, (StoredGraphs, OnDiskGraphs)):
        dataset = dataset.dataset
    whole = dataset
    while type(whole) is Subset:
        whole = whole.dataset
    on_disk = isinstance(whole, ChunkedOnDiskDataset)
    kind = OnDiskGraphs if on_disk else StoredGraphs
    return kind(dataset, follow_batch, exclude_keys)


def _as_it_is(batch: Batch) -> Batch:
    return batch
