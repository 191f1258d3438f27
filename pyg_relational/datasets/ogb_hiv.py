"""The molecules of ogbg-molhiv, rebuilt from their SMILES."""

import csv
import gzip
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.archives import gunzip
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.ogb import SPLITS
from pyg_relational.datasets.ogb_graphs import graphs_from_smiles
from pyg_relational.datasets.ogb_scaffold import scaffold_split
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/HIV.csv"
COLUMNS = ("smiles", "HIV_active")
# Of the two columns as text, with a line for their names.
SHA256 = "3a3c7a4ea9626211fe959ef988394670dd76d556ca3c6173b70c88256e4c3555"
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1


class MolHIV(InMemoryDataset):
    r"""The 41,127 molecules of `ogbg-molhiv`, rebuilt from the SMILES of
    `"MoleculeNet" <https://arxiv.org/abs/1703.00564>`_, in the same order, with OGB's
    features and its split by scaffolds.

    Newer versions of `rdkit` do not parse seven of them, because of the valences of
    their metals. They are kept: their graphs are made without the check of valences,
    and each is a scaffold of its own. `unparsed` names them.

    Args:
        root (str): Folder of the dataset; files go to `root/raw` and
            `root/processed`. A file `moleculenet/hiv.csv.gz` in the folder that the
            environment variable `PYG_RELATIONAL_DATA` names is read there.
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
        OSError: The SMILES are missing and cannot be fetched, or `root` cannot be
            written.
        ValueError: The split is unknown, or the file of SMILES is damaged.
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
        self.split = split and check_name("split", split, tuple(SPLITS))
        super().__init__(str(root), transform)
        content = load_stored(self, self._generate, force_reload=force_reload)
        # Stored in fewer bytes.
        for key in ("x", "edge_index", "edge_attr", "y"):
            self._data[key] = self._data[key].long()
        self.unparsed: list[int] = content["unparsed"]
        self._idx_split: dict[str, Tensor] = content["split"]
        if self.split is not None:
            self._indices = self._idx_split[SPLITS[self.split]].tolist()

    @property
    def has_download(self) -> bool:
        # PyG would fetch the SMILES even where the molecules are stored.
        return False

    @property
    def raw_file_names(self) -> str:
        return "hiv.csv.gz"

    @property
    def raw_dir(self) -> str:
        return raw_folder(self.root, self.raw_file_names, "moleculenet")

    @property
    def processed_file_names(self) -> str:
        return stored_name(self, f"molhiv-v{FORMAT_VERSION}")

    @property
    def smiles(self) -> list[str]:
        """The SMILES of all molecules, whichever `split` is chosen."""
        return [smiles for smiles, _ in read_molecules(Path(self.raw_paths[0]))]

    def get_idx_split(self) -> dict[str, Tensor]:
        """Returns the split: indices of `train`, `valid` and `test` among all
        molecules."""
        return dict(self._idx_split)

    def download(self) -> None:
        """Fetches the SMILES, checks them and stores them compressed."""
        path = Path(self.raw_paths[0])
        plain = fetch_raw(URL, path.with_suffix(""))
        try:
            text = _text(read_molecules(plain))
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            partial.write_bytes(gzip.compress(text.encode(), mtime=0))
            partial.replace(path)
        finally:
            plain.unlink(missing_ok=True)

    def _generate(self) -> dict[str, Any]:
        if not Path(self.raw_paths[0]).is_file():
            self.download()
        molecules = read_molecules(Path(self.raw_paths[0]))
        smiles = [text for text, _ in molecules]
        rows, counts, unparsed = graphs_from_smiles(smiles, progress=True)
        rows = {
            "x": rows["x"].to(torch.uint8),
            "edge_index": rows["edge_index"].to(torch.int16),
            "edge_attr": rows["edge_attr"].to(torch.uint8),
            "y": torch.tensor([[label] for _, label in molecules], dtype=torch.uint8),
        }
        counts["y"] = torch.ones(len(smiles), dtype=torch.long)
        return {
            **stored_content(self, *collate_ragged(rows, counts)),
            "unparsed": unparsed,
            "split": scaffold_split(smiles, progress=True),
        }


def read_molecules(path: Path) -> list[tuple[str, int]]:
    """Returns SMILES and label of each molecule of a file, after a check of both.

    Args:
        path (Path): A CSV file, which may be compressed by gzip.

    Raises:
        ValueError: The file is damaged or has other molecules.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            content = gunzip(content, path)
        table = csv.DictReader(io.StringIO(content.decode()))
        molecules = [(row[COLUMNS[0]], int(row[COLUMNS[1]])) for row in table]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Cannot read SMILES and labels from {str(path)!r} ({error!r}): fetch the "
            "file again."
        ) from error
    found = hashlib.sha256(_text(molecules).encode()).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"Expected the molecules of {str(path)!r} to have the SHA-256 {SHA256}, "
            f"got {found}: they are others, or in another order. Fetch the file again."
        )
    return molecules


def _text(molecules: list[tuple[str, int]]) -> str:
    lines = [",".join(COLUMNS), *(f"{smiles},{label}" for smiles, label in molecules)]
    return "\n".join(lines) + "\n"
