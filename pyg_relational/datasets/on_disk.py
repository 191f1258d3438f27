"""Datasets that are larger than memory, in one SQLite file.

A cell of a tensor is its bytes, rows of nodes, edges or the like first: an
`edge_index` `[2, E]` is stored as `[E, 2]`. So the cells of several graphs, one after
the other, are those of a batch, and the length of a cell tells how many rows a graph
has.

Graphs are in the table `graphs`, as PyG's `SQLiteDatabase` reads it, numbered from 0.
`chunks` names the chunks that are stored, `about` the dataset.
"""

import errno
import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import (
    Data,
    InMemoryDataset,
    OnDiskDataset,
    SQLiteDatabase,
)
from torch_geometric.data.collate import collate

from pyg_relational._checks import check_int
from pyg_relational._files import alone, explained
from pyg_relational.data.in_order import in_order
from pyg_relational.datasets.base import (
    Filter,
    Slices,
    Transform,
    changed_name,
    keep_and_change,
)

# As PyG's on-disk dataset takes it: a dtype and a size, or `int` for "num_nodes".
Schema = dict[str, Any]
Row = tuple[Any, ...]
# As `InMemoryDataset.collate` returns it: graphs, one after the other, and where those
# of each attribute start and end.
Graphs = tuple[Data, Slices | None]
Make = Callable[[int], Graphs | None]
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.float32,
        torch.float64,
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
TABLE = "graphs"
# Small graphs fill pages of this size with little left over.
PAGE_BYTES = 16384
# How a file is laid out: raise it whenever that changes.
LAYOUT = 1
BEGIN = """
    CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS chunks (number INTEGER PRIMARY KEY, graphs INTEGER);
"""
# What SQLite calls a folder or disk that cannot be written, rather than a bad file.
UNWRITABLE = ("FULL", "READONLY", "CANTOPEN", "IOERR", "PERM")
DAMAGE = (sqlite3.DatabaseError, ValueError, TypeError, LookupError, RuntimeError)


def pack(data: Data, slices: Mapping[str, Tensor] | None) -> tuple[Schema, list[Row]]:
    """Returns the schema of graphs and a row for each."""
    if type(data) is not Data:
        raise ValueError(f"graphs must be 'Data', not '{type(data).__name__}'")
    if slices is None:
        data, slices, _ = collate(Data, [data], increment=False, add_batch=False)
    if left := sorted({*data.keys()} - {*slices, "num_nodes"}):
        raise ValueError(f"'{left[0]}' has no slices, which cut it into graphs")
    schema: Schema = {}
    columns: list[list[Any]] = []
    for name in slices:
        rows = _rows(data, name)
        schema[name] = {"dtype": rows.dtype, "size": (-1, *rows.shape[1:])}
        content = rows.numpy().tobytes()
        ends = (slices[name] * row_bytes(schema[name])).tolist()
        columns.append([content[start:stop] for start, stop in pairwise(ends)])
    numbers = data._store.__dict__.get("_num_nodes")
    if numbers is not None:
        schema["num_nodes"] = int
        columns.append(numbers)
    _check_names(schema)
    return schema, list(zip(*columns, strict=True))


def row_bytes(column: Mapping[str, Any]) -> int:
    """Returns the bytes of one row of an attribute."""
    return int(column["dtype"].itemsize * math.prod(column["size"][1:]))


def cat_dim(name: str) -> int:
    """Returns the dimension of the rows of an attribute in a graph."""
    return int(Data().__cat_dim__(name, None))


def schema_to_json(schema: Schema) -> Any:
    """Returns a schema as lists and texts."""
    return [
        [name, "int" if column is int else [NAMES[column["dtype"]], *column["size"]]]
        for name, column in schema.items()
    ]


def schema_from_json(content: Any) -> Schema:
    """Returns the schema that `schema_to_json` wrote."""
    try:
        schema: Schema = {
            name: int
            if column == "int"
            else {"dtype": DTYPES[column[0]], "size": tuple(column[1:])}
            for name, column in content
        }
        _check_names(schema)
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{content!r} is no schema") from error
    if not schema or schema_to_json(schema) != content:
        raise ValueError(f"{content!r} is no schema")
    for name, column in schema.items():
        if column is int and name == "num_nodes":
            continue
        size = () if column is int else column["size"]
        if size[:1] != (-1,) or not all(type(n) is int and n > 0 for n in size[1:]):
            raise ValueError(f"'{name}' has the size {size}")
    return schema


