"""OGB's split of molecules by their scaffolds."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_relational.datasets.ogb_graphs import NAMED_ROWS, ProgressBar, parse_smiles


def scaffold_split(smiles: Sequence[str], progress: bool = False) -> dict[str, Tensor]:
    r"""Splits molecules 80 / 10 / 10 so that no scaffold is in two parts, as OGB does.

    Molecules with the same Murcko scaffold, chirality included, form a group. Groups
    are taken from the largest to the smallest, of equal ones the last to appear first;
    each goes to the training part if that then has at most 80 %, else to the validation
    part if both then have at most 90 %, else to the test part.

    A molecule that does not parse is a group of its own, and a warning names it.

    Args:
        smiles (Sequence[str]): The molecules, in the order of the dataset.
        progress (bool): Show a progress bar. (default: `False`)

    Returns:
        dict[str, Tensor]: `train`, `valid` and `test`: ascending indices.

    Raises:
        ModuleNotFoundError: `rdkit` is not installed.
        TypeError: `smiles` is a single text.
    """
    if isinstance(smiles, str):
        raise TypeError(f"Expected `smiles` to be a list of texts, got {smiles!r}.")
    groups: dict[Any, list[int]] = defaultdict(list)
    bar = ProgressBar(smiles, "scaffolds", disable=not progress)
    for index, text in enumerate(bar):
        groups[_scaffold(text, index)].append(index)
    alone = [key for key in groups if isinstance(key, int)]
    if alone:
        shown = ", ".join(map(str, alone[:NAMED_ROWS]))
        warnings.warn(
            f"{len(alone)} of {len(smiles)} molecules do not parse; each is a scaffold "
            f"of its own: rows {shown}{', ...' if len(alone) > NAMED_ROWS else ''}",
            stacklevel=2,
        )
    return _fill(sorted(groups.values(), key=lambda g: (len(g), g[0]), reverse=True))


def _scaffold(text: str, index: int) -> str | int:
    """The scaffold as SMILES, or the index of a molecule that does not parse."""
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    molecule = parse_smiles(text)
    if molecule is None:
        return index
    return str(MurckoScaffoldSmiles(mol=molecule, includeChirality=True))


def _fill(groups: list[list[int]]) -> dict[str, Tensor]:
    size = sum(map(len, groups))
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for group in groups:
        taken = len(parts["train"]) + len(group)
        if taken <= 0.8 * size:
            parts["train"] += group
        elif taken + len(parts["valid"]) <= 0.9 * size:
            parts["valid"] += group
        else:
            parts["test"] += group
    return {
        name: torch.tensor(sorted(part), dtype=torch.long)
        for name, part in parts.items()
    }
