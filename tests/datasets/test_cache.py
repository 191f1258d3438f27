import pytest
import torch

from pyg_relational.datasets.cache import (
    load_or_create,
    read_verified,
    write_atomic,
)

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
    write_atomic(path, CONTENT)
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
    write_atomic(path, CONTENT)
    damage(path)
    assert read_verified(path) is None
    calls = []
    content = load_or_create(path, lambda: calls.append(1) or CONTENT)
    assert calls == [1]
    assert same(content)
    assert same(read_verified(path))


def test_complete_file_is_not_created_again(tmp_path):
    path = tmp_path / "content.pt"
    write_atomic(path, CONTENT)
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
    write_atomic(path, {"n": 4})
    replace, calls = type(path).replace, []

    def interrupted(self, target):
        calls.append(target)
        if len(calls) > written:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, CONTENT)
    monkeypatch.undo()
    # Either the old file is untouched, or the new one lacks its record.
    assert read_verified(path) == ({"n": 4} if written == 0 else None)
    assert list(tmp_path.glob(".*.partial")) == []
    expected = {"n": 4} if written == 0 else {"n": 5}
    assert load_or_create(path, lambda: {"n": 5}) == expected


def test_same_content_gives_the_same_bytes(tmp_path):
    # Two processes that create one file at once may interleave their writes.
    write_atomic(tmp_path / "a.pt", CONTENT)
    write_atomic(tmp_path / "b.pt", CONTENT)
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
        write_atomic(tmp_path / "content.pt", CONTENT)


def test_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must not be None"):
        write_atomic(tmp_path / "content.pt", None)
