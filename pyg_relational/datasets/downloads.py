"""Files that datasets are made of: fetched, unpacked, or shipped by packages.

Downloads are tried again, continue where they broke, and have a limit, as has what is
unpacked; a file is whole and checked, or not there.
"""

import errno
import gzip
import hashlib
import http.client
import json
import os
import shutil
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from pyg_relational._files import alone, write_atomic

DATA_VARIABLE = "PYG_RELATIONAL_DATA"
# No raw file of a dataset is larger.
MAX_BYTES = 2**32
TIMEOUT = 30.0
# Seconds before each further attempt.
WAITS = (1.0, 4.0)
CHUNK = 2**20
# What a server may answer differently a moment later.
PASSING = {408, 425, 429, 500, 502, 503, 504}
GZIP_START = b"\x1f\x8b"
# Of what a compressed file of a dataset holds; the largest one in use has 0.2 GB.
MAX_UNPACKED_BYTES = 2**31
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class RawFile:
    """A file that a dataset is made of and that can be fetched."""

    name: str  # its name
    url: str  # where it can be fetched
    sha256: str | None = None  # of what it holds
    folder: str = ""  # where it lies in the folder that `PYG_RELATIONAL_DATA` names
    # Checks what was fetched and returns what is stored of it, compressed by gzip.
    read: Callable[[Path], bytes] | None = None

    def path(self, root: str) -> Path:
        """Returns where the file is, or is fetched to, for a dataset in `root`."""
        shared = os.environ.get(DATA_VARIABLE)
        if shared and Path(shared, self.folder, self.name).is_file():
            return Path(shared, self.folder, self.name)
        return Path(root, "raw", self.name)

    def fetch(self, path: Path) -> None:
        """Fetches the file."""
        if self.read is None:
            fetch_raw(self.url, path, self.sha256)
            return
        plain = fetch_raw(self.url, path.with_suffix(""), self.sha256)
        try:
            content = gzip.compress(self.read(plain), mtime=0)
            write_atomic(path, lambda partial: partial.write_bytes(content))
        finally:
            plain.unlink(missing_ok=True)


def fetch_raw(url: str, path: str | Path, sha256: str | None = None) -> Path:
    """Downloads a raw file, which is then complete and checked, or not there.

    A connection that breaks is tried again and continues where it broke, and so does
    the next call after one that failed or was killed; see
    :func:`~pyg_relational.datasets.downloads.download` for when, proxies and limits. Of
    several processes one fetches the file, while the others wait."""
    path = Path(path)
    missing = not path.exists()
    try:
        with alone(path):
            # Another process may have fetched it meanwhile.
            if missing and path.exists():
                return path
            # The same for all processes: what one that was killed had is found by the
            # next.
            partial = path.with_name(f".{path.name}.partial")
            download(url, partial, checked=sha256 is not None)
            if sha256 is not None:
                try:
                    check_sha256(partial, sha256, url)
                except ValueError:
                    discard(partial)
                    raise
            partial.replace(path)
            discard(partial)
    except OSError as error:
        raise OSError(
            f"Cannot download {url} to {str(path)!r} ({error}). Fetch it elsewhere and "
            f"put it there by hand, or set {DATA_VARIABLE} to a folder that has it."
        ) from error
    return path


def check_sha256(path: str | Path, sha256: str, source: str | None = None) -> None:
    """Checks that a file has the expected content."""
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(
            f"Expected {source or str(path)!r} to have the SHA-256 {sha256}, got "
            f"{found}. The file is damaged or another version: fetch it again."
        )


@dataclass(frozen=True)
class Version:
    """What a server says of the file that it sends."""

    url: str  # where the file is
    validator: str | None  # its strong ETag, or else when it was changed
    length: int | None  # its bytes


class ChangedError(Exception):
    """The file is not the one of which the beginning is there."""


def download(
    url: str, path: Path, max_bytes: int = MAX_BYTES, *, checked: bool = False
) -> None:
    """Downloads a file, or what is missing of it.

    `<path>.json` says of which version of the file the beginning is there. A beginning
    of another one is thrown away, and so is one of which nothing would tell.

    Proxies are those of the usual variables: `http_proxy`, `https_proxy`, `no_proxy`.
    """
    print(f"Downloading {url}", file=sys.stderr)
    for wait in (*WAITS, None):
        try:
            return _attempt(url, path, max_bytes, checked)
        except urllib.error.HTTPError as error:
            error.close()
            if wait is None or error.code not in PASSING:
                raise OSError(f"HTTP {error.code}: {error.reason}") from error
        except urllib.error.URLError:
            if wait is None or url.startswith("file:"):
                raise
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            if wait is None:
                raise OSError(f"the connection broke: {error}") from error
        time.sleep(wait)
    raise AssertionError


def discard(path: Path) -> None:
    """Deletes what :func:`download` wrote."""
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)


