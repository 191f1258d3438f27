"""The SQLite file of an on-disk dataset, which is either complete or not there.

Graphs are in the table `graphs`, as PyG's `SQLiteDatabase` reads it, numbered from 0.
`chunks` names the chunks that are stored, `about` the dataset.
"""

import errno
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from torch import Tensor
from torch_geometric.data import Data, SQLiteDatabase

from pyg_relational.datasets.cache import alone, explained
from pyg_relational.datasets.in_order import in_order
from pyg_relational.datasets.on_disk_rows import (
    Row,
    Schema,
    pack,
    schema_from_json,
    schema_to_json,
)

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

# As `InMemoryDataset.collate` returns it: graphs, one after the other, and where those
# of each attribute start and end.
Graphs = tuple[Data, dict[str, Tensor] | None]
Make = Callable[[int], Graphs | None]


def prepare(
    path: Path, make: Make, num_chunks: int, workers: int, force_reload: bool = False
) -> None:
    """Makes the file where it is missing; one that was begun is continued.

    Several processes may make chunks, one writes them, in order: a chunk and the note
    that it is complete are one transaction. Of several processes that miss the file one
    makes it, while the others wait.

    Args:
        path (Path): The file.
        make (Callable[[int], tuple or None]): Makes the graphs of a chunk from its
            number alone: what `InMemoryDataset.collate` returns, or `None`.
        num_chunks (int): The number of chunks.
        workers (int): Processes that make chunks.
        force_reload (bool): Make the file even if there is one. (default: `False`)

    Raises:
        OSError: The folder cannot be written or the disk is full.
        ValueError: There is no graph, an attribute cannot be stored, chunks differ in
            their attributes, or what was begun is damaged.
    """
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
    """Returns the schema and the number of graphs of a complete file.

    Args:
        path (Path): The file.

    Raises:
        ValueError: It is damaged, or something else.
    """
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
    """Opens a complete file for reading.

    Args:
        path (Path): The file.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # A file of unknown origin runs nothing, and a broken page is noticed.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Says which file cannot be read and what to do about it.

    Args:
        path (Path): The file.

    Raises:
        ValueError: What is done fails as it does with a damaged file.
    """
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
