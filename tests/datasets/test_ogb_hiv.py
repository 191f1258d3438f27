import csv
import gzip
import hashlib
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets import MolHIV, ogb_hiv
from pyg_relational.datasets.ogb_hiv import (
    graphs_from_smiles,
    parse_leniently,
    scaffold_split,
)

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


@pytest.mark.parametrize("content", [b"<html>", gzip.compress(b"a,b\n1,2\n", mtime=0)])
def test_a_damaged_file_is_named(root, content):
    (root / "raw/hiv.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"raw/hiv.csv.gz"):
        MolHIV(str(root))


def test_without_data_and_network_it_says_where_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(ogb_hiv, "URL", (tmp_path / "none.csv").as_uri())
    with pytest.raises(OSError, match="set PYG_RELATIONAL_DATA to a folder"):
        MolHIV(str(tmp_path))


def test_an_unknown_split_is_refused(root):
    with pytest.raises(ValueError, match=r"'split' must be one of 'tr.*got 'valid'"):
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


SMILES = [
    "C",
    "CCO",
    "[Na+].[Cl-]",
    "c1ccncc1",
    "F/C=C/F",
    "N[C@@H](C)C(=O)O",
    "[13CH4]",
    "O=S(=O)(O)O",
    "[O-][N+](=O)c1ccccc1",
    "C[Si](C)(C)C#C",
]


@given(st.lists(st.sampled_from(SMILES), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_graphs_are_those_of_the_official_function(smiles):
    from ogb.utils.mol import smiles2graph

    rows, counts, lenient = graphs_from_smiles(smiles)
    assert lenient == []
    starts = {key: [0, *count.cumsum(0).tolist()] for key, count in counts.items()}
    for number, text in enumerate(smiles):
        official = smiles2graph(text)
        for ours, theirs in (("x", "node_feat"), ("edge_attr", "edge_feat")):
            part = rows[ours][starts[ours][number] : starts[ours][number + 1]]
            assert part.tolist() == official[theirs].tolist()
        begin, end = starts["edge_index"][number : number + 2]
        part = rows["edge_index"][:, begin:end]
        assert part.tolist() == official["edge_index"].tolist()


def test_an_unknown_valence_is_kept_and_reported():
    with pytest.warns(UserWarning, match=r"1 of 3 molecules do not .* rows 1"):
        rows, counts, lenient = graphs_from_smiles(["CO", "F[Cl](F)(F)(F)F", "C"])
    assert lenient == [1]
    assert counts["x"].tolist() == [2, 6, 1]
    assert counts["edge_index"].tolist() == [2, 10, 0]
    # Atomic number - 1, and neighbours.
    assert rows["x"][2:8, 0].tolist() == [8, 16, 8, 8, 8, 8]
    assert rows["x"][2:8, 2].tolist() == [1, 5, 1, 1, 1, 1]
    assert rows["edge_index"][:, 2:].min() == 0
    assert rows["edge_index"][:, 2:].max() == 5


def test_what_is_no_molecule_is_an_error_that_names_its_row():
    with pytest.raises(ValueError, match=r"row 1 of `smiles` to be a molecule, got 'x"):
        graphs_from_smiles(["C", "xyz"])


def test_other_errors_than_valences_are_not_let_through():
    # Five carbons cannot be aromatic.
    assert parse_leniently("c1cccc1") is None


def test_features_are_of_the_official_type():
    rows, *_ = graphs_from_smiles(["CO"])
    assert {key: value.dtype for key, value in rows.items()} == dict.fromkeys(
        ("x", "edge_index", "edge_attr"), torch.long
    )


BENZENES = ["c1ccccc1" + "C" * n for n in range(6)]
PYRIDINES = ["c1ccncc1" + "C" * n for n in range(2)]


def parts(smiles):
    return {name: index.tolist() for name, index in scaffold_split(smiles).items()}


def test_groups_fill_the_parts_from_the_largest_on():
    # Ten molecules: benzenes (6), pyridines (2), two scaffolds of one molecule.
    smiles = ["C1CC1", *PYRIDINES, *BENZENES, "C1CCC1"]
    assert parts(smiles) == {
        "train": [1, 2, 3, 4, 5, 6, 7, 8],
        # Of the groups of one, the last to appear is taken first.
        "valid": [9],
        "test": [0],
    }


def test_a_group_goes_where_it_fits():
    smiles = [*BENZENES, "C1CC1"]
    # Six of seven are more than 80 %, but not more than 90 %.
    assert parts(smiles) == {"train": [6], "valid": [0, 1, 2, 3, 4, 5], "test": []}
    assert parts(BENZENES)["test"] == [0, 1, 2, 3, 4, 5]


def test_chirality_tells_scaffolds_apart():
    one, other = "C1CC[C@@H]2CCCC[C@H]2C1", "C1CC[C@@H]2CCCC[C@@H]2C1"
    from rdkit.Chem import CanonSmiles

    assert CanonSmiles(one) != CanonSmiles(other)
    keys = {ogb_hiv._scaffold(text, 0) for text in (one, other)}
    assert len(keys) == 2


def test_molecules_that_do_not_parse_are_kept_and_reported():
    smiles = [*BENZENES, "CC(C)(C)(C)C", *PYRIDINES, "nonsense"]
    with pytest.warns(UserWarning, match=r"2 of 10 molecules do not .* rows 6, 9"):
        split = scaffold_split(smiles)
    assert torch.cat([*split.values()]).sort().values.tolist() == [*range(10)]
    # Together they would be as large as the pyridines, and later: taken before them.
    assert split["train"].tolist() == [0, 1, 2, 3, 4, 5, 7, 8]


def test_a_single_text_is_refused():
    with pytest.raises(TypeError, match="`smiles` to be a list of texts, got 'CCO'"):
        scaffold_split("CCO")
