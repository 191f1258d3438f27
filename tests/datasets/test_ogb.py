import gzip
import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import OGBMolecules, scaffold_split
from pyg_relational.datasets import ogb as ogb_loader
from pyg_relational.datasets.ogb import PROCESSED
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
    with pytest.raises(ValueError, match=r"'ogbg-molesoll'; did you mean 'ogbg-moleso"):
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
