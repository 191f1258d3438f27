"""Batches joined from the rows that an on-disk dataset stores."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset
from torch_geometric.data import Batch, Data

from pyg_relational.datasets.on_disk import (
    TABLE,
    ChunkedOnDiskDataset,
    cat_dim,
    row_bytes,
)
from pyg_relational.loader.pair_budget import Numbers
from pyg_relational.loader.stored import (
    BatchRows,
    JoinedAttribute,
    NotStoredError,
    add_shifts,
    by_nodes,
    counts_nodes,
    empty_batch,
    fill_batch,
)

OVERRIDDEN = ("get", "indices", "deserialize", "__getitem__", "__getitems__")


class _Column(NamedTuple):
    """A column that a batch needs: the type, size and bytes of a row, the dimension of
    the rows in a graph, and whether the nodes of the graphs before are added."""

    name: str
    dtype: torch.dtype
    size: tuple[int, ...]
    width: int
    dim: int
    shifted: bool


class OnDiskGraphs(Dataset):
    r"""The graphs of an on-disk dataset, several of which are read as one batch by
    joining the bytes of each attribute, without a loop over graphs.

    The batch is that of :meth:`torch_geometric.data.Batch.from_data_list`, as with
    :class:`StoredGraphs`. Attributes that are left out are not read.

    Args:
        dataset (ChunkedOnDiskDataset or Subset): The dataset.
        follow_batch (list[str], optional): As in :class:`StoredGraphs`.
            (default: :obj:`None`)
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)

    Raises:
        NotStoredError: If there is a transform, a method of the dataset's own that
            reads graphs, an attribute whose increment each graph has to be asked for,
            or a number of nodes that has to be guessed.
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
        self._stored = _stored(dataset)
        self._template = empty_batch(Data)
        self._nodes = _node_column(self._stored)
        self._columns = _columns(self._stored, self.exclude_keys, self._nodes)
        wanted = [f"COL_{column.name}" for column in self._columns]
        if self._nodes == "num_nodes":
            wanted.append("COL_num_nodes")
        elif self._nodes is not None:
            # The length of a cell is known without reading it.
            wanted.append(f"LENGTH(COL_{self._nodes})")
        self._query = (
            f"SELECT {', '.join(['id', *wanted])} FROM {TABLE} "
            f"WHERE id IN (SELECT value FROM json_each(?))"
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Data:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        r"""Returns a batch."""
        if len(indices) == 0:
            raise ValueError("'indices' must name a graph (got none)")
        numbers = _numbers(self.dataset, indices)
        with self._stored.damage_named():
            return self._batch(numbers, self._read(numbers))

    def _read(self, numbers: list[int]) -> list[tuple[Any, ...]]:
        """Returns the columns of the chosen rows, in their order."""
        connection = self._stored.db.connection
        # SQLite sorts the numbers, so each page is read once.
        rows = connection.execute(self._query, (json.dumps(numbers),)).fetchall()
        found = {row[0]: row for row in rows}
        return [*zip(*[found[number] for number in numbers], strict=True)]

    def _batch(self, numbers: list[int], cells: list[tuple[Any, ...]]) -> Batch:
        known: dict[bytes, BatchRows] = {}
        nodes = counts = None
        if self._nodes is not None:
            found = np.fromiter(cells[-1], np.int64, len(numbers))
            if self._nodes == "num_nodes":
                counts = None if "num_nodes" in self.exclude_keys else cells[-1]
            else:
                width = row_bytes(self._stored.schema[self._nodes])
                found = _count_rows(self._nodes, found, width)
            nodes = _choose(found, known)
        return fill_batch(
            self._template,
            self._join(cells[1:], nodes, known),
            len(numbers),
            nodes,
            None if counts is None else [*counts],
            self.follow_batch,
        )

    def _join(
        self,
        cells: list[tuple[Any, ...]],
        nodes: BatchRows | None,
        known: dict[bytes, BatchRows],
    ) -> Iterator[JoinedAttribute]:
        for column, blobs in zip(self._columns, cells, strict=False):
            sizes = np.fromiter(map(len, blobs), np.int64, len(blobs))
            rows = _choose(_count_rows(column.name, sizes, column.width), known)
            value = _join_cells(column, blobs)
            if column.shifted:
                assert nodes is not None
                shifts = nodes.ptr[:-1].clone()
                if shifts[-1]:
                    shape = (1,) * value.dim()
                    value = add_shifts(value, shifts, rows.owner, column.dim, shape)
            else:
                shifts = torch.zeros(len(blobs), dtype=torch.long)
            yield JoinedAttribute(column.name, value, shifts, rows)


def _stored(dataset: Any) -> ChunkedOnDiskDataset:
    while type(dataset) is Subset:
        dataset = dataset.dataset
    name = type(dataset).__name__
    if not isinstance(dataset, ChunkedOnDiskDataset):
        raise NotStoredError(f"'{name}' is not a 'ChunkedOnDiskDataset'")
    if dataset.transform is not None:
        raise NotStoredError(
            f"'{name}' has a transform, which is called with one graph after another"
        )
    for method in OVERRIDDEN:
        if getattr(type(dataset), method) is not getattr(ChunkedOnDiskDataset, method):
            raise NotStoredError(f"'{name}' has a method '{method}' of its own")
    return dataset


def _node_column(dataset: ChunkedOnDiskDataset) -> str | None:
    """Returns the column that tells the number of nodes, as `Data.num_nodes` does."""
    if "num_nodes" in dataset.schema:
        return "num_nodes"
    return next(iter(counts_nodes([*dataset.schema])), None)


def _columns(
    dataset: ChunkedOnDiskDataset, exclude_keys: Collection[str], nodes: str | None
) -> list[_Column]:
    columns = []
    for name, column in dataset.schema.items():
        # PyG makes `ptr` anew.
        if name in exclude_keys or name in ("num_nodes", "ptr"):
            continue
        shifted = by_nodes(Data(), name)
        if shifted is None:
            raise NotStoredError(
                f"'{name}' is incremented in another way by each graph"
            )
        if shifted and nodes is None:
            raise NotStoredError(f"'{name}' counts nodes, whose number is unknown")
        size, width = column["size"][1:], row_bytes(column)
        dim = cat_dim(name) % (len(size) + 1)
        columns.append(_Column(name, column["dtype"], size, width, dim, shifted))
    return columns


def _numbers(dataset: Any, indices: Sequence[int]) -> list[int]:
    """Returns the numbers of graphs in the file."""
    while type(dataset) is Subset:
        indices = [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    known = dataset.indices()
    return [int(known[index]) for index in indices]


def _count_rows(name: str, sizes: Numbers, width: int) -> Numbers:
    if (sizes % width).any():
        raise ValueError(f"'{name}' has a part of a row")
    return sizes // width


def _choose(sizes: Numbers, known: dict[bytes, BatchRows]) -> BatchRows:
    """Attributes of as many rows are counted once."""
    key = sizes.tobytes()
    if key not in known:
        ptr = np.zeros(len(sizes) + 1, dtype=np.int64)
        sizes.cumsum(out=ptr[1:])
        owner = np.repeat(np.arange(len(sizes)), sizes)
        parts: tuple[Tensor, Tensor] = torch.from_numpy(owner), torch.from_numpy(ptr)
        known[key] = BatchRows(torch.arange(len(sizes)), None, *parts)
    return known[key]


def _join_cells(column: _Column, cells: Sequence[bytes]) -> Tensor:
    content = bytearray().join(cells)
    if content:
        flat = torch.frombuffer(content, dtype=column.dtype)
    else:
        flat = torch.empty(0, dtype=column.dtype)
    # [R, ...] -> [..., R, ...]
    return flat.view(-1, *column.size).movedim(0, column.dim).contiguous()
