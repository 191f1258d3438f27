"""Files that are written whole or not at all, and read with a limit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pyg_relational.train.errors import UsageError

# Of a description, not of data: what is larger is no such file.
MAX_BYTES = 16 * 2**20
# Entries of a YAML file with its references written out.
MAX_ENTRIES = 100_000


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename it.

    Args:
        path (Path): Where the file shall be.
        write (Callable): Called with the temporary path; writes the file there.

    Raises:
        OSError: If the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, lambda partial: partial.write_text(text))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: If the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"'{path}' is not valid JSON: {error}") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values.

    Raises:
        UsageError: If the file is missing, unreadable, too large or not YAML, or its
            references multiply or name themselves.
    """
    return parse_yaml(read_text(path), f"'{path}'")


def parse_yaml(text: str, source: str) -> Any:
    """Return the plain values of a YAML text.

    Args:
        text (str): The text.
        source (str): What messages call it.

    Raises:
        UsageError: As :func:`read_yaml`.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _entries(node, {}) > MAX_ENTRIES:
            raise UsageError(
                f"{source} has more than {MAX_ENTRIES:,} entries with its references "
                "written out; it is no description that was written by hand"
            )
        return yaml.safe_load(text)
    # Its constructors fail in many ways for values that are not what they look like.
    except Exception as error:
        if isinstance(error, UsageError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{source} is not valid YAML: {reason}") from error


def read_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        UsageError: If the file is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"'{path}' is larger than {MAX_BYTES:,} bytes; it is damaged")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is damaged: {error}") from error


def _entries(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many entries a node has, those of its references included."""
    if node in known:
        if known[node] == 0:
            raise ValueError("a reference names what it is part of")
        return known[node]
    known[node] = 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[node] = 1 + sum(_entries(part, known) for part in parts)
    return known[node]
