"""Files that are written whole or not at all, and read with a limit."""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_relational._checks import UsageError
from pyg_relational._extras import with_remedy

if TYPE_CHECKING:
    import yaml

# Of a description, not of data: what is larger is no such file.
MAX_BYTES = 16 * 2**20
# Entries of a YAML file with its references written out.
MAX_ENTRIES = 100_000


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make a file under a temporary name, then renames it."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all."""
    write_atomic(path, lambda partial: partial.write_text(text))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def load_or_create(
    path: str | Path, create: Callable[[], Any], *, force_reload: bool = False
) -> Any:
    """Returns the content of a cache file, creating the file where it is missing.

    A file that was cut short or changed after it was written counts as missing. Of
    several processes that miss it one creates it, while the others wait; a process that
    is killed meanwhile leaves the work to the next."""
    content = None if force_reload else read_verified(path)
    if content is None:
        with alone(Path(path)):
            # Another process may have created it meanwhile.
            content = None if force_reload else read_verified(path)
            if content is None:
                content = create()
                write_verified(path, content)
    return content


def write_verified(path: str | Path, content: Any) -> None:
    """Writes `content` and then its checksum file, each of them whole or not at all."""
    if content is None:
        raise ValueError("`content` must not be None, which means a missing file.")
    # Help, which reads no tensors, loads no torch.
    import torch

    path = Path(path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    view = buffer.getbuffer()
    record = {"bytes": view.nbytes, "sha256": hashlib.sha256(view).hexdigest()}
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda partial: partial.write_bytes(view))
        # Written last: a file without its matching record is never read.
        write_text(_checksum_path(path), json.dumps(record))


def read_verified(path: str | Path) -> Any | None:
    """Returns the content of a file that `write_verified` completed, or `None`.

    `None` means: no such file, no checksum file, or the two do not match."""
    import torch

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


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process creates the file. The system unlocks what a killed
    process held, so a lock file that is left behind locks nothing."""
    from filelock import FileLock

    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        # Whoever waits for it notices, and makes a new one.
        file.unlink(missing_ok=True)
        lock.release()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says which folder could not be written and what to do about it."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"Cannot write {path.name!r} into the folder {str(path.parent)!r} "
            f"({error.strerror}). Pass a `root` that can be written and has free space",
        ) from error


def read_json(path: Path) -> Any:
    """Reads a JSON file."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"'{path}' is not valid JSON: {error}") from error


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of plain values."""
    return parse_yaml(read_text(path), f"'{path}'")


def parse_yaml(text: str, source: str) -> Any:
    """Returns the plain values of a YAML text."""
    try:
        import yaml
    # An extra brings it: the library half reads no YAML.
    except ModuleNotFoundError as error:
        raise with_remedy(error) from error
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
    """Reads a small text file."""
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


def _entries(node: "yaml.Node", known: "dict[yaml.Node, int]") -> int:
    """How many entries a node has, those of its references included."""
    if node in known:
        if known[node] == 0:
            raise ValueError("a reference names what it is part of")
        return known[node]
    known[node] = 0
    # A scalar has a text, a sequence its nodes, a mapping pairs of them.
    parts = [] if isinstance(node.value, str) else node.value
    nodes = [x for part in parts for x in (part if isinstance(part, tuple) else [part])]
    known[node] = 1 + sum(_entries(part, known) for part in nodes)
    return known[node]
