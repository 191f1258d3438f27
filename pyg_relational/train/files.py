"""Files that are written whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError


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
        return json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"'{path}' is not valid JSON: {error}") from error
