import pytest
import torch

from pyg_relational.datasets import ogb_hiv as ogb_scaffold
from pyg_relational.datasets.ogb_hiv import scaffold_split

pytest.importorskip("rdkit")
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
    keys = {ogb_scaffold._scaffold(text, 0) for text in (one, other)}
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
