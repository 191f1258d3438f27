"""Batches cut from the stored tensors of a dataset."""

import copy
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

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


class NotStoredError(ValueError):
    """A dataset whose batches cannot be cut from stored tensors; the text says why."""


# Any graphs as an in-memory dataset.


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


@dataclass(frozen=True)
class Chosen:
    """The segments of the graphs of a batch.

    Args:
        numbers (torch.Tensor): The number of each graph, `[B]`.
        rows (torch.Tensor or None): The rows of these graphs one after another, `[R]`;
            `None` where all segments are equally long.
        owner (torch.Tensor): The graph of the batch that each row belongs to, `[R]`.
        ptr (torch.Tensor): Where the graphs start and end in the batch, `[B + 1]`.
    """

    numbers: Tensor
    rows: Tensor | None
    owner: Tensor
    ptr: Tensor


class Segments:
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

    def choose(self, numbers: Tensor) -> Chosen:
        """Returns the segments of some graphs, in their order."""
        if self.each is None:
            return self._count_rows(numbers)
        count = numbers.numel()
        # Most batches are as large as the one before.
        if self._last is None or self._last[0].numel() != count + 1:
            ptr = torch.arange(count + 1) * self.each
            owner = torch.arange(count)
            self._last = ptr, owner.repeat_interleave(self.each)
        ptr, owner = self._last
        return Chosen(numbers, None, owner, ptr)

    def _count_rows(self, numbers: Tensor) -> Chosen:
        # NumPy takes a third of the time of `gather_sets` for as few as these.
        index, slices = numbers.numpy(), self.slices.numpy()
        starts = slices[index]
        sizes = slices[1:][index] - starts
        ptr = np.zeros(len(index) + 1, dtype=np.int64)
        sizes.cumsum(out=ptr[1:])
        owner = np.repeat(np.arange(len(index)), sizes)
        rows = np.arange(ptr[-1]) + (starts - ptr[:-1])[owner]
        return Chosen(
            numbers,
            torch.from_numpy(rows),
            torch.from_numpy(owner),
            torch.from_numpy(ptr),
        )


# Where the tensors of a dataset are, and the graphs that it holds.


OVERRIDDEN = ("get", "indices", "__getitem__")


@dataclass(frozen=True)
class Source:
    """The tensors of a dataset.

    Args:
        data (Data): The attributes of all graphs, one graph after another.
        slices (Mapping): Where the graphs start and end in each attribute.
        order (torch.Tensor): The graphs that the dataset holds, `[len(dataset)]`.
    """

    data: Data
    slices: Mapping[str, Any]
    order: Tensor


def source_of(dataset: Any) -> Source:
    """Returns where the graphs of a dataset are."""
    if type(dataset) is Subset:
        source = source_of(dataset.dataset)
        chosen = _numbers(dataset.indices)
        return Source(source.data, source.slices, source.order[chosen])
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
    data, slices = dataset._data, dataset.slices
    if data is None or slices is None or dataset.len() < 2:
        raise NotStoredError(f"'{name}' holds fewer than two graphs")
    _check_class(data)
    return Source(data, slices, _numbers(dataset.indices()))


def _check_class(data: Any) -> None:
    cls = type(data)
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise NotStoredError(f"graphs are '{cls.__name__}' and not 'Data'")
    if type(data._store) not in (GlobalStorage, TemporalStorage):
        raise NotStoredError(
            f"'{cls.__name__}' keeps attributes in '{type(data._store).__name__}'"
        )
    if len(cls()._store):
        raise NotStoredError(f"'{cls.__name__}' has attributes before any is set")


def _numbers(indices: Sequence[int] | Tensor) -> Tensor:
    if isinstance(indices, range):
        return torch.arange(indices.start, indices.stop, indices.step)
    return torch.as_tensor(indices, dtype=torch.long).flatten()


# Whose rule is known: the number of nodes for names with `index`, nothing for others.
KNOWN = (Data.__inc__, TemporalGraph.__inc__)


def by_nodes(data: Data, name: str) -> bool | None:
    """Tells whether an attribute is incremented by the number of nodes, or not at all;
    `None` where each graph has to be asked."""
    cls = type(data)
    if cls.__inc__ not in KNOWN or cls.num_nodes is not Data.num_nodes:
        return None
    if "batch" in name:
        return None
    return "index" in name or name == "face"


def ask_each_graph(source: Source, name: str, unsqueeze: bool) -> Tensor:
    """Returns what each graph of a dataset says, `[G, ...]`; zero for graphs that the
    dataset leaves out."""
    found: dict[int, Tensor] = {}
    slices: Mapping[str, Any] = source.slices
    for number in source.order.unique().tolist():
        graph = separate(
            cls=type(source.data),
            batch=source.data,
            idx=number,
            slice_dict=slices,
            decrement=False,
        )
        value = graph[name].unsqueeze(0) if unsqueeze else graph[name]
        found[number] = torch.as_tensor(graph.__inc__(name, value, graph._store))
    shapes = {(tuple(inc.shape), inc.dtype, inc.device.type) for inc in found.values()}
    if len(shapes) > 1 or any(device != "cpu" for _, _, device in shapes):
        raise NotStoredError(f"'{name}' is incremented in another way by each graph")
    first = next(iter(found.values()), torch.tensor(0))
    out = first.new_zeros((len(slices[name]) - 1, *first.shape))
    if found:
        out[torch.tensor([*found])] = torch.stack([*found.values()])
    return out


