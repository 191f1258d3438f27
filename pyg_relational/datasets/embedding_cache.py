"""Embeddings that an encoder computes once for each content."""

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_relational._checks import check_int

FILE_NAME = "embeddings.sqlite3"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# Seconds to wait for another process that writes.
PATIENCE = 60.0
TABLE = (
    "CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, dtype TEXT, "
    "shape TEXT, content BLOB, checksum BLOB)"
)
Result = TypeVar("Result")


class EmbeddingCache:
    r"""Embeddings on disk, found by the content they belong to.

    An entry is found by the SHA-256 of the encoder's key and the content, so a cache
    never holds what is out of date, and datasets and encoders may share one. Several
    processes may use it at the same time. What is computed is kept batch by batch: an
    interrupted run continues. An entry or a file that is damaged is computed again,
    with a warning.

    Args:
        folder (str or Path): Where the file `embeddings.sqlite3` goes; made where it
            is missing.
        encoder (str): Names the encoder, its weights (by a hash of them) and how it
            prepares its input: whatever changes an embedding.

    Raises:
        ValueError: `encoder` is empty.
    """

    def __init__(self, folder: str | Path, encoder: str) -> None:
        if not encoder:
            raise ValueError(
                "Expected `encoder` to name the encoder and its weights, got ''."
            )
        self.path = Path(folder) / FILE_NAME
        self.encoder = encoder

    def embeddings(
        self,
        contents: Sequence[bytes],
        encode: Callable[[list[int]], Sequence[Tensor]],
        batch_size: int = 32,
        progress: bool = True,
    ) -> list[Tensor]:
        """Returns the embedding of each content, on the CPU.

        Args:
            contents (Sequence[bytes]): What is embedded; equal ones are computed once.
            encode (Callable): Called with the places in `contents` of a batch whose
                embeddings are missing; returns a tensor of any shape for each.
            batch_size (int): Contents that are encoded at once, at least 1.
                (default: `32`)
            progress (bool): Show a progress bar on a terminal if something has to be
                computed. (default: `True`)

        Raises:
            OSError: The file cannot be read or written.
            TypeError: A content is not bytes, or `encode` returns no tensors.
            ValueError: `encode` does not return one tensor for each content.
        """
        check_int("batch_size", batch_size, 1)
        keys = [self._key(content) for content in contents]
        known = self._read(dict.fromkeys(keys))
        missing: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key not in known:
                missing.setdefault(key, place)
        if missing:
            order, hidden = list(missing), None if progress else True
            with tqdm(total=len(missing), desc="embeddings", disable=hidden) as bar:
                for start in range(0, len(missing), batch_size):
                    batch = order[start : start + batch_size]
                    tensors = _checked(encode, [missing[key] for key in batch])
                    computed = dict(zip(batch, tensors, strict=True))
                    self._write(computed)
                    known |= computed
                    bar.update(len(batch))
        return [known[key] for key in keys]

    def _key(self, content: bytes) -> bytes:
        if not isinstance(content, bytes):
            raise TypeError(
                "Expected `contents` to hold bytes, got "
                f"{type(content).__name__}; encode text with `.encode()`."
            )
        name = self.encoder.encode()
        prefix = len(name).to_bytes(8, "little") + name
        return hashlib.sha256(prefix + content).digest()

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, Tensor]:
        if not self.path.exists():
            return {}
        query = "SELECT dtype, shape, content, checksum FROM embeddings WHERE key = ?"
        rows = self._use(
            lambda file: {key: file.execute(query, (key,)).fetchone() for key in keys}
        )
        known = {}
        for key, row in rows.items():
            if row is None:
                continue
            tensor = _tensor(key, row)
            if tensor is None:
                warnings.warn(
                    f"The entry {key.hex()[:12]} of the cache {str(self.path)!r} is "
                    "damaged; it is computed again.",
                    stacklevel=3,
                )
            else:
                known[key] = tensor
        return known

    def _write(self, computed: dict[bytes, Tensor]) -> None:
        rows = [(key, *_row(key, tensor)) for key, tensor in computed.items()]

        def insert(file: sqlite3.Connection) -> None:
            with file:
                file.execute("BEGIN IMMEDIATE")
                file.executemany(
                    "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?, ?)", rows
                )

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._use(insert)

    def _use(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs an action on the file; one that is damaged is set aside first."""
        for again in (True, False):
            file = self.path.stat().st_ino if self.path.exists() else None
            try:
                connection = sqlite3.connect(
                    self.path, timeout=PATIENCE, isolation_level=None
                )
                with closing(connection):
                    if not _has_table(connection):
                        connection.execute(TABLE)
                    return action(connection)
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if not again or code not in DAMAGED:
                    raise OSError(
                        f"Cannot use the cache {str(self.path)!r} ({error}): check "
                        "that its folder can be written and has space, or choose "
                        "another one."
                    ) from error
                self._set_aside(file, error)
        raise AssertionError

    def _set_aside(self, file: int | None, error: sqlite3.Error) -> None:
        warnings.warn(
            f"The cache {str(self.path)!r} is damaged ({error}); its embeddings are "
            f"computed again, and it is kept as {self.path.name}.damaged.",
            stacklevel=4,
        )
        # Another process may have replaced it meanwhile.
        if self.path.exists() and self.path.stat().st_ino == file:
            self.path.replace(f"{self.path}.damaged")
            Path(f"{self.path}-journal").unlink(missing_ok=True)


def _has_table(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = 'embeddings'"
    return connection.execute(query).fetchone() is not None


def _checked(
    encode: Callable[[list[int]], Sequence[Tensor]], places: list[int]
) -> list[Tensor]:
    with torch.no_grad():
        tensors = list(encode(places))
    if len(tensors) != len(places):
        raise ValueError(
            f"Expected `encode` to return one tensor for each of {len(places)} "
            f"contents, got {len(tensors)}."
        )
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"Expected `encode` to return tensors, got {type(tensor).__name__}."
            )
    # A copy: a row must not keep the whole batch alive.
    return [tensor.detach().cpu().clone() for tensor in tensors]


def _row(key: bytes, tensor: Tensor) -> tuple[str, str, bytes, bytes]:
    """A tensor as it is stored: type, shape, content and checksum."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = " ".join(map(str, tensor.shape))
    content = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return dtype, shape, content, _checksum(key, dtype, shape, content)


def _tensor(key: bytes, row: tuple[Any, ...]) -> Tensor | None:
    """The tensor of a stored row, nothing for one that was changed."""
    dtype, shape, content, checksum = row
    if not isinstance(dtype, str) or not isinstance(shape, str):
        return None
    if not isinstance(content, bytes):
        return None
    if _checksum(key, dtype, shape, content) != checksum:
        return None
    size = [int(length) for length in shape.split()]
    if not content:
        return torch.empty(size, dtype=getattr(torch, dtype))
    # A copy that may be written to.
    values = torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype))
    return values.reshape(size)


def _checksum(key: bytes, dtype: str, shape: str, content: bytes) -> bytes:
    head = f"{dtype}|{shape}|".encode()
    return hashlib.sha256(key + head + content).digest()
