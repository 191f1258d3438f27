import gzip
import os
import pickle
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import OGBMolecules, scaffold_split
from pyg_relational.datasets import ogb as ogb_loader
from pyg_relational.datasets.ogb import (
    PROCESSED,
    check_folder,
    find_folder,
    folder_at_hand,
)
from pyg_relational.datasets.ogb_hiv import graphs_from_smiles

pytest.importorskip("ogb")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
real = pytest.mark.skipif(
    not (SHARED / "ogb").is_dir(), reason="needs OGB's folders; set PYG_RELATIONAL_DATA"
)
LABELS = [0.5, -1.5, 2.0, 3.5]
ATOMS = [2, 1, 3, 2]
SPLIT = {"train": [0, 3], "valid": [2], "test": [1]}


@pytest.fixture(autouse=True)
def _no_shared_data_and_no_network(monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("builtins.input", refuse)


def zipped(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))


def write_set(root, name="ogbg_molesol"):
    """Chains of atoms; the first feature of an atom is 10 * molecule + atom."""
    folder = Path(root, name)
    chains = [[(a, a + 1) for a in range(n - 1)] for n in ATOMS]
    numbers = [10 * m + a for m, n in enumerate(ATOMS) for a in range(n)]
    zipped(folder / "raw/num-node-list.csv.gz", ATOMS)
    zipped(folder / "raw/num-edge-list.csv.gz", map(len, chains))
    zipped(folder / "raw/graph-label.csv.gz", LABELS)
    zipped(folder / "raw/node-feat.csv.gz", (f"{n}" + ",0" * 8 for n in numbers))
    ends = [end for chain in chains for end in chain]
    zipped(folder / "raw/edge.csv.gz", (f"{a},{b}" for a, b in ends))
    zipped(folder / "raw/edge-feat.csv.gz", (f"{a},0,0" for a, _ in ends))
    for part, index in SPLIT.items():
        zipped(folder / f"split/scaffold/{part}.csv.gz", index)
    rows = ["label,smiles,mol_id", *(f"0,{'C' * n},m" for n in ATOMS)]
    zipped(folder / "mapping/mol.csv.gz", rows)
    (folder / "RELEASE_v1.txt").touch()
    return folder


def test_splits_hold_the_molecules_that_the_files_say(tmp_path):
    write_set(tmp_path)
    for name, official in (("train", "train"), ("val", "valid"), ("test", "test")):
        data = OGBMolecules(str(tmp_path), split=name)
        rows = SPLIT[official]
        assert [float(molecule.y) for molecule in data] == [LABELS[i] for i in rows]
        assert [int(m.x[0, 0]) for m in data] == [10 * i for i in rows]
    whole = OGBMolecules(str(tmp_path), split=None)
    assert whole.get_idx_split()["train"].tolist() == SPLIT["train"]
    # Each bond both ways.
    assert whole[2].edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert whole[2].edge_attr[:, 0].tolist() == [0, 0, 1, 1]
    assert whole.smiles == ["CC", "C", "CCC", "CC"]
    assert (whole.num_tasks, whole.eval_metric) == (1, "rmse")
    assert str(whole) == "OGBMolecules(ogbg-molesol, 4)"


def test_batches_and_transforms(tmp_path):
    write_set(tmp_path)

    def double(molecule):
        molecule.y = 2 * molecule.y
        return molecule

    data = OGBMolecules(str(tmp_path), split=None, transform=double)
    (batch,) = DataLoader(data, batch_size=4)
    assert batch.y.tolist() == [[2 * label] for label in LABELS]
    assert batch.batch.bincount().tolist() == ATOMS


def test_processed_molecules_are_read_again(tmp_path):
    folder = write_set(tmp_path)
    before = OGBMolecules(str(tmp_path), split=None)
    written = (folder / PROCESSED).stat().st_mtime_ns
    for file in (folder / "raw").iterdir():
        file.unlink()
    after = OGBMolecules(str(tmp_path), split=None)
    assert torch.equal(before[3].x, after[3].x)
    assert (folder / PROCESSED).stat().st_mtime_ns == written


class Harm:
    def __reduce__(self):
        return (os.mkdir, (str(Path(os.environ["HARM"])),))


