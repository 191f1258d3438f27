import gzip
import hashlib
import multiprocessing
import random
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.datasets import downloads
from pyg_relational.datasets.downloads import (
    CHUNK,
    RawFile,
    check_sha256,
    download,
    fetch_raw,
    gunzip,
    unzip,
)


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return path


def test_gunzip_is_the_inverse_of_gzip() -> None:
    assert gunzip(gzip.compress(b"abc") + gzip.compress(b"def"), "a") == b"abcdef"
    assert gunzip(gzip.compress(b"abc") + b"\0\0", "a") == b"abc"
    assert gunzip(b"", "a") == b""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(b"abc", mtime=0)[:-3],
            "'a.gz' is damaged .it ends in the middle",
        ),
        (b"text", "'a.gz' is damaged"),
        (gzip.compress(b"abc", mtime=0) + b"text", "'a.gz' is damaged"),
        (
            gzip.compress(b"\0" * 10**7, mtime=0),
            "'a.gz' unpacks to more than 1000 bytes",
        ),
        (
            gzip.compress(b"\0" * 900, mtime=0) * 2,
            "'a.gz' unpacks to more than 1000 bytes",
        ),
    ],
)
def test_gunzip_refuses(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gunzip(content, "a.gz", 1000)


def test_unzip_writes_what_was_packed(tmp_path: Path) -> None:
    unzip(archive(tmp_path / "a.zip", top__a=b"1", top__sub__b=b"2"), tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a").read_bytes() == b"1"
    assert (tmp_path / "out" / "top" / "sub" / "b").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "c:/a", "..\\a"])
def test_unzip_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", **{"fine": b"1", name: b"2"})
    with pytest.raises(ValueError, match="which leads out of the archive"):
        unzip(path, tmp_path / "deep" / "out")
    assert [x.name for x in tmp_path.iterdir()] == ["a.zip"]


def test_unzip_makes_no_links(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="'link', which leads out of the archive"):
        unzip(tmp_path / "a.zip", tmp_path / "out")


