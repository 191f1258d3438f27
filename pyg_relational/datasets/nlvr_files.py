"""The NLVR files: what their lines say."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pyg_relational.datasets.vocabulary import tokenize

NUM_BOXES = 3
# The width of a box in pixels.
BOX_SIZE = 100
TYPES = ("circle", "square", "triangle")
COLOURS = ("yellow", "black", "blue")
# As the files write them, in lower case.
COLOUR_NAMES = {"yellow": 0, "black": 1, "#0099ff": 2}
LABELS = {"false": 0, "true": 1}


class Item(NamedTuple):
    """An object: pixels from the left and the top of its box, and names by number."""

    x: float
    y: float
    size: float
    type: int
    colour: int


class Statement(NamedTuple):
    """A sentence, the boxes it is about, and whether it is true of them.

    `identifier` is (n, m), written `n-m` in the files: scene m of those that the
    author of sentence n was shown.
    """

    identifier: tuple[int, int]
    sentence: str
    label: int
    boxes: tuple[tuple[Item, ...], ...]


def read_statements(path: str | Path) -> list[Statement]:
    """Reads a file of statements, one JSON document a line.

    Args:
        path (str or Path): The file.

    Raises:
        ValueError: The file is empty or a line is wrong; file and line are named.
    """
    path = Path(path)
    # Not `splitlines`, which knows more line ends than an editor counts.
    lines = path.read_bytes().rstrip(b"\r\n").split(b"\n")
    statements = []
    for number, line in enumerate(lines, 1):
        try:
            statements.append(parse_statement(line))
        except ValueError as error:
            shown = line.decode(errors="replace").strip()[:80]
            raise ValueError(
                f"{path.name}, line {number}: {str(error)[:300]} in {shown!r}; fetch "
                "the file again."
            ) from error
    return statements


def parse_statement(line: bytes | str) -> Statement:
    """Reads one line.

    Args:
        line (bytes or str): A JSON document.

    Raises:
        ValueError: The line is wrong; the message says what was expected.
    """
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected a JSON document ({error.msg} at character {error.pos + 1})"
        ) from error
    except RecursionError as error:
        raise ValueError("expected a JSON document, got lists of lists") from error
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    sentence = _text(content, "sentence")
    if not tokenize(sentence):
        raise ValueError("expected 'sentence' to have words")
    boxes = _field(content, "structured_rep")
    if not isinstance(boxes, list) or len(boxes) != NUM_BOXES:
        raise ValueError(f"expected 'structured_rep' to be a list of {NUM_BOXES} boxes")
    return Statement(
        _identifier(_text(content, "identifier")),
        sentence,
        _number_of(content, "label", LABELS),
        tuple(_box(box, number) for number, box in enumerate(boxes, 1)),
    )


def _box(box: Any, number: int) -> tuple[Item, ...]:
    if not isinstance(box, list):
        raise ValueError(f"expected box {number} to be a list of objects")
    try:
        return tuple(_item(item) for item in box)
    except ValueError as error:
        raise ValueError(f"box {number}: {error}") from error


def _item(item: Any) -> Item:
    if not isinstance(item, dict):
        raise ValueError(f"expected an object, got {item!r}")
    types = {name: number for number, name in enumerate(TYPES)}
    return Item(
        _pixels(item, "x_loc"),
        _pixels(item, "y_loc"),
        _pixels(item, "size"),
        _number_of(item, "type", types),
        _number_of(item, "color", COLOUR_NAMES),
    )


def _field(content: dict[str, Any], name: str) -> Any:
    if name not in content:
        raise ValueError(f"{name!r} is missing")
    return content[name]


def _text(content: dict[str, Any], name: str) -> str:
    value = _field(content, name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected {name!r} to be a text, got {value!r}")
    return value


def _identifier(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)-([0-9]+)", value)
    if not found:
        raise ValueError(f"expected 'identifier' to be like '12-3', got {value!r}")
    return int(found[1]), int(found[2])


def _number_of(content: dict[str, Any], name: str, known: dict[str, int]) -> int:
    value = _field(content, name)
    key = value.lower() if isinstance(value, str) else None
    if key not in known:
        raise ValueError(
            f"expected {name!r} to be one of {', '.join(known)}, got {value!r}"
        )
    return known[key]


def _pixels(content: dict[str, Any], name: str) -> float:
    value = _field(content, name)
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not 0 <= value <= BOX_SIZE:
        raise ValueError(
            f"expected {name!r} to be a number from 0 to {BOX_SIZE}, got {value!r}"
        )
    return float(value)
