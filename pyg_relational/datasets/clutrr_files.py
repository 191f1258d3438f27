"""The CLUTRR archive: what its tables say, read without unpacking it."""

import ast
import csv
import io
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pyg_relational.datasets.archives import open_zip
from pyg_relational.datasets.names import check_name

RELATIONS = (
    "aunt",
    "brother",
    "daughter",
    "daughter-in-law",
    "father",
    "father-in-law",
    "granddaughter",
    "grandfather",
    "grandmother",
    "grandson",
    "husband",
    "mother",
    "mother-in-law",
    "nephew",
    "niece",
    "sister",
    "son",
    "son-in-law",
    "uncle",
    "wife",
)
COLUMNS = ("story", "query", "target", "story_edges", "edge_types", "query_edge")
# The largest table has 8 MB.
MAX_BYTES = 64 * 2**20
Pair = tuple[int, int]


class Chain(NamedTuple):
    """Persons, numbered from 0, who is whose what, and which relation is asked for.

    The edge (a, b) of type "father" says that b is the father of a.
    """

    edges: tuple[Pair, ...]
    types: tuple[int, ...]
    query: Pair
    target: int

    @property
    def num_nodes(self) -> int:
        """Number of persons."""
        return 1 + max(max(edge) for edge in self.edges)


def read_chains(path: str | Path, member: str) -> list[Chain]:
    """Reads a table of an archive; nothing is written anywhere.

    Args:
        path (str or Path): The archive.
        member (str): The name of the table in it.

    Raises:
        ValueError: The archive is damaged, holds a path that leads out of it, has no
            such table, or a row of it is wrong; file and row are named.
    """
    rows = csv.DictReader(io.StringIO(_read_member(Path(path), member), newline=""))
    columns = rows.fieldnames or []
    if missing := [name for name in COLUMNS if name not in columns]:
        raise ValueError(
            f"{member}: expected the columns {', '.join(COLUMNS)}; "
            f"{', '.join(missing)} missing. Fetch the archive again."
        )
    chains = []
    for number, row in _numbered(rows, member):
        try:
            chains.append(parse_chain(row))
        except ValueError as error:
            raise ValueError(
                f"{member}, row {number}: {error}; fetch the archive again."
            ) from error
    if not chains:
        raise ValueError(f"{member}: expected rows, found none.")
    return chains


def parse_chain(row: dict[str, Any]) -> Chain:
    """Reads one row.

    Args:
        row (dict[str, Any]): The text of each of `COLUMNS`.

    Raises:
        ValueError: The row is wrong; the message says what was expected.
    """
    edges = tuple(_pair(edge, "story_edges") for edge in _list(row, "story_edges"))
    names = _list(row, "edge_types")
    if not edges or len(edges) != len(names):
        raise ValueError(
            f"expected one of 'edge_types' for each of 'story_edges', got {len(names)} "
            f"for {len(edges)}"
        )
    query = _pair(_literal(row, "query_edge"), "query_edge")
    persons = {person for edge in edges for person in edge}
    if persons != set(range(len(persons))):
        raise ValueError(
            f"expected the persons of 'story_edges' to be numbered from 0 on without "
            f"gaps, got {sorted(persons)}"
        )
    if not _leads(edges, query):
        raise ValueError(
            f"expected 'story_edges' to lead from {query[0]} to {query[1]}, the "
            f"persons of 'query_edge', got {list(edges)}"
        )
    types = tuple(_relation("edge_types", name) for name in names)
    return Chain(edges, types, query, _relation("target", row["target"]))


def _read_member(path: Path, member: str) -> str:
    with open_zip(path) as archive:
        names = archive.namelist()
        for name in names:
            _check_inside(path, name)
        if member not in names:
            raise ValueError(
                f"{path.name!r} has no member {member!r}, it holds "
                f"{', '.join(sorted(names))}."
            )
        size = archive.getinfo(member).file_size
        if size > MAX_BYTES:
            raise ValueError(
                f"Expected {member!r} of {path.name!r} to have {MAX_BYTES} bytes "
                f"at most, got {size}."
            )
        # A text that is not UTF-8 is damage, too.
        return archive.read(member).decode()


def _check_inside(path: Path, name: str) -> None:
    """Refuses an archive made to write outside the folder it is unpacked into."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name:
        raise ValueError(
            f"{path.name!r} holds {name!r}, a path that leads out of the archive: it "
            "is not what was published, fetch it again."
        )


def _numbered(
    rows: Iterable[dict[str, Any]], member: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield number, row
    except csv.Error as error:
        raise ValueError(f"{member}, after row {number}: {error}.") from error


def _leads(edges: tuple[Pair, ...], query: Pair) -> bool:
    """Whether a way along the edges leads from the first person to the second."""
    reached = {query[0]}
    for _ in edges:
        reached |= {end for start, end in edges if start in reached}
    return query[0] != query[1] and query[1] in reached


def _relation(column: str, name: Any) -> int:
    return RELATIONS.index(check_name(f"relation in {column!r}:", name, RELATIONS))


def _literal(row: dict[str, Any], column: str) -> Any:
    text = row.get(column) or ""
    try:
        return _evaluated(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"expected {column!r} to be a Python list or tuple, got {text[:60]!r}"
        ) from error


@lru_cache(maxsize=4096)
def _evaluated(text: str) -> Any:
    # Thousands of rows share a few hundred texts; nobody changes the lists.
    return ast.literal_eval(text)


def _list(row: dict[str, Any], column: str) -> list[Any]:
    value = _literal(row, column)
    if not isinstance(value, list):
        raise ValueError(f"expected {column!r} to be a list, got {str(value)[:60]!r}")
    return value


def _pair(value: Any, column: str) -> Pair:
    if not (
        isinstance(value, tuple)
        and len(value) == 2
        and all(type(number) is int and number >= 0 for number in value)
    ):
        raise ValueError(
            f"expected {column!r} to hold pairs of numbers from 0 on, got {value!r}"
        )
    return value
