"""The molecules of ogbg-molhiv, rebuilt from their SMILES."""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_relational.datasets.base import Slices, StoredDataset, collate_ragged
from pyg_relational.datasets.downloads import RawFile, gunzip
from pyg_relational.datasets.ogb import SPLITS, import_ogb
from pyg_relational.datasets.tables import parse_table

URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/HIV.csv"
COLUMNS = ("smiles", "HIV_active")
# Of the two columns as text, with a line for their names.
SHA256 = "3a3c7a4ea9626211fe959ef988394670dd76d556ca3c6173b70c88256e4c3555"
# How many rows a message names.
NAMED_ROWS = 10


class MolHIV(StoredDataset):
    r"""The 41,127 molecules of `ogbg-molhiv`, rebuilt from the SMILES of
    `"MoleculeNet" <https://arxiv.org/abs/1703.00564>`_, in the same order, with OGB's
    features and its split by scaffolds.

    Newer versions of `rdkit` do not parse seven of them, because of the valences of
    their metals. They are kept: their graphs are made without the check of valences,
    and each is a scaffold of its own. `unparsed` names them.

    Args:
        root (str): Folder of the dataset; the file `hiv.csv.gz` may also lie in the
            folder `moleculenet` of `PYG_RELATIONAL_DATA`.
        split (str, optional): `"train"`, `"val"`, `"test"`, or all molecules for
            `None`. (default: `"train"`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        force_reload (bool): Make the stored file again, which takes minutes.
            (default: `False`)

    Shapes:
        - **x:** `[n, 9]` int64 features of atoms
        - **edge_index:** `[2, E]` bonds, both ways
        - **edge_attr:** `[E, 3]` int64 features of bonds
        - **y:** `[1, 1]` int64, 1 if the molecule is active against HIV

    Raises:
        ModuleNotFoundError: `ogb` or `rdkit` is not installed.
    """

    kind = "graph"
    name = "ogbg-molhiv"
    num_tasks = 1
    task_type = "binary classification"
    eval_metric = "rocauc"

    def __init__(
        self,
        root: str,
        split: str | None = "train",
        transform: Callable[[Data], Data] | None = None,
        force_reload: bool = False,
    ) -> None:
        # All molecules are in one file.
        chosen = "train" if split is None else split
        super().__init__(root, chosen, transform, force_reload=force_reload)
        self.split = split  # type: ignore[assignment]
        # Stored in fewer bytes.
        for key in ("x", "edge_index", "edge_attr", "y"):
            self._data[key] = self._data[key].long()
        self.unparsed: list[int] = self.extras["unparsed"]
        self._idx_split: dict[str, Tensor] = self.extras["split"]
        if split is not None:
            self._indices = self._idx_split[SPLITS[split]].tolist()

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        folder = "moleculenet"
        return (RawFile("hiv.csv.gz", URL, folder=folder, read=_columns),)

    @property
    def smiles(self) -> list[str]:
        """The SMILES of all molecules, whichever `split` is chosen."""
        return [smiles for smiles, _ in read_molecules(Path(self.raw_paths[0]))]

    def get_idx_split(self) -> dict[str, Tensor]:
        """Returns the split: indices of `train`, `valid` and `test` among all
        molecules."""
        return dict(self._idx_split)

    def _name(self) -> str:
        return "molhiv"

    def generate(self) -> tuple[Data, Slices]:
        molecules = read_molecules(Path(self.raw_paths[0]))
        smiles = [text for text, _ in molecules]
        rows, counts, unparsed = graphs_from_smiles(smiles, progress=True)
        rows = {
            "x": rows["x"].to(torch.uint8),
            "edge_index": rows["edge_index"].to(torch.int16),
            "edge_attr": rows["edge_attr"].to(torch.uint8),
            "y": torch.tensor([[label] for _, label in molecules], dtype=torch.uint8),
        }
        self.extras["unparsed"] = unparsed
        self.extras["split"] = scaffold_split(smiles, progress=True)
        return collate_ragged(rows, counts)


def read_molecules(path: Path) -> list[tuple[str, int]]:
    """Returns SMILES and label of each molecule of a file, after a check of both."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gunzip(content, path)
    text = content.decode(errors="replace")
    molecules = parse_table(text, str(path), COLUMNS, _molecule)
    found = hashlib.sha256(_text(molecules).encode()).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"Expected the molecules of {str(path)!r} to have the SHA-256 {SHA256}, "
            f"got {found}: they are others, or in another order. Fetch the file again."
        )
    return molecules


def _columns(path: Path) -> bytes:
    """The two columns of a file that are stored, after a check."""
    return _text(read_molecules(path)).encode()


def _molecule(row: dict[str, str]) -> tuple[str, int]:
    if row["HIV_active"] not in ("0", "1"):
        raise ValueError(f"expected the label 0 or 1, got {row['HIV_active']!r}")
    return row["smiles"], int(row["HIV_active"])


def _text(molecules: list[tuple[str, int]]) -> str:
    lines = [",".join(COLUMNS), *(f"{smiles},{label}" for smiles, label in molecules)]
    return "\n".join(lines) + "\n"


class ProgressBar(tqdm):
    """A progress bar that starts no thread."""

    monitor_interval = 0


def parse_smiles(smiles: str) -> Any | None:
    """Returns a molecule of `rdkit`, or `None` if it does not parse."""
    from rdkit import Chem, rdBase

    # Errors would go to the console one by one; callers report them together.
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def parse_leniently(smiles: str) -> Any | None:
    """Returns a molecule whose atoms may have a valence that `rdkit` does not know, or
    `None` if the text is no molecule at all."""
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
    and a warning names its row."""
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
