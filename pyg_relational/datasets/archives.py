"""Archives that may not write outside a folder, nor unpack to more than they should."""

import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

# Of what a compressed file of a dataset holds; the largest one in use has 0.2 GB.
MAX_BYTES = 2**31
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)


def gunzip(content: bytes, source: str | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Returns the uncompressed bytes of a gzip file.

    Args:
        content (bytes): The file.
        source (str or Path): What the message calls it.
        max_bytes (int): How many there may be. (default: `2**31`)

    Raises:
        ValueError: The file is damaged or unpacks to more.
    """
    parts, size = [], 0
    try:
        # A file may hold several streams; zeros may follow the last.
        while content.strip(b"\0"):
            stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            parts.append(stream.decompress(content, max_bytes - size + 1))
            size += len(parts[-1])
            if size > max_bytes:
                raise ValueError(
                    f"{str(source)!r} unpacks to more than {max_bytes} bytes: it is "
                    "not what was published. Fetch the file again."
                )
            if not stream.eof:
                raise EOFError("it ends in the middle")
            content = stream.unused_data
    except (EOFError, zlib.error) as error:
        raise ValueError(
            f"{str(source)!r} is damaged ({error}). Fetch the file again."
        ) from error
    return b"".join(parts)


def check_members(archive: zipfile.ZipFile, max_bytes: int = MAX_BYTES) -> None:
    """Checks that a zip archive can be unpacked into a folder.

    Args:
        archive (ZipFile): The archive.
        max_bytes (int): How much it may unpack to. (default: `2**31`)

    Raises:
        ValueError: A member is a link or leads out of the folder, or all together
            unpack to more.
    """
    name = Path(str(archive.filename)).name
    for member in archive.infolist():
        if not member.filename:
            raise ValueError(f"{name!r} is damaged: it holds a file without a name.")
        path = PurePosixPath(member.filename.replace("\\", "/"))
        link = stat.S_ISLNK(member.external_attr >> 16)
        if link or path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise ValueError(
                f"{name!r} holds {member.filename!r}, which leads out of the archive: "
                "it is not what was published. Delete it and fetch it again."
            )
    size = sum(member.file_size for member in archive.infolist())
    if size > max_bytes:
        raise ValueError(
            f"{name!r} unpacks to {size} bytes, more than {max_bytes}: it is not what "
            "was published. Delete it and fetch it again."
        )


def unzip(path: Path, folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpacks a zip archive into a folder.

    Args:
        path (Path): The archive.
        folder (Path): The folder; made where it is missing.
        max_bytes (int): How much there may be. (default: `2**31`)

    Raises:
        ValueError: The archive is damaged, leads out of the folder, or unpacks to more.
    """
    with open_zip(path) as archive:
        check_members(archive, max_bytes)
        for member in archive.infolist():
            target = folder / member.filename
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # Reads no more than the member says it holds.
            with archive.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive for reading, and says which file is damaged where that fails.

    Args:
        path (Path): The archive.

    Raises:
        ValueError: The archive, or a text that is read from it, is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The archive names places before its start.
        raise _damaged(path, error) from error
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{str(path)!r} is damaged ({error}): delete it, and it is fetched again."
    )
