"""Downloads that are tried again, continue where they broke, and have a limit."""

import http.client
import sys
import time
import urllib.error
import urllib.request
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


def download(url: str, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Downloads a file; what is there already is taken for its beginning.

    Proxies are those of the usual variables: `http_proxy`, `https_proxy`, `no_proxy`.

    Args:
        url (str): Where the file is: `http`, `https` or `file`.
        path (Path): Where it goes. It stays if the download breaks, to be continued.
        max_bytes (int): How large the file may be. (default: `2**32`)

    Raises:
        OSError: The file cannot be fetched after three attempts, is larger, or cannot
            be written.
    """
    print(f"Downloading {url}", file=sys.stderr)
    for wait in (*WAITS, None):
        try:
            return _attempt(url, path, max_bytes)
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


def _attempt(url: str, path: Path, max_bytes: int) -> None:
    have = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": "pyg-relational", "Accept-Encoding": "identity"}
    if have and not url.startswith("file:"):
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        # Not `urlopen`, which keeps the proxies of its first call.
        answer = urllib.request.build_opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # There is nothing behind what is there.
        error.close()
        return
    with answer:
        # Whoever does not know ranges sends the file from its start.
        start = have if _continues(answer, have) else 0
        length = answer.headers.get("Content-Length") or ""
        expected = start + int(length) if length.isdigit() else None
        if expected is not None and expected > max_bytes:
            raise OSError(f"it has {expected} bytes, more than {max_bytes}")
        size = start
        with path.open("ab" if start else "wb") as file:
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise OSError(f"it has more than {max_bytes} bytes")
                file.write(chunk)
    if expected is not None and size < expected:
        raise http.client.IncompleteRead(b"", expected - size)


def _continues(answer: Any, have: int) -> bool:
    found = answer.headers.get("Content-Range") or ""
    return answer.status == 206 and found.startswith(f"bytes {have}-")