def test_unzip_has_a_limit(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", a=b"\0" * 600, b=b"\0" * 600)
    with pytest.raises(ValueError, match="unpacks to 1200 bytes, more than 1000"):
        unzip(path, tmp_path / "out", 1000)
    assert not (tmp_path / "out").exists()


CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
OTHER = bytes(reversed(CONTENT))
BEGUN = [".a.bin.partial", ".a.bin.partial.json"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        asked = self.headers.get("Range")
        server.asked.append((self.path, asked))
        behaviour = server.behaviours.pop(0) if server.behaviours else "whole"
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        content, start = server.content, 0
        condition = self.headers.get("If-Range")
        same = behaviour == "no If-Range" or condition in (None, *server.told.values())
        if asked and same and behaviour != "no ranges":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            ends = f"{start}-{len(content) - 1}"
            self.send_header("Content-Range", f"bytes {ends}/{len(content)}")
        else:
            self.send_response(200)
        for name, value in server.told.items():
            self.send_header(name, value)
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.send(content[start:], behaviour)

    def send(self, part: bytes, behaviour: object) -> None:
        if behaviour == "breaks":
            part = part[: len(part) // 2]
        if behaviour == "hangs":
            self.wfile.write(part[: 2 * CHUNK])
            self.server.over.wait(60)  # type: ignore[attr-defined]
        elif behaviour == "slow":
            for place in range(0, len(part), CHUNK // 4):
                self.wfile.write(part[place : place + CHUNK // 4])
                time.sleep(0.02)
        else:
            for _ in range(100 if behaviour == "endless" else 1):
                self.wfile.write(part)

    def handle(self) -> None:
        # Who is killed says no goodbye.
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(downloads, "WAITS", (0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.behaviours, served.asked, served.over = [], [], threading.Event()
    served.content, served.told = CONTENT, {}
    served.url = f"http://127.0.0.1:{served.server_port}/a.bin"
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.over.set()
    served.shutdown()
    served.server_close()
    thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_broken_connection_is_continued(server: Any, tmp_path: Path) -> None:
    server.behaviours = ["breaks", "breaks"]
    path = fetch_raw(server.url, tmp_path / "raw" / "a.bin", SHA256)
    assert path.read_bytes() == CONTENT
    begun = [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]
    assert [asked for _, asked in server.asked] == begun
    assert names(path.parent) == ["a.bin"]


def test_a_server_without_ranges_sends_all_again(server: Any, tmp_path: Path) -> None:
    server.behaviours = ["breaks", "no ranges"]
    assert fetch_raw(server.url, tmp_path / "a.bin").read_bytes() == CONTENT


def break_off(server: Any, path: Path, sha256: str | None = None) -> None:
    server.behaviours = ["breaks", 404]
    with pytest.raises(OSError, match=r"HTTP 404.*put it there by hand"):
        fetch_raw(server.url, path, sha256)
    assert names(path.parent) == BEGUN
    server.asked.clear()


@pytest.mark.parametrize(
    ("told", "sha256", "continues"),
    [
        ({}, SHA256, True),
        ({}, None, False),
        ({"ETag": '"1"'}, None, True),
        ({"ETag": 'W/"1"'}, None, False),
        ({"Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}, None, True),
    ],
)
def test_the_next_call_continues_what_it_can_be_sure_of(
    server: Any, tmp_path: Path, told: dict[str, str], sha256: str, continues: bool
) -> None:
    server.told = told
    break_off(server, tmp_path / "a.bin", sha256)
    path = fetch_raw(server.url, tmp_path / "a.bin", sha256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [("/a.bin", f"bytes={HALF}-" if continues else None)]
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("behaviour", ["whole", "no If-Range", "no ranges"])
def test_a_file_that_changed_is_fetched_anew(
    server: Any, tmp_path: Path, behaviour: str
) -> None:
    server.told = {"ETag": '"1"'}
    break_off(server, tmp_path / "a.bin")
    server.content, server.told = OTHER, {"ETag": '"2"'}
    server.behaviours = [behaviour]
    assert fetch_raw(server.url, tmp_path / "a.bin").read_bytes() == OTHER
    assert server.asked[0] == ("/a.bin", f"bytes={HALF}-")
    assert len(server.asked) == (2 if behaviour == "no If-Range" else 1)
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("length", [HALF - 5, len(CONTENT) - 1, 2 * len(CONTENT)])
def test_a_file_of_another_length_is_fetched_anew(
    server: Any, tmp_path: Path, length: int
) -> None:
    server.content = (CONTENT * 2)[:length]
    digest = hashlib.sha256(server.content).hexdigest()
    server.content, expected = CONTENT, server.content
    break_off(server, tmp_path / "a.bin", digest)
    server.content = expected
    assert fetch_raw(server.url, tmp_path / "a.bin", digest).read_bytes() == expected
    assert [asked for _, asked in server.asked] == [f"bytes={HALF}-", None]


def test_another_address_is_fetched_anew(server: Any, tmp_path: Path) -> None:
    break_off(server, tmp_path / "a.bin", SHA256)
    url = server.url.replace("a.bin", "b.bin")
    assert fetch_raw(url, tmp_path / "a.bin", SHA256).read_bytes() == CONTENT
    assert server.asked == [("/b.bin", None)]


def test_a_complete_file_is_not_asked_for(server: Any, tmp_path: Path) -> None:
    break_off(server, tmp_path / "a.bin", SHA256)
    (tmp_path / BEGUN[0]).write_bytes(CONTENT)
    assert fetch_raw(server.url, tmp_path / "a.bin", SHA256).read_bytes() == CONTENT
    assert server.asked == []


def test_a_wrong_beginning_is_thrown_away(server: Any, tmp_path: Path) -> None:
    break_off(server, tmp_path / "a.bin", SHA256)
    (tmp_path / BEGUN[0]).write_bytes(b"x" * 10)
    with pytest.raises(ValueError, match="to have the SHA-256"):
        fetch_raw(server.url, tmp_path / "a.bin", SHA256)
    assert names(tmp_path) == []
    assert fetch_raw(server.url, tmp_path / "a.bin", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"url": 3', '{"length": "a"}'])
def test_a_beginning_of_nobody_knows_what(
    server: Any, tmp_path: Path, record: str
) -> None:
    break_off(server, tmp_path / "a.bin", SHA256)
    (tmp_path / BEGUN[1]).write_text(record)
    assert fetch_raw(server.url, tmp_path / "a.bin", SHA256).read_bytes() == CONTENT
    assert server.asked == [("/a.bin", None)]


def test_one_fetches_what_several_need(server: Any, tmp_path: Path) -> None:
    server.content = bytes(4 * CHUNK)
    server.behaviours = ["slow"]
    args = (server.url, tmp_path / "a.bin")
    threads = [threading.Thread(target=fetch_raw, args=args) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert names(tmp_path) == ["a.bin"]
    # What is there already is fetched again: somebody wants it anew.
    server.content = OTHER
    assert fetch_raw(*args).read_bytes() == OTHER


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


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pyg_relational.datasets"])
LARGE = random.Random(0).randbytes(5 * CHUNK)
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("sha256", [LARGE_SHA256, None])
def test_what_a_killed_process_had_is_not_fetched_again(
    server: Any, tmp_path: Path, sha256: str | None
) -> None:
    server.content, server.told = LARGE, {"ETag": '"1"'}
    server.behaviours = ["hangs", "hangs"]
    path = tmp_path / "a.bin"
    for size in (2 * CHUNK, 4 * CHUNK):
        process = PROCESSES.Process(target=fetch_raw, args=(server.url, path, sha256))
        process.start()
        end = time.monotonic() + 60
        partial = tmp_path / BEGUN[0]
        while not (partial.exists() and partial.stat().st_size == size):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        process.join()
        assert names(tmp_path) == [".a.bin.lock", *BEGUN]
    assert fetch_raw(server.url, path, sha256).read_bytes() == LARGE
    places = [None, f"bytes={2 * CHUNK}-", f"bytes={4 * CHUNK}-"]
    assert [asked for _, asked in server.asked] == places
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.slow
def test_killed_at_any_moment(server: Any, tmp_path: Path) -> None:
    server.content, rng = LARGE, random.Random(0)
    kills = 0
    for number in range(10):
        path = tmp_path / str(number) / "a.bin"
        killed = True
        while killed:
            server.behaviours = ["slow"] * 3
            args = (server.url, path, LARGE_SHA256)
            process = PROCESSES.Process(target=fetch_raw, args=args)
            process.start()
            process.join(rng.uniform(0, 0.4))
            process.kill()
            process.join()
            killed = process.exitcode != 0
            kills += killed
        assert path.read_bytes() == LARGE
        assert names(path.parent) == ["a.bin"]
    continued = [asked for _, asked in server.asked if asked is not None]
    assert kills >= 5
    assert continued
    print(f"\ndownloads: {kills} kills, {len(continued)} continued, all equal")


TEXT = b"some data"
TEXT_SHA256 = hashlib.sha256(TEXT).hexdigest()


def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_bytes(TEXT)
    return path.as_uri()


def test_folder(tmp_path, monkeypatch):
    def place(name):
        return RawFile(name, "", folder="sub").path(str(tmp_path / "root"))

    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    own = tmp_path / "root" / "raw"
    assert place("a.txt") == own / "a.txt"
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(tmp_path / "shared"))
    assert place("a.txt") == own / "a.txt"
    shared = tmp_path / "shared" / "sub"
    shared.mkdir(parents=True)
    (shared / "a.txt").touch()
    assert place("a.txt") == shared / "a.txt"
    assert place("b.txt") == own / "b.txt"


def test_what_is_read_of_a_file_is_stored_compressed(tmp_path):
    def read(path):
        if path.read_bytes() != TEXT:
            raise ValueError("other data")
        return TEXT.upper()

    path = tmp_path / "raw" / "a.txt.gz"
    file = RawFile(path.name, source(tmp_path), read=read)
    file.fetch(path)
    assert gunzip(path.read_bytes(), path) == TEXT.upper()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    path.unlink()
    (tmp_path / "source.txt").write_bytes(b"others")
    with pytest.raises(ValueError, match="other data"):
        file.fetch(path)
    assert [*path.parent.iterdir()] == []


def test_fetched_file_is_whole(tmp_path):
    path = fetch_raw(source(tmp_path), tmp_path / "raw" / "a.txt", TEXT_SHA256)
    assert path.read_bytes() == TEXT
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_wrong_checksum_leaves_no_file(tmp_path):
    with pytest.raises(
        ValueError, match=f"source.txt' to have.*{'0' * 64}, got {TEXT_SHA256}"
    ):
        fetch_raw(source(tmp_path), tmp_path / "raw" / "a.txt", "0" * 64)
    assert list((tmp_path / "raw").iterdir()) == []


def test_missing_source_says_where_to_put_the_file(tmp_path):
    url = Path(tmp_path, "absent.txt").as_uri()
    with pytest.raises(OSError, match=r"absent.txt to '.*raw/a.txt'.*by hand") as info:
        fetch_raw(url, tmp_path / "raw" / "a.txt")
    assert "PYG_RELATIONAL_DATA" in str(info.value)


def test_check(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    check_sha256(path, TEXT_SHA256)
    path.write_bytes(TEXT[:-1])
    with pytest.raises(ValueError, match=r"a.txt' to have the SHA-256.*fetch it again"):
        check_sha256(path, TEXT_SHA256)