def _rows(data: Data, name: str) -> Tensor:
    value = data[name]
    dense = type(value) is Tensor and value.layout == torch.strided
    if not dense or value.dtype not in NAMES or value.is_nested or not value.dim():
        kind = value.dtype if type(value) is Tensor else type(value).__name__
        raise ValueError(
            f"'{name}' must be a dense tensor of one of the types {', '.join(DTYPES)}, "
            f"not '{kind}'"
        )
    rows = value.detach().cpu().movedim(cat_dim(name), 0).contiguous()
    if math.prod(rows.shape[1:]) == 0:
        raise ValueError(f"'{name}' has rows without a number: {list(value.shape)}")
    return rows


def _check_names(schema: Schema) -> None:
    for name in schema:
        if not name.isidentifier():
            raise ValueError(f"'{name}' cannot name a column; use letters and digits")
    if len({name.lower() for name in schema}) < len(schema):
        raise ValueError(
            f"the names of columns must differ in more than case: {', '.join(schema)}"
        )


def prepare(
    path: Path, make: Make, num_chunks: int, workers: int, force_reload: bool = False
) -> None:
    """Makes the file where it is missing; one that was begun is continued.

    Several processes may make chunks, one writes them, in order: a chunk and the note
    that it is complete are one transaction. Of several processes that miss the file one
    makes it, while the others wait."""
    if path.is_file() and not force_reload:
        return
    with alone(path):
        # Another process may have made it meanwhile.
        if path.is_file() and not force_reload:
            return
        begun = path.with_name(f".{path.name}.partial")
        if force_reload:
            with explained(path):
                begun.unlink(missing_ok=True)
                begun.with_name(f"{begun.name}-journal").unlink(missing_ok=True)
        with explained(path):
            _fill(begun, path.name, make, num_chunks, workers)
            begun.replace(path)


def read_about(path: Path) -> tuple[Schema, int]:
    """Returns the schema and the number of graphs of a complete file."""
    with damage_named(path), closing(connect(path)) as connection:
        schema = _known_schema(connection, path.name)
        count = int(_about(connection)["graphs"])
        query = "SELECT type FROM sqlite_master WHERE name = ?"
        kinds = connection.execute(query, (TABLE,)).fetchall()
        # Two queries: each alone looks at one end of the table.
        ends = [
            connection.execute(f"SELECT {end}(id) FROM {TABLE}").fetchone()[0]
            for end in ("MIN", "MAX")
        ]
        if schema is None or kinds != [("table",)] or ends != [0, count - 1]:
            raise ValueError(f"it does not hold {count} graphs")
        return schema, count


def connect(path: Path) -> sqlite3.Connection:
    """Opens a complete file for reading."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # A file of unknown origin runs nothing, and a broken page is noticed.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Says which file cannot be read and what to do about it."""
    try:
        yield
    except DAMAGE as error:
        raise ValueError(
            f"'{path}' is damaged, or no dataset of this package ({error}); delete it, "
            f"and it is made anew"
        ) from error


