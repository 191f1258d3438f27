"""Downloads that are tried again, continue where they broke, and have a limit."""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# No raw file of a dataset is larger.
MAX_BYTES = 2**32
TIMEOUT = 30.0
# Seconds before each further attempt.
WAITS = (1.0, 4.0)
CHUNK = 2**20
# What a server may answer differently a moment later.
PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Version:
    """What a server says of the file that it sends.

    Args:
        url (str): Where the file is.
        validator (str, optional): Its strong ETag, or else when it was changed.
        length (int, optional): Its bytes.
    """

    url: str
    validator: str | None
    length: int | None


class ChangedError(Exception):
    """The file is not the one of which the beginning is there."""


def download(
    url: str, path: Path, max_bytes: int = MAX_BYTES, *, checked: bool = False
) -> None:
    """Downloads a file, or what is missing of it.

    `<path>.json` says of which version of the file the beginning is there. A beginning
    of another one is thrown away, and so is one of which nothing would tell.

    Proxies are those of the usual variables: `http_proxy`, `https_proxy`, `no_proxy`.

    Args:
        url (str): Where the file is: `http`, `https` or `file`.
        path (Path): Where it goes. It stays if the download breaks, to be continued.
        max_bytes (int): How large the file may be. (default: `2**32`)
        checked (bool): Whether a checksum is going to tell if the parts belong
            together; without one the server has to. (default: `False`)

    Raises:
        OSError: The file cannot be fetched after three attempts, is larger, or cannot
            be written.
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
    """Deletes what :func:`download` wrote.

    Args:
        path (Path): Where it went.
    """
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
