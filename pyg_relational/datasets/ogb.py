"""OGB's molecules."""

import csv
import gzip
from collections.abc import Callable

from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.ogb_loader import load_official, molecule_sets

# The names of this package's splits, and OGB's.
SPLITS = {"train": "train", "val": "valid", "test": "test"}


class OGBMolecules(InMemoryDataset):
    r"""The sets `ogbg-mol*` of the `"Open Graph Benchmark"
    <https://arxiv.org/abs/2005.00687>`_, read by its own loader and split as it says.

    The folder is the loader's own, `root/ogbg_mol...`. If it is missing it is copied
    from `ogb/ogbg_mol...` in the folder that the environment variable
    `PYG_RELATIONAL_DATA` names, or fetched. With the files at hand nothing asks the
    network or the user, and no file is trusted to run code.

    Args:
        root (str): Folder of the sets.
        name (str): Name of the set. (default: `"ogbg-molesol"`)
        split (str, optional): `"train"`, `"val"`, `"test"`, or all molecules for
            `None`. (default: `"train"`)
        transform (Callable, optional): Applied on every access. (default: `None`)

    Shapes:
        - **x:** `[n, 9]` int64 features of atoms
        - **edge_index:** `[2, E]` bonds, both ways
        - **edge_attr:** `[E, 3]` int64 features of bonds
        - **y:** `[1, num_tasks]`; not a number where a label is missing

    Raises:
        ModuleNotFoundError: `ogb` is not installed.
        OSError: The files are missing and cannot be fetched, or `root` cannot be
            written.
        ValueError: A name is unknown, or a file is missing or damaged; it is named.
    """

    kind = "graph"

    def __init__(
        self,
        root: str,
        name: str = "ogbg-molesol",
        split: str | None = "train",
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        self.name = check_name("name", name, tuple(molecule_sets()))
        self.split = split and check_name("split", split, tuple(SPLITS))
        official = load_official(name, root)
        super().__init__(official.root, transform)
        self.num_tasks: int = official.num_tasks
        self.task_type: str = official.task_type
        self.eval_metric: str = official.eval_metric
        self._idx_split: dict[str, Tensor] = official.get_idx_split()
        self._data, self.slices = official._data, official.slices
        if self.split is not None:
            self._indices = self._idx_split[SPLITS[self.split]].tolist()

    @property
    def smiles(self) -> list[str]:
        """The SMILES of all molecules, whichever `split` is chosen."""
        path = f"{self.root}/mapping/mol.csv.gz"
        try:
            with gzip.open(path, "rt", newline="") as file:
                return [row["smiles"] for row in csv.DictReader(file)]
        except (EOFError, OSError, KeyError) as error:
            raise ValueError(f"Cannot read {path!r} ({error!r}).") from error

    def get_idx_split(self) -> dict[str, Tensor]:
        """Returns the official split: indices of `train`, `valid` and `test` among all
        molecules."""
        return dict(self._idx_split)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {len(self)})"