def _fill(path: Path, name: str, make: Make, num_chunks: int, workers: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        with _written(path):
            schema, done, count = _begin(connection, name)
        chunks = in_order(partial(_packed, make), range(done, num_chunks), workers)
        for number, (found, rows) in enumerate(chunks, done):
            if rows and schema not in (None, found):
                raise ValueError(
                    f"expected chunk {number} to hold the attributes of those before "
                    f"it, {schema}, got {found}"
                )
            with _written(path):
                if rows and schema is None:
                    schema = found
                    # PyG makes the table, as it reads it.
                    SQLiteDatabase(str(path), TABLE, schema).close()
                with connection:
                    _insert(connection, number, count, schema, rows)
            count += len(rows)
        if count == 0:
            raise ValueError("expected `pre_filter` to keep a graph, it kept none")
        with _written(path), connection:
            _note(connection, "graphs", count)


def _begin(connection: sqlite3.Connection, name: str) -> tuple[Schema | None, int, int]:
    """Returns the schema, and the number of chunks and graphs that are stored."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.executescript(BEGIN)
    if not _about(connection):
        with connection:
            _note(connection, "layout", LAYOUT)
            _note(connection, "name", name)
    schema = _known_schema(connection, name)
    query = "SELECT COUNT(*), COALESCE(SUM(graphs), 0) FROM chunks"
    done, count = connection.execute(query).fetchone()
    return schema, done, count


def _insert(
    connection: sqlite3.Connection,
    number: int,
    start: int,
    schema: Schema | None,
    rows: list[Row],
) -> None:
    if schema is not None:
        _note(connection, "schema", json.dumps(schema_to_json(schema)))
        names = ", ".join(["id", *(f"COL_{name}" for name in schema)])
        marks = ", ".join("?" * (len(schema) + 1))
        numbered = ((place, *row) for place, row in enumerate(rows, start))
        query = f"INSERT INTO {TABLE} ({names}) VALUES ({marks})"
        connection.executemany(query, numbered)
    connection.execute("INSERT INTO chunks VALUES (?, ?)", (number, len(rows)))


def _packed(make: Make, number: int) -> tuple[Schema, list[Row]]:
    graphs = make(number)
    return ({}, []) if graphs is None else pack(*graphs)


def _about(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM about"))


def _note(connection: sqlite3.Connection, key: str, value: int | str) -> None:
    query = "INSERT OR REPLACE INTO about VALUES (?, ?)"
    connection.execute(query, (key, str(value)))


def _known_schema(connection: sqlite3.Connection, name: str) -> Schema | None:
    """Returns the schema; none before the first graph is stored."""
    about = _about(connection)
    if (about["layout"], about["name"]) != (str(LAYOUT), name):
        raise ValueError(f"it is '{about['name']}', laid out as {about['layout']}")
    if "schema" not in about:
        return None
    schema = schema_from_json(json.loads(about["schema"]))
    found = [column[1] for column in connection.execute(f"PRAGMA table_info({TABLE})")]
    if found != ["id", *(f"COL_{name}" for name in schema)]:
        raise ValueError(f"its table has the columns {', '.join(found)}")
    return schema


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Tells a disk that cannot be written from a damaged file."""
    try:
        with damage_named(path):
            yield
    except ValueError as error:
        name = getattr(error.__cause__, "sqlite_errorname", "")
        if name.removeprefix("SQLITE_").startswith(UNWRITABLE):
            raise OSError(errno.EIO, str(error.__cause__)) from error
        raise


class ChunkedOnDiskDataset(OnDiskDataset):
    r"""Graphs in an SQLite file, more than fit into memory: PyG's on-disk dataset with
    a schema, made chunk by chunk on the first use.

    The chunks may be made by several processes; what is stored does not depend on how
    many. After an interruption the next use continues with the next chunk. A file that
    is not complete is never read, and of several processes that miss it one makes it.

    Args:
        root (str): Folder of the dataset; the file goes to `root/processed`.
        name (str): The file name, which tells whatever the graphs depend on. A hash of
            the `repr` of `pre_transform` and `pre_filter` is added.
        make (Callable[[int], tuple or None]): Makes the graphs of a chunk from its
            number alone: a `Data` with all of them, one after the other, and the
            slices of each attribute, as `InMemoryDataset.collate` returns them, or
            `None` for no graphs. It can be pickled where there are several workers.
        num_chunks (int): The number of chunks.
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing. (default: `None`)
        pre_filter (Callable, optional): Keeps the graphs for which it is true.
            (default: `None`)
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
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        workers: int = 1,
        force_reload: bool = False,
    ) -> None:
        check_int("num_chunks", num_chunks, 1)
        check_int("workers", workers, 1)
        if pre_transform is not None or pre_filter is not None:
            make = partial(_changed, make, pre_filter, pre_transform)
        stem = changed_name(Path(name).stem, pre_transform, pre_filter)
        self._file_name = stem + Path(name).suffix
        self._opened_by = -1
        super().__init__(str(root), transform)
        path = Path(self.processed_paths[0])
        prepare(path, make, num_chunks, workers, force_reload)
        self.schema, self._numel = read_about(path)

    @property
    def processed_file_names(self) -> str:
        return self._file_name

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
        r"""Returns several graphs."""
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


def _changed(
    make: Make, pre_filter: Filter | None, pre_transform: Transform | None, number: int
) -> Graphs | None:
    """The graphs of a chunk, after the filter and the transform."""
    if (graphs := make(number)) is None:
        return None
    chunk = InMemoryDataset()
    chunk._data, chunk.slices = graphs
    return keep_and_change(chunk, pre_filter, pre_transform)


class _ReadOnlyDatabase(SQLiteDatabase):
    def connect(self) -> None:
        self._connection = connect(Path(self.path))
        self._cursor = self._connection.cursor()
