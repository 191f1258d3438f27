import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, OnDiskDataset, SQLiteDatabase

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.on_disk_file import (
    TABLE,
    Make,
    connect,
    damage_named,
    prepare,
    read_about,
)
from pyg_relational.datasets.on_disk_rows import cat_dim, row_bytes


class ChunkedOnDiskDataset(OnDiskDataset):
    r"""Graphs in an SQLite file, more than fit into memory: PyG's on-disk dataset with
    a schema, made chunk by chunk on the first use.

    The chunks may be made by several processes; what is stored does not depend on how
    many. After an interruption the next use continues with the next chunk. A file that
    is not complete is never read, and of several processes that miss it one makes it.

    Args:
        root (str): Folder of the dataset; the file goes to `root/processed`.
        name (str): The file name, which carries whatever the graphs depend on.
        make (Callable[[int], tuple or None]): Makes the graphs of a chunk from its
            number alone: a `Data` with all of them, one after the other, and the
            slices of each attribute, as `InMemoryDataset.collate` returns them, or
            `None` for no graphs. It can be pickled where there are several workers.
        num_chunks (int): The number of chunks.
        transform (Callable, optional): Applied on every access. (default: `None`)
        workers (int): Processes that make chunks. (default: `1`)
        force_reload (bool): Make the file again. (default: `False`)

    Raises:
        OSError: The file has to be made and cannot be written.
        TypeError: A number is not an integer.
        ValueError: A number is too small, there is no graph, an attribute is no tensor
            of fixed type and size, or the file is damaged.
    """

    _db: SQLiteDatabase | None

    def __init__(
        self,
        root: str,
        name: str,
        make: Make,
        num_chunks: int,
        transform: Callable[[Data], Data] | None = None,
        workers: int = 1,
        force_reload: bool = False,
    ) -> None:
        check_int("num_chunks", num_chunks, 1)
        check_int("workers", workers, 1)
        self._name = name
        self._opened_by = -1
        super().__init__(str(root), transform)
        path = Path(self.processed_paths[0])
        prepare(path, make, num_chunks, workers, force_reload)
        self.schema, self._numel = read_about(path)

    @property
    def processed_file_names(self) -> str:
        return self._name

    @property
    def db(self) -> SQLiteDatabase:
        r"""Returns the database, opened for reading by the process that asks."""
        if self._db is None or self._opened_by != os.getpid():
            # Kept: a connection must not be closed by a process that inherited it.
            self._inherited = self._db
            self._db = _ReadOnlyDatabase(self.processed_paths[0], TABLE, self.schema)
            self._opened_by = os.getpid()
        return self._db

    def close(self) -> None:
        r"""Closes the file; the next access opens it again."""
        if self._opened_by == os.getpid():
            super().close()
            self._db = None

    def get(self, idx: int) -> Data:
        r"""Returns a graph.

        Args:
            idx (int): Its number in the file.
        """
        with self.damage_named():
            return super().get(idx)

    def __getitems__(self, indices: Sequence[int]) -> list[Data]:
        r"""Returns several graphs.

        Args:
            indices (list[int]): Their numbers in the dataset.
        """
        known = self.indices()
        numbers = [known[index] for index in indices]
        with self.damage_named():
            rows = self.db.multi_get(numbers)
            if len(rows) < len(numbers):
                raise LookupError(f"only {len(rows)} of {len(numbers)} graphs found")
            graphs = [self.deserialize(row) for row in rows]
        return graphs if self.transform is None else [*map(self.transform, graphs)]

    def row_counts(self, name: str) -> Tensor:
        r"""Returns how many rows of an attribute each graph has, without reading them.

        Args:
            name (str): A tensor of the schema.
        """
        with self.damage_named():
            query = f"SELECT LENGTH(COL_{name}) FROM {TABLE} ORDER BY id"
            found = self.db.connection.execute(query)
            sizes = torch.tensor([size for (size,) in found], dtype=torch.long)
        counts = sizes // row_bytes(self.schema[name])
        return counts[torch.as_tensor(self.indices(), dtype=torch.long)]

    def deserialize(self, data: dict[str, Any]) -> Data:
        r"""Returns the graph of a row.

        Args:
            data (dict): The attributes, their rows first.
        """
        graph = Data()
        for name, value in data.items():
            graph[name] = value
            if isinstance(value, Tensor):
                graph[name] = value.movedim(0, cat_dim(name))
        return graph

    def damage_named(self) -> AbstractContextManager[None]:
        r"""Says which file is damaged where reading fails."""
        return damage_named(Path(self.processed_paths[0]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_db": None, "_inherited": None}


class _ReadOnlyDatabase(SQLiteDatabase):
    def connect(self) -> None:
        self._connection = connect(Path(self.path))
        self._cursor = self._connection.cursor()
