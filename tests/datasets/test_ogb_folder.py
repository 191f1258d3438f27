import gzip
import os
import zipfile
from pathlib import Path

import pytest

from pyg_relational.datasets.ogb import (
    PROCESSED,
    check_folder,
    find_folder,
    folder_at_hand,
)

NAME = "ogbg-molesol"
# Two molecules: atoms 2 and 1, bonds 1 and 0.
FILES = {
    "RELEASE_v1.txt": None,
    "raw/num-node-list.csv.gz": "2\n1\n",
    "raw/num-edge-list.csv.gz": "1\n0\n",
    "raw/graph-label.csv.gz": "0.5\n-1.5",
    "raw/node-feat.csv.gz": "5,0\n6,0\n7,0\n",
    "raw/edge.csv.gz": "0,1\n",
    "raw/edge-feat.csv.gz": "0,0,0\n",
    "split/scaffold/train.csv.gz": "0\n",
    "split/scaffold/valid.csv.gz": "1\n",
    "split/scaffold/test.csv.gz": "",
}
FACTS = {
    "version": "1",
    "split": "scaffold",
    "url": "http://nowhere.invalid/esol.zip",
    "download_name": "esol",
}


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)


def write(folder, **changes):
    for name, text in {**FILES, **changes}.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if text is None else gzip.compress(text.encode()))
    return Path(folder)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_whole_folder_is_accepted(tmp_path):
    check_folder(write(tmp_path), FACTS)


@pytest.mark.parametrize("name", FILES)
def test_every_missing_file_is_named(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"Expected '{tmp_path / name}', found no"):
        check_folder(tmp_path, FACTS)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("gz")])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_every_damaged_file_is_named(tmp_path, name, damage):
    write(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-4] if damage == "cut" else b"<html>")
    with pytest.raises(ValueError, match=f"'{tmp_path / name}' is damaged"):
        check_folder(tmp_path, FACTS)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("raw/node-feat", "5,0\n6,0\n", "node-feat.csv.gz' to have 3 rows, as num-no"),
        ("raw/edge", "0,1\n1,0\n", "edge.csv.gz' to have 1 rows, as num-edge-list"),
        ("raw/edge-feat", "", "edge-feat.csv.gz' to have 1 rows"),
        ("raw/graph-label", "1\n", "graph-label.csv.gz' to have 2 rows, as the split"),
        ("raw/num-node-list", "2\none\n", "a number on each line of .*num-node-list"),
        ("split/scaffold/test", "1\n", "to hold the numbers from 0 on, each once"),
        ("split/scaffold/test", "3\n", "to hold the numbers from 0 on, each once"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, name, text, message):
    write(tmp_path, **{f"{name}.csv.gz": text})
    with pytest.raises(ValueError, match=message):
        check_folder(tmp_path, FACTS)


def test_raw_files_are_not_needed_once_they_are_processed(tmp_path):
    write(tmp_path, **{PROCESSED: ""})
    (tmp_path / "raw/edge.csv.gz").unlink()
    check_folder(tmp_path, FACTS)


def test_a_folder_at_hand_is_copied_and_never_written_to(tmp_path, monkeypatch):
    given = write(tmp_path / "shared/ogb/ogbg_molesol", **{PROCESSED: "old"})
    for path in (*given.rglob("*"), given):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = contents(given)
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(tmp_path / "shared"))
    root = tmp_path / "root"
    assert folder_at_hand(NAME, root) == given
    folder = find_folder(NAME, root, FACTS)
    assert folder == root / "ogbg_molesol"
    assert contents(given) == before
    assert contents(folder) == {k: v for k, v in before.items() if k != PROCESSED}
    assert [path.name for path in root.iterdir()] == ["ogbg_molesol"]
    # The copy can be written to whatever the modes of the folder at hand are.
    assert os.access(folder, os.W_OK)
    assert (folder / "raw").stat().st_mode & 0o200
    for path in (given, *given.rglob("*")):
        path.chmod(0o700)


@pytest.mark.parametrize("name", ["ogbg_molesol", "ogbg_molesol_pyg"])
def test_the_normal_folder_goes_first(tmp_path, monkeypatch, name):
    write(tmp_path / "shared/ogb/ogbg_molesol")
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(tmp_path / "shared"))
    own = write(tmp_path / "root" / name)
    assert find_folder(NAME, tmp_path / "root", FACTS) == own


def archive_of(tmp_path, folder="esol"):
    write(tmp_path / "plain" / folder)
    path = tmp_path / "esol.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (tmp_path / "plain").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "plain"))
    return path


def test_a_download_is_unpacked(tmp_path):
    facts = {**FACTS, "url": archive_of(tmp_path).as_uri()}
    folder = find_folder(NAME, tmp_path / "root", facts)
    assert contents(folder) == contents(tmp_path / "plain/esol")
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["ogbg_molesol"]


def test_an_archive_put_there_by_hand_is_unpacked(tmp_path):
    (tmp_path / "root").mkdir()
    archive_of(tmp_path).rename(tmp_path / "root/esol.zip")
    check_folder(find_folder(NAME, tmp_path / "root", FACTS), FACTS)


def test_a_damaged_archive_is_named(tmp_path):
    path = archive_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    facts = {**FACTS, "url": path.as_uri()}
    with pytest.raises(
        ValueError,
        match=r"root/esol.zip' is damaged .*: delete it, and it is fetched again",
    ):
        find_folder(NAME, tmp_path / "root", facts)
    assert folder_at_hand(NAME, tmp_path / "root") is None


def test_an_archive_of_something_else_is_named(tmp_path):
    facts = {**FACTS, "url": archive_of(tmp_path, "hiv").as_uri()}
    with pytest.raises(ValueError, match="it has no folder 'esol'"):
        find_folder(NAME, tmp_path / "root", facts)


def test_without_data_and_network_it_says_where_files_go(tmp_path):
    root = tmp_path / "root"
    facts = {**FACTS, "url": (tmp_path / "none/esol.zip").as_uri()}
    with pytest.raises(OSError, match="No 'ogbg_molesol' in") as caught:
        find_folder(NAME, root, facts)
    message = str(caught.value)
    assert f"Unpack the archive to '{root / 'ogbg_molesol'}'" in message
    assert f"as '{root / 'esol.zip'}'" in message
    assert "PYG_RELATIONAL_DATA to a folder that has 'ogb/ogbg_molesol'" in message
    assert [*root.iterdir()] == []
