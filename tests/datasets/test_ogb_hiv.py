import csv
import gzip
import hashlib
import os
from pathlib import Path

import pytest
import torch

from pyg_relational.datasets import MolHIV, ogb_hiv

pytest.importorskip("rdkit")
pytest.importorskip("ogb")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
MOLECULES = [(f"c1ccccc1{'C' * n}", n % 2) for n in range(8)]
MOLECULES += [("F[Cl](F)(F)(F)F", 1), ("C1CC1", 0)]
UNPARSED = [137, 987, 12882, 18293, 30784, 30785, 35728]
WARNING = "ignore:.*molecules do not parse"


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)


@pytest.fixture
def small(monkeypatch):
    text = ogb_hiv._text(MOLECULES)
    monkeypatch.setattr(ogb_hiv, "SHA256", hashlib.sha256(text.encode()).hexdigest())
    return text


@pytest.fixture
def root(tmp_path, small):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/hiv.csv.gz").write_bytes(gzip.compress(small.encode()))
    return tmp_path


@pytest.mark.filterwarnings(WARNING)
def test_splits_and_molecules(root):
    whole = MolHIV(str(root), None)
    assert len(whole) == 10
    assert whole.unparsed == [8]
    assert [int(data.y) for data in whole] == [label for _, label in MOLECULES]
    assert [data.x.size(0) for data in whole] == [*range(6, 14), 6, 3]
    assert whole.smiles == [smiles for smiles, _ in MOLECULES]
    assert {value.dtype for value in whole[8].to_dict().values()} == {torch.long}
    assert whole[8].edge_index.max() == 5
    splits = {name: [int(d.x.size(0)) for d in MolHIV(str(root), name)] for name in
              ("train", "val", "test")}  # fmt: skip
    assert splits == {"train": [*range(6, 14)], "val": [3], "test": [6]}
    assert whole.get_idx_split()["valid"].tolist() == [9]


def test_both_warnings_name_the_molecule(root):
    with pytest.warns(UserWarning, match="do not parse.*rows 8") as caught:
        MolHIV(str(root))
    assert len(caught) == 2


@pytest.mark.filterwarnings(WARNING)
def test_stored_molecules_need_no_raw_file(root):
    before = MolHIV(str(root), "train")[3]
    (root / "raw/hiv.csv.gz").unlink()
    after = MolHIV(str(root), "train")[3]
    assert torch.equal(before.x, after.x)
    assert torch.equal(before.edge_index, after.edge_index)


@pytest.mark.filterwarnings(WARNING)
def test_a_download_is_checked_and_compressed(tmp_path, small, monkeypatch):
    source = tmp_path / "HIV.csv"
    with source.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["smiles", "activity", "HIV_active"])
        table.writerows([smiles, "CI", label] for smiles, label in MOLECULES)
    monkeypatch.setattr(ogb_hiv, "URL", source.as_uri())
    assert len(MolHIV(str(tmp_path / "root"), None)) == 10
    files = [path.name for path in (tmp_path / "root/raw").iterdir()]
    assert files == ["hiv.csv.gz"]


def test_another_order_is_refused(root):
    swapped = [MOLECULES[1], MOLECULES[0], *MOLECULES[2:]]
    path = root / "raw/hiv.csv.gz"
    path.write_bytes(gzip.compress(ogb_hiv._text(swapped).encode()))
    with pytest.raises(ValueError, match="they are others, or in another order"):
        MolHIV(str(root))


@pytest.mark.parametrize("content", [b"<html>", gzip.compress(b"a,b\n1,2\n")])
def test_a_damaged_file_is_named(root, content):
    (root / "raw/hiv.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"raw/hiv.csv.gz"):
        MolHIV(str(root))


def test_without_data_and_network_it_says_where_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(ogb_hiv, "URL", (tmp_path / "none.csv").as_uri())
    with pytest.raises(OSError, match="set PYG_RELATIONAL_DATA to a folder"):
        MolHIV(str(tmp_path))


def test_an_unknown_split_is_refused(root):
    with pytest.raises(ValueError, match=r"Unknown split 'valid'.*Expected one of: tr"):
        MolHIV(str(root), "valid")


@pytest.mark.slow
@pytest.mark.filterwarnings(WARNING)
@pytest.mark.skipif(
    not (SHARED / "moleculenet" / "hiv.csv.gz").is_file(),
    reason="needs hiv.csv.gz; set PYG_RELATIONAL_DATA",
)
def test_the_real_molecules(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    data = MolHIV(str(tmp_path), None)
    sizes = {name: len(index) for name, index in data.get_idx_split().items()}
    assert sizes == {"train": 32901, "valid": 4113, "test": 4113}
    active = {k: int(data._data.y[v].sum()) for k, v in data.get_idx_split().items()}
    assert active == {"train": 1232, "valid": 81, "test": 130}
    assert data.unparsed == UNPARSED
    # 25.5 atoms and 27.5 bonds a molecule, as OGB says.
    assert data._data.x.size(0) == 1_049_163
    assert data._data.edge_index.size(1) == 2_259_376
