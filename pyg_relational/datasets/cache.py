"""Generated files that are either complete or not there."""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock


def load_or_create(
    path: str | Path, create: Callable[[], Any], *, force_reload: bool = False
) -> Any:
    """Returns the content of a cache file, creating the file where it is missing.

    A file that was cut short or changed after it was written counts as missing. Of
    several processes that miss it one creates it, while the others wait; a process that
    is killed meanwhile leaves the work to the next.

    Args:
        path (str or Path): The cache file.
        create (Callable[[], Any]): Makes the content: tensors, numbers, strings and
            dictionaries, lists and tuples of them.
        force_reload (bool): Create the file even if a complete one is there.
            (default: `False`)

    Raises:
        OSError: The file has to be created and its folder cannot be written.
    """
    content = None if force_reload else read_verified(path)
    if content is None:
        with alone(Path(path)):
            # Another process may have created it meanwhile.
            content = None if force_reload else read_verified(path)
            if content is None:
                content = create()
                write_atomic(path, content)
    return content


def write_atomic(path: str | Path, content: Any) -> None:
    """Writes `content` and then its checksum file, each of them whole or not at all.

    Args:
        path (str or Path): The file; its folder is made where it is missing.
        content (Any): What `torch.save` takes and `torch.load(weights_only=True)`
            gives back. `None` stands for a missing file and is refused.

    Raises:
        OSError: The folder cannot be written or the disk is full.
        ValueError: `content` is `None`.
    """
    if content is None:
        raise ValueError("`content` must not be None, which means a missing file.")
    path = Path(path)
    _make_folder(path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    view = buffer.getbuffer()
    record = {"bytes": view.nbytes, "sha256": hashlib.sha256(view).hexdigest()}
    _replace_file(path, view)
    # Written last: a file without its matching record is never read.
    _replace_file(_checksum_path(path), json.dumps(record).encode())


def read_verified(path: str | Path) -> Any | None:
    """Returns the content of a file that `write_atomic` completed, or `None`.

    `None` means: no such file, no checksum file, or the two do not match.

    Args:
        path (str or Path): The file.
    """
    path = Path(path)
    if not (path.is_file() and _checksum_path(path).is_file()):
        return None
    try:
        record = json.loads(_checksum_path(path).read_bytes())
    except (ValueError, RecursionError):
        return None
    with path.open("rb") as file:
        found = {
            "bytes": os.fstat(file.fileno()).st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
        if record != found:
            return None
        file.seek(0)
        try:
            return torch.load(file, weights_only=True)
        # Written by other means, whatever the record says: not what was completed.
        except Exception:
            return None


def _checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256.json")


def _make_folder(path: Path) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process creates the file. The system unlocks what a killed
    process held, so a lock file that is left behind locks nothing.

    Args:
        path (Path): The file; its folder is made where it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    _make_folder(path)
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file)
    with explained(path):
        lock.acquire()
    try:
        yield
    finally:
        # Whoever waits for it notices, and makes a new one.
        file.unlink(missing_ok=True)
        lock.release()


def _replace_file(path: Path, content: bytes | memoryview) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with explained(path):
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says which folder could not be written and what to do about it.

    Args:
        path (Path): The file that is written.

    Raises:
        OSError: What is done fails with one; its text is extended.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"Cannot write {path.name!r} into the folder {str(path.parent)!r} "
            f"({error.strerror}). Pass a `root` that can be written and has free space",
        ) from error
