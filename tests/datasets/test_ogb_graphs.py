import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets.ogb_hiv import graphs_from_smiles, parse_leniently

pytest.importorskip("rdkit")
pytest.importorskip("ogb")
MOLECULES = [
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


@given(st.lists(st.sampled_from(MOLECULES), min_size=1, max_size=6))
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