def test_a_file_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    folder = write_set(tmp_path)
    (folder / "processed").mkdir()
    torch.save(Harm(), folder / PROCESSED)
    with pytest.raises(ValueError, match=r"Cannot read .*processed.pt.*delete it"):
        OGBMolecules(str(tmp_path))
    assert not (tmp_path / "harm").exists()
    pickle.loads(pickle.dumps(Harm()))
    assert (tmp_path / "harm").exists()


def test_a_processed_file_that_was_cut_short_is_named(tmp_path):
    folder = write_set(tmp_path)
    OGBMolecules(str(tmp_path))
    path = folder / PROCESSED
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"Cannot read '{path}'.*made again from"):
        OGBMolecules(str(tmp_path))
    path.unlink()
    assert len(OGBMolecules(str(tmp_path), split=None)) == 4


def test_molecules_of_another_split_are_named(tmp_path):
    folder = write_set(tmp_path)
    OGBMolecules(str(tmp_path))
    zipped(folder / "split/scaffold/test.csv.gz", [1, 4])
    with pytest.raises(ValueError, match=r"processed.pt' to hold the 5 .* found 4"):
        OGBMolecules(str(tmp_path))


def test_a_raw_file_of_nonsense_names_its_folder(tmp_path):
    folder = write_set(tmp_path)
    zipped(folder / "raw/node-feat.csv.gz", ["a,b"] * sum(ATOMS))
    with pytest.raises(ValueError, match=f"Cannot read '{folder / 'raw'}'"):
        OGBMolecules(str(tmp_path))


def test_processing_that_is_interrupted_leaves_no_file(tmp_path, monkeypatch):
    folder = write_set(tmp_path)
    save = torch.save

    def interrupted(content, path):
        save(content, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        OGBMolecules(str(tmp_path))
    assert [*(folder / "processed").iterdir()] == []
    monkeypatch.undo()
    assert len(OGBMolecules(str(tmp_path), split=None)) == 4


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"'ogbg-molesoll'.*; did you mean 'ogbg-moleso"
    ):
        OGBMolecules(str(tmp_path), "ogbg-molesoll")
    # It is no set of molecules.
    with pytest.raises(ValueError, match=r"'name' must be .*got 'ogbg-ppa'"):
        OGBMolecules(str(tmp_path), "ogbg-ppa")
    with pytest.raises(ValueError, match=r"'split' must be .*got 'valid'"):
        OGBMolecules(str(tmp_path), split="valid")
    assert [*tmp_path.iterdir()] == []


def test_without_ogb_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ogb_loader, "find_spec", lambda name: None)
    ogb_loader.molecule_sets.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pyg-relational\[ogb\]") as caught:
        OGBMolecules(str(tmp_path))
    assert caught.value.name == "ogb"


def test_no_thread_is_left_behind(tmp_path):
    write_set(tmp_path)
    before = threading.active_count()
    OGBMolecules(str(tmp_path))
    assert threading.active_count() == before


def test_the_first_import_of_ogb_starts_nothing(tmp_path):
    write_set(tmp_path)
    code = (
        "import socket, sys, threading\n"
        "asked, started, begin = [], [], threading.Thread.start\n"
        "def refuse(*a, **k): asked.append(a); raise OSError\n"
        "def note(self): started.append(self); begin(self)\n"
        "import torch_geometric.data\n"
        "socket.socket = refuse; threading.Thread.start = note\n"
        "from pyg_relational.datasets import OGBMolecules\n"
        "assert 'ogb' not in sys.modules\n"
        f"OGBMolecules({str(tmp_path)!r})\n"
        "print(asked, started, threading.active_count(), 'outdated' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[] [] 1 False\n", done.stderr


@real
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["molesol", "molbace", "molfreesolv"])
def test_the_official_indices_and_graphs(tmp_path, monkeypatch, name):
    pytest.importorskip("rdkit")
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    data = OGBMolecules(str(tmp_path), f"ogbg-{name}", None)
    split = scaffold_split(data.smiles)
    for part, index in data.get_idx_split().items():
        assert split[part].tolist() == index.tolist()
    chosen = [*range(0, len(data), 7)]
    texts = data.smiles
    rows, _, lenient = graphs_from_smiles([texts[i] for i in chosen[:40]])
    assert lenient == []
    for key, dim in (("x", 0), ("edge_index", 1), ("edge_attr", 0)):
        official = torch.cat([data[i][key] for i in chosen[:40]], dim)
        assert torch.equal(rows[key], official)


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
