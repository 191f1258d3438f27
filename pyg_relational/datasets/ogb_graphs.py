"""Molecules as graphs, with the features of OGB."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pyg_relational.datasets.ogb_loader import import_ogb

# How many rows a message names.
NAMED_ROWS = 10


class ProgressBar(tqdm):
    """A progress bar that starts no thread."""

    monitor_interval = 0


def parse_smiles(smiles: str) -> Any | None:
    """Returns a molecule of `rdkit`, or `None` if it does not parse.

    Args:
        smiles (str): The molecule.
    """
    from rdkit import Chem, rdBase

    # Errors would go to the console one by one; callers report them together.
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def parse_leniently(smiles: str) -> Any | None:
    """Returns a molecule whose atoms may have a valence that `rdkit` does not know, or
    `None` if the text is no molecule at all.

    Args:
        smiles (str): The molecule.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, sanitize=False)
        if molecule is None:
            return None
        steps = Chem.SanitizeFlags
        molecule.UpdatePropertyCache(strict=False)
        wanted = steps.SANITIZE_ALL ^ steps.SANITIZE_PROPERTIES
        failed = Chem.SanitizeMol(molecule, wanted, catchErrors=True)
    return molecule if failed == steps.SANITIZE_NONE else None


def graphs_from_smiles(
    smiles: Sequence[str], progress: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[int]]:
    """Returns the graphs of molecules, the same as `ogb.utils.mol.smiles2graph` gives
    for each.

    A molecule that does not parse is parsed again without the check of its valences,
    and a warning names its row.

    Args:
        smiles (Sequence[str]): The molecules.
        progress (bool): Show a progress bar. (default: `False`)

    Returns:
        tuple: The rows of `x` `[N, 9]`, `edge_index` `[2, E]` (numbered within each
        molecule) and `edge_attr` `[E, 3]`; the number of rows of each molecule by
        attribute; and the indices of those that did not parse.

    Raises:
        ModuleNotFoundError: `ogb` or `rdkit` is not installed.
        ValueError: A text is no molecule at all; its row is named.
    """
    atoms: list[np.ndarray] = []
    bonds: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    lenient = []
    for row, text in enumerate(ProgressBar(smiles, "graphs", disable=not progress)):
        molecule = parse_smiles(text)
        if molecule is None:
            lenient.append(row)
            molecule = parse_leniently(text)
        if molecule is None:
            raise ValueError(
                f"Expected row {row} of `smiles` to be a molecule, got {text!r}."
            )
        features = _features(molecule)
        for values, part in zip(features, (atoms, bonds, ends), strict=True):
            part.append(values)
    if lenient:
        shown = ", ".join(map(str, lenient[:NAMED_ROWS]))
        warnings.warn(
            f"{len(lenient)} of {len(smiles)} molecules do not parse; their graphs are "
            f"made without a check of valences: rows {shown}"
            f"{', ...' if len(lenient) > NAMED_ROWS else ''}",
            stacklevel=2,
        )
    nodes = torch.tensor([len(part) for part in atoms])
    edges = torch.tensor([len(part) for part in bonds])
    rows = {
        "x": torch.from_numpy(np.concatenate(atoms)),
        "edge_index": torch.from_numpy(np.concatenate(ends)).t().contiguous(),
        "edge_attr": torch.from_numpy(np.concatenate(bonds)),
    }
    return rows, {"x": nodes, "edge_index": edges, "edge_attr": edges}, lenient


def _features(molecule: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of atoms and of bonds, and the ends of bonds; each bond both ways."""
    ogb = import_ogb("ogb.utils.features")
    atoms = [ogb.atom_to_feature_vector(atom) for atom in molecule.GetAtoms()]
    bonds, ends = [], []
    for bond in molecule.GetBonds():
        pair = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds += [ogb.bond_to_feature_vector(bond)] * 2
        ends += [pair, pair[::-1]]
    return (
        np.array(atoms, dtype=np.int64).reshape(-1, 9),
        np.array(bonds, dtype=np.int64).reshape(-1, 3),
        np.array(ends, dtype=np.int64).reshape(-1, 2),
    )
