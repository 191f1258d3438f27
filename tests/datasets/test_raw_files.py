import hashlib
from pathlib import Path

import pytest

from pyg_relational.datasets.downloads import check_sha256, fetch_raw, raw_folder

CONTENT = b"some data"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_bytes(CONTENT)
    return path.as_uri()


def test_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    own = str(tmp_path / "root" / "raw")
    assert raw_folder(str(tmp_path / "root"), "a.txt", "sub") == own
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(tmp_path / "shared"))
    assert raw_folder(str(tmp_path / "root"), "a.txt", "sub") == own
    shared = tmp_path / "shared" / "sub"
    shared.mkdir(parents=True)
    (shared / "a.txt").touch()
    assert raw_folder(str(tmp_path / "root"), "a.txt", "sub") == str(shared)
    assert raw_folder(str(tmp_path / "root"), "b.txt", "sub") == own


def test_fetched_file_is_whole(tmp_path):
    path = fetch_raw(source(tmp_path), tmp_path / "raw" / "a.txt", SHA256)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_wrong_checksum_leaves_no_file(tmp_path):
    with pytest.raises(
        ValueError, match=f"source.txt' to have.*{'0' * 64}, got {SHA256}"
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
    path.write_bytes(CONTENT)
    check_sha256(path, SHA256)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match=r"a.txt' to have the SHA-256.*fetch it again"):
        check_sha256(path, SHA256)
