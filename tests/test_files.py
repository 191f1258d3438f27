import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pyg_relational import _files as cache
from pyg_relational._files import load_or_create, read_verified, write_verified

CONTENT = {"x": torch.arange(1000), "n": 3}


def same(content):
    return content["n"] == 3 and torch.equal(content["x"], CONTENT["x"])


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_record(path):
    path.with_name(path.name + ".sha256.json").unlink()


def cut_the_record_short(path):
    record = path.with_name(path.name + ".sha256.json")
    record.write_bytes(record.read_bytes()[:10])


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "folder" / "content.pt"
    assert read_verified(path) is None
    write_verified(path, CONTENT)
    assert same(read_verified(path))
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "content.pt",
        "content.pt.sha256.json",
    ]


@pytest.mark.parametrize(
    "damage", [cut_short, change_a_byte, lose_the_record, cut_the_record_short]
)
def test_damaged_file_is_never_read_and_created_again(tmp_path, damage):
    path = tmp_path / "content.pt"
    write_verified(path, CONTENT)
    damage(path)
    assert read_verified(path) is None
    calls = []
    content = load_or_create(path, lambda: calls.append(1) or CONTENT)
    assert calls == [1]
    assert same(content)
    assert same(read_verified(path))


def test_complete_file_is_not_created_again(tmp_path):
    path = tmp_path / "content.pt"
    write_verified(path, CONTENT)
    assert same(load_or_create(path, lambda: pytest.fail("created again")))
    assert load_or_create(path, lambda: {"n": 4}, force_reload=True) == {"n": 4}
    assert read_verified(path) == {"n": 4}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted_creation_leaves_nothing(tmp_path, error):
    def interrupted():
        raise error

    with pytest.raises(error):
        load_or_create(tmp_path / "content.pt", interrupted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [0, 1])
def test_interrupted_write_leaves_no_readable_file(tmp_path, monkeypatch, written):
    path = tmp_path / "content.pt"
    write_verified(path, {"n": 4})
    replace, calls = type(path).replace, []

    def interrupted(self, target):
        calls.append(target)
        if len(calls) > written:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_verified(path, CONTENT)
    monkeypatch.undo()
    # Either the old file is untouched, or the new one lacks its record.
    assert read_verified(path) == ({"n": 4} if written == 0 else None)
    assert list(tmp_path.glob(".*.partial")) == []
    expected = {"n": 4} if written == 0 else {"n": 5}
    assert load_or_create(path, lambda: {"n": 5}) == expected


def test_same_content_gives_the_same_bytes(tmp_path):
    # Two processes that create one file at once may interleave their writes.
    write_verified(tmp_path / "a.pt", CONTENT)
    write_verified(tmp_path / "b.pt", CONTENT)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_unwritable_folder_is_explained_before_the_work(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "processed" / "content.pt"
    with pytest.raises(OSError, match=r"Cannot write 'content.pt'.*Pass a `root`"):
        load_or_create(path, lambda: pytest.fail("created before the check"))


def test_failed_write_is_explained(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*free space"):
        write_verified(tmp_path / "content.pt", CONTENT)


def test_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must not be None"):
        write_verified(tmp_path / "content.pt", None)


# The file alone: the package takes long to import. It says that it waits, and leaves a
# line for each creation.
CREATE = """
import importlib.util, sys, time
from pathlib import Path
import torch

spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
path, seconds, ready = Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])

def create():
    with path.with_name("calls").open("a") as file:
        file.write("call\\n")
    time.sleep(seconds)
    return {"x": torch.arange(3)}

ready.touch()
print(cache.load_or_create(path, create)["x"].tolist())
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[float, str], subprocess.Popen]]:
    started = []

    def start_one(seconds: float, name: str) -> subprocess.Popen:
        paths = [str(tmp_path / "content.pt"), str(seconds), str(tmp_path / name)]
        arguments = [sys.executable, "-c", CREATE, cache.__file__, *paths]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)


def test_processes_create_once_and_a_killed_one_locks_nothing(
    tmp_path: Path, start: Callable[[float, str], subprocess.Popen]
) -> None:
    calls = tmp_path / "calls"
    killed = start(600, "killed")
    wait_for(calls)
    waiting = [start(1, name) for name in ("one", "two")]
    for name in ("one", "two"):
        wait_for(tmp_path / name)
    time.sleep(0.3)
    assert [process.poll() for process in waiting] == [None, None]
    assert calls.read_text() == "call\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    found = [process.communicate(timeout=60)[0] for process in waiting]
    assert found == ["[0, 1, 2]\n"] * 2
    # That of the killed one, and one more.
    assert calls.read_text() == "call\n" * 2
    left = {"content.pt", "content.pt.sha256.json", "calls", "killed", "one", "two"}
    assert {p.name for p in tmp_path.iterdir()} == left
