"""Downloads from a server of this machine that breaks in every way."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.datasets import downloads
from pyg_relational.datasets.downloads import download
from pyg_relational.datasets.raw_files import fetch_raw

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        behaviour = server.behaviours.pop(0) if server.behaviours else "whole"
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        start = 0
        found = self.headers.get("Range")
        if found and behaviour != "no ranges":
            start = int(found.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
            ends = f"{start}-{len(CONTENT) - 1}"
            self.send_header("Content-Range", f"bytes {ends}/{len(CONTENT)}")
        else:
            self.send_response(200)
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        part = CONTENT[start:]
        if behaviour == "breaks":
            part = part[: len(part) // 2]
        for _ in range(100 if behaviour == "endless" else 1):
            self.wfile.write(part)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(downloads, "WAITS", (0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.behaviours, served.asked = [], []
    served.url = f"http://127.0.0.1:{served.server_port}/a.bin"
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_broken_connection_is_continued(server: Any, tmp_path: Path) -> None:
    server.behaviours = ["breaks", "breaks"]
    path = fetch_raw(server.url, tmp_path / "raw" / "a.bin", SHA256)
    assert path.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    begun = [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert [asked for _, asked in server.asked] == begun
    assert names(path.parent) == ["a.bin"]


def test_a_server_without_ranges_sends_all_again(server: Any, tmp_path: Path) -> None:
    server.behaviours = ["breaks", "no ranges"]
    assert fetch_raw(server.url, tmp_path / "a.bin").read_bytes() == CONTENT


def test_the_next_call_continues_what_has_a_checksum(
    server: Any, tmp_path: Path
) -> None:
    server.behaviours = ["breaks", 404]
    with pytest.raises(OSError, match=r"HTTP 404.*put it there by hand"):
        fetch_raw(server.url, tmp_path / "a.bin", SHA256)
    assert names(tmp_path) == [f".a.bin.{SHA256[:16]}.begun"]
    path = fetch_raw(server.url, tmp_path / "a.bin", SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == ("/a.bin", f"bytes={len(CONTENT) // 2}-")
    assert names(tmp_path) == ["a.bin"]
    # Nothing tells whether a beginning belongs to a file without a checksum.
    server.behaviours = ["breaks", 404]
    with pytest.raises(OSError, match="HTTP 404"):
        fetch_raw(server.url, tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"]


def test_a_wrong_beginning_is_thrown_away(server: Any, tmp_path: Path) -> None:
    begun = tmp_path / f".a.bin.{SHA256[:16]}.begun"
    begun.write_bytes(b"x" * 10)
    with pytest.raises(ValueError, match="to have the SHA-256"):
        fetch_raw(server.url, tmp_path / "a.bin", SHA256)
    assert names(tmp_path) == []
    begun.write_bytes(CONTENT)
    assert fetch_raw(server.url, tmp_path / "a.bin", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(("code", "times"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_what_may_pass_is_tried_again(
    server: Any, tmp_path: Path, code: int, times: int
) -> None:
    server.behaviours = [code] * 9
    with pytest.raises(OSError, match=f"HTTP {code}"):
        download(server.url, tmp_path / "a.bin")
    assert len(server.asked) == times


@pytest.mark.parametrize("behaviour", ["whole", "endless"])
def test_a_file_has_a_limit(server: Any, tmp_path: Path, behaviour: str) -> None:
    server.behaviours = [behaviour]
    with pytest.raises(OSError, match=r"it has .*more than 10239"):
        download(server.url, tmp_path / "a.bin", max_bytes=len(CONTENT) - 1)
    path = tmp_path / "a.bin"
    assert not path.exists() or path.stat().st_size < len(CONTENT)
    assert len(server.asked) == 1


def test_proxies_come_from_the_environment(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "")
    download("http://data.invalid/a.bin", tmp_path / "a.bin")
    assert server.asked == [("http://data.invalid/a.bin", None)]