# A batch from the joined attributes of its graphs.


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
    """Returns a batch without attributes."""
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
    """Returns a filled copy of an empty batch."""
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


class StoredList:
    """An attribute that is one text or other object for each graph of a dataset.

    Args:
        name (str): Its name.
        values (list): The object of each graph, `[G]`.
        segments (Segments): One row for each graph.
    """

    increments = None

    def __init__(self, name: str, values: list[Any], segments: Segments) -> None:
        self.name = name
        self.segments = segments
        self._values = values

    def shifts(self, numbers: Tensor, nodes: Chosen | None) -> None:
        """Returns nothing: there is nothing to add."""

    def take(self, chosen: Chosen, shifts: None) -> list[Any]:
        """Returns the objects of the graphs of a batch, in their order."""
        return [self._values[number] for number in chosen.numbers.tolist()]


class StoredTensor:
    """An attribute of all graphs of a dataset, joined along one dimension.

    Args:
        name (str): Its name.
        value (torch.Tensor): The rows of all graphs, `[..., sum of rows, ...]`.
        dim (int): The dimension of the rows.
        segments (Segments): The rows of each graph.
        increments (Segments or torch.Tensor, optional): What each graph adds to the
            values of the graphs behind it in a batch: its number of nodes, of which
            these are the segments, or any numbers, `[G, ...]`. (default: `None`)

    Raises:
        ValueError: The increments differ between the rows of a graph.
    """

    def __init__(
        self,
        name: str,
        value: Tensor,
        dim: int,
        segments: Segments,
        increments: Segments | Tensor | None = None,
    ) -> None:
        self.name = name
        self.segments = segments
        self.increments = increments
        self._dim = dim
        self._value = value
        if segments.each is not None:
            # [..., G * each, ...] -> [..., G, each, ...]
            self._value = value.unflatten(dim, (segments.count, segments.each))
        shape = increments.shape[1:] if isinstance(increments, Tensor) else ()
        missing = value.dim() - len(shape)
        # As PyG adds them: the last dimensions fit those of the value.
        self._shape = (*[1] * missing, *shape)
        if missing < 0 or self._shape[dim] != 1:
            raise ValueError(f"is incremented by {list(shape)} numbers a graph")

    def shifts(self, numbers: Tensor, nodes: Chosen | None) -> Tensor:
        """Returns what PyG adds to the values of each graph of a batch, `[B, ...]`."""
        if self.increments is None:
            return torch.zeros(numbers.numel(), dtype=torch.long)
        if isinstance(self.increments, Segments):
            assert nodes is not None
            return nodes.ptr[:-1].clone()
        each = self.increments[numbers]
        return torch.cat([torch.zeros_like(each[:1]), each[:-1].cumsum(0)])

    def take(self, chosen: Chosen, shifts: Tensor) -> Tensor:
        """Returns the rows of the graphs of a batch, in their order, as a copy."""
        dim = self._dim
        if chosen.rows is None:
            # [..., G, each, ...] -> [..., B * each, ...]
            rows = self._value.index_select(dim, chosen.numbers).flatten(dim, dim + 1)
        else:
            rows = self._value.index_select(dim, chosen.rows)
        if self.increments is None or (shifts.dim() == 1 and not shifts[-1]):
            return rows
        return add_shifts(rows, shifts, chosen.owner, dim, self._shape)


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
    """Returns the attributes of a dataset."""
    source = source_of(dataset)
    return _Reader(source).read(exclude_keys)


def counts_nodes(names: Collection[str]) -> list[str]:
    """Returns the attributes that have a row for each node, as `Data.num_nodes` asks
    them."""
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
        stored = read_attributes(dataset, self.exclude_keys)
        self._stored = stored
        self._template = empty_batch(stored.data_class)

    def __len__(self) -> int:
        return self._stored.order.numel()

    def __getitem__(self, index: int) -> Data:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        r"""Returns a batch."""
        asked = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        if asked.numel() == 0:
            raise ValueError("'indices' must name a graph (got none)")
        stored = self._stored
        numbers = stored.order[asked]
        chosen: dict[int, Chosen] = {}
        nodes = _choose(stored.nodes, numbers, chosen) if stored.nodes else None
        counts = stored.num_nodes
        return fill_batch(
            self._template,
            self._join(numbers, nodes, chosen),
            numbers,
            nodes,
            None if counts is None else counts[numbers].tolist(),
            self.follow_batch,
        )

    def _join(
        self, numbers: Tensor, nodes: Chosen | None, chosen: dict[int, Chosen]
    ) -> Iterator[Joined]:
        for attribute in self._stored.attributes:
            rows = _choose(attribute.segments, numbers, chosen)
            shift: Any = attribute.shifts(numbers, nodes)
            yield Joined(attribute.name, attribute.take(rows, shift), shift, rows)


def _choose(segments: Segments, numbers: Tensor, chosen: dict[int, Chosen]) -> Chosen:
    """The rows of attributes that are cut alike are counted once."""
    if id(segments) not in chosen:
        chosen[id(segments)] = segments.choose(numbers)
    return chosen[id(segments)]


logger = logging.getLogger(__name__)


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
        follow_batch (list[str], optional): Attributes whose rows get a vector
            :obj:`<name>_batch` that assigns them to graphs, and :obj:`<name>_ptr`.
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
