"""Scenes in files: node-link JSON, JSON Lines, GraphML and GML, also compressed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    import networkx as nx


FORMATS = {
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".graphml": "graphml",
    ".gml": "gml",
}
MAX_BYTES = 2**28  # of a line, or of a file that has to be read whole
BROKEN = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Piece:
    """A file, or a line of one, that holds scenes."""

    file: str  # the file, relative to the folder
    position: str  # where in the file, such as `"line 3"`, or `""` for all of it
    form: str  # `"json"`, `"lines"`, `"graphml"` or `"gml"`
    content: bytes | None = None  # the line; a whole file is read when it is parsed
    error: str = ""  # why it cannot be read, if so

    @property
    def place(self) -> str:
        """File and position, as messages name them."""
        return f"'{self.file}'" + (f", {self.position}" if self.position else "")


def scene_files(source: Path) -> list[Path]:
    """Returns the files that hold scenes, sorted."""
    expected = ", ".join(FORMATS) + ", each also with .gz"
    if not source.exists():
        raise FileNotFoundError(f"'{source}' does not exist; name a file or folder")
    if source.is_file():
        if form_of(source) is None:
            raise ValueError(
                f"'{source}' is in no known format (expected {expected}); unpack "
                f"archives first"
            )
        return [source]
    files = sorted(p for p in source.rglob("*") if form_of(p) and p.is_file())
    if not files:
        raise ValueError(f"'{source}' holds no scenes (expected {expected})")
    inside = source.resolve()
    for path in files:
        if not path.resolve().is_relative_to(inside):
            raise ValueError(
                f"'{path}' is a link to '{path.resolve()}', outside of '{source}'; "
                f"copy the file into the folder"
            )
    return files


def form_of(path: Path) -> str | None:
    """Returns the format of a file by its name, `None` if it holds no scenes."""
    name = path.name.lower().removesuffix(".gz")
    return FORMATS.get(Path(name).suffix)


def pieces(source: Path) -> Iterator[Piece]:
    """Yields all files, those of JSON Lines line by line, in the same order each
    time."""
    folder = source if source.is_dir() else source.parent
    for path in scene_files(source):
        name, form = path.relative_to(folder).as_posix(), form_of(path) or ""
        if form == "lines":
            yield from _lines(path, name)
        else:
            yield Piece(name, "", form)


def read_piece(piece: Piece, folder: Path) -> list[tuple[str, nx.Graph | None, str]]:
    """Returns the scenes of a piece."""
    if piece.error:
        return [(piece.place, None, piece.error)]
    try:
        content = piece.content
        if content is None:
            with _open(folder / piece.file) as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError("is larger than 256 MiB; use JSON Lines, .jsonl")
        if piece.form not in ("json", "lines"):
            return [(piece.place, _parse(piece.form, content), "")]
        loaded = json.loads(content)
    # Parsers of other people's formats fail in many ways; all mean a bad scene.
    except (Exception, RecursionError) as error:
        return [(piece.place, None, _reason(error))]
    if not isinstance(loaded, list):
        return [_linked(piece.place, loaded)]
    return [
        _linked(f"{piece.place}, scene {number}", part)
        for number, part in enumerate(loaded)
    ]


def _linked(place: str, content: Any) -> tuple[str, nx.Graph | None, str]:
    import networkx as nx

    try:
        if not isinstance(content, dict) or "nodes" not in content:
            raise ValueError("expected node-link JSON, an object with 'nodes'")
        edges = "links" if "links" in content else "edges"
        graph = nx.node_link_graph({edges: [], **content}, edges=edges)
        if graph.number_of_nodes() != len(content["nodes"]):
            raise ValueError(
                "an edge ends at a node that is not among 'nodes', or two nodes have "
                "the same id; correct the file"
            )
    except Exception as error:  # As above.
        return place, None, _reason(error)
    return place, graph, ""


def _parse(form: str, content: bytes) -> nx.Graph:
    import networkx as nx

    if form == "graphml":
        return nx.read_graphml(io.BytesIO(content))
    return nx.parse_gml(content.decode("utf-8").splitlines(), label=None)


def _lines(path: Path, name: str) -> Iterator[Piece]:
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(MAX_BYTES + 1):
                number += 1
                position = f"line {number}"
                if len(line) > MAX_BYTES:
                    text = "is longer than 256 MiB; the rest of the file is not read"
                    yield Piece(name, position, "lines", error=text)
                    return
                if line.strip():
                    yield Piece(name, position, "lines", line)
    except BROKEN as error:
        position = f"after line {number}"
        yield Piece(name, position, "lines", error=_reason(error))


def _open(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast(BinaryIO, gzip.open(path))
    return path.open("rb")


def _reason(error: BaseException) -> str:
    """Returns what went wrong in one line."""
    kind = type(error).__name__
    text = " ".join(str(error).split()) or kind
    plain = isinstance(error, ValueError) and kind == "ValueError"
    return text if plain else f"{kind}: {text}"