def _attempt(url: str, path: Path, max_bytes: int, checked: bool) -> None:
    begun = _begun(url, path, checked)
    if begun is not None and begun.length == path.stat().st_size:
        # Complete: the process was killed before it could say so.
        return
    try:
        _fetch(url, path, max_bytes, begun)
    except ChangedError:
        discard(path)
        _fetch(url, path, max_bytes, None)


def _fetch(url: str, path: Path, max_bytes: int, begun: Version | None) -> None:
    have = path.stat().st_size if begun else 0
    with _open(url, have, begun) as answer:
        # Whoever does not know ranges sends the file from its start.
        start = have if answer.status == 206 else 0
        found = _version(url, answer)
        if start and not _continues(answer, have, found, begun):
            raise ChangedError
        if found.length is not None and found.length > max_bytes:
            raise OSError(f"it has {found.length} bytes, more than {max_bytes}")
        if not start:
            _begin(path, found)
        size = start
        with path.open("ab") as file:
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise OSError(f"it has more than {max_bytes} bytes")
                file.write(chunk)
    if found.length is not None and size < found.length:
        raise http.client.IncompleteRead(b"", found.length - size)


def _open(url: str, have: int, begun: Version | None) -> Any:
    headers = {"User-Agent": "pyg-relational", "Accept-Encoding": "identity"}
    if begun is not None and have and not url.startswith("file:"):
        headers["Range"] = f"bytes={have}-"
        if begun.validator is not None:
            headers["If-Range"] = begun.validator
    request = urllib.request.Request(url, headers=headers)
    try:
        # Not `urlopen`, which keeps the proxies of its first call.
        return urllib.request.build_opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # There is no such place: the file has become shorter.
        error.close()
        raise ChangedError from error


def _version(url: str, answer: Any) -> Version:
    """What the answer says of the whole file, even where it is a part of it."""
    tag = answer.headers.get("ETag")
    weak = tag is None or tag.startswith("W/")
    validator = answer.headers.get("Last-Modified") if weak else tag
    if answer.status == 206:
        length = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
    else:
        length = answer.headers.get("Content-Length") or ""
    return Version(url, validator, int(length) if length.isdigit() else None)


def _continues(answer: Any, have: int, found: Version, begun: Version | None) -> bool:
    place = answer.headers.get("Content-Range") or ""
    if begun is None or not place.startswith(f"bytes {have}-"):
        return False
    # Not all servers know `If-Range`; those that do may leave out what was asked with.
    pairs = [(begun.validator, found.validator), (begun.length, found.length)]
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _begin(path: Path, version: Version) -> None:
    """Empties the file, then says of what it is going to be the beginning."""
    path.write_bytes(b"")
    # One that is cut short is no JSON.
    _record(path).write_text(json.dumps(asdict(version)))


def _begun(url: str, path: Path, checked: bool) -> Version | None:
    """The version of which the beginning is there; `None` to start anew."""
    try:
        begun = Version(**json.loads(_record(path).read_bytes()))
        fits = begun.length is None or path.stat().st_size <= begun.length
    # No such file, or a damaged one.
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    told = isinstance(begun.validator, str) or checked
    return begun if begun.url == url and told and fits else None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def gunzip(
    content: bytes, source: str | Path, max_bytes: int = MAX_UNPACKED_BYTES
) -> bytes:
    """Returns the uncompressed bytes of a gzip file."""
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


def check_members(
    archive: zipfile.ZipFile, max_bytes: int = MAX_UNPACKED_BYTES
) -> None:
    """Checks that a zip archive can be unpacked into a folder."""
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


def unzip(path: Path, folder: Path, max_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Unpacks a zip archive into a folder."""
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
    """Opens a zip archive for reading, and says which file is damaged where that
    fails."""
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


def packaged_file(package: str, module: str, name: str) -> Path:
    """Returns the path of a data file of an installed package, without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The data is shipped by the package {package!r}, which is not installed: "
            "`pip install 'pyg-relational[data]'`, or pass `path` with a file of the "
            "same format.",
            name=module,
        )
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FileNotFoundError(
            f"The installed package {package!r} has no file {name!r}: install it "
            "again, or pass `path` with a file of the same format."
        )
    return path


def read_text(path: str | Path, sha256: str | None = None) -> str:
    """Returns the text of a UTF-8 file, which may be compressed by gzip."""
    content = _read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"Expected the content of {str(path)!r} to have the SHA-256 {sha256}, got "
            f"{found}: another version of the package, so results would not compare. "
            "To use this file all the same, pass it as `path`."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {str(path)!r} to be UTF-8 text ({error}): the file is damaged."
        ) from error


def content_tag(path: str | Path | None) -> str:
    """Returns what tells the content of a given file in the name of a stored one."""
    if path is None:
        return ""
    return f"-file{hashlib.sha256(_read_bytes(path)).hexdigest()[:12]}"


def _read_bytes(path: str | Path) -> bytes:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected `path` to be a file, found none at {str(path)!r}."
        )
    content = Path(path).read_bytes()
    return gunzip(content, path) if content.startswith(GZIP_START) else content
