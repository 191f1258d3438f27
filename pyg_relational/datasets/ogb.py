"""OGB's molecules."""

import csv
import importlib
import os
import shutil
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from tqdm import tqdm

from pyg_relational._checks import check_name
from pyg_relational.datasets.downloads import DATA_VARIABLE, fetch_raw, gunzip, unzip
from pyg_relational.datasets.tables import parse_table

PREFIX = "ogbg-mol"
PROCESSED = "processed/geometric_data_processed.pt"
# The names of this package's splits, and OGB's.
SPLITS = {"train": "train", "val": "valid", "test": "test"}
# Files with one row a graph, and those whose rows one of them counts.
GRAPHS = ("num-node-list", "num-edge-list", "graph-label")
COUNTED = {
    "node-feat": "num-node-list",
    "edge": "num-edge-list",
    "edge-feat": "num-edge-list",
}
# What the official files hold besides tensors and plain containers.
STORED_CLASSES = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
_AGAIN = "Delete the folder of the set to get it again."


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
        path = Path(self.root, "mapping/mol.csv.gz")
        text = _content(path).decode(errors="replace")
        return parse_table(text, str(path), ("smiles",), itemgetter("smiles"))

    def get_idx_split(self) -> dict[str, Tensor]:
        """Returns the official split: indices of `train`, `valid` and `test` among all
        molecules."""
        return dict(self._idx_split)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {len(self)})"


# The official loader, kept from the network, the console and threads.


def import_ogb(module: str = "ogb") -> ModuleType:
    """Imports a module of `ogb` without the thread in which it asks the network
    whether there is a newer version of itself."""
    if "ogb" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        before = {name: modules[name] for name in ("outdated",) if name in modules}
        # Without that package there is no such check.
        modules["outdated"] = None
        try:
            importlib.import_module("ogb")
        finally:
            del modules["outdated"]
            modules.update(before)
    return importlib.import_module(module)


@cache
def molecule_sets() -> dict[str, dict[str, str]]:
    """Returns what the installed `ogb` says of each of its sets of molecules."""
    spec = find_spec("ogb")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "The molecules need the package 'ogb', which is not installed: "
            "`pip install 'pyg-relational[ogb]'`.",
            name="ogb",
        )
    path = Path(spec.submodule_search_locations[0], "graphproppred", "master.csv")
    with path.open(newline="") as file:
        (_, *names), *rows = csv.reader(file)
    return {
        name: {row[0]: row[column] for row in rows}
        for column, name in enumerate(names, start=1)
        if name.startswith(PREFIX)
    }


def load_official(name: str, root: str | Path) -> Any:
    """Returns the official dataset of a name, from its folder below `root`.

    The folder is `root/ogbg_mol...`, as the official loader has it. Where it is
    missing it is copied from `ogb` in the folder that the environment variable
    `PYG_RELATIONAL_DATA` names, or fetched."""
    facts = molecule_sets()[name]
    folder = find_folder(name, root, facts)
    check_folder(folder, facts)
    loader = _loader_class()
    with _trusted_classes(), _no_monitor(), redirect_stdout(sys.stderr):
        try:
            dataset = loader(name=name, root=str(root))
        except Exception as error:
            stored = folder / PROCESSED
            hint = "delete it, it is made again from `raw`"
            wrong = (stored, hint) if stored.is_file() else (folder / "raw", "fetch it")
            raise ValueError(
                f"Cannot read {str(wrong[0])!r} ({type(error).__name__}: "
                f"{str(error).partition(chr(10))[0]}). It is damaged or of another "
                f"version: {wrong[1]}."
            ) from error
        splits = dataset.get_idx_split()
    expected = sum(len(index) for index in splits.values())
    if len(dataset) != expected:
        raise ValueError(
            f"Expected {str(folder / PROCESSED)!r} to hold the {expected} molecules of "
            f"the split, found {len(dataset)}. Delete it, it is made again from `raw`."
        )
    return dataset


@contextmanager
def _trusted_classes() -> Iterator[None]:
    """Lets `torch.load` make the classes that the stored files need, no others."""
    with warnings.catch_warnings(), torch.serialization.safe_globals(STORED_CLASSES):
        # Of newer pandas; the tensors are copied before anything is written to them.
        warnings.filterwarnings("ignore", "The given NumPy array is not writ")
        yield


@contextmanager
def _no_monitor() -> Iterator[None]:
    """Keeps progress bars from starting a thread that outlives them."""
    before = tqdm.monitor_interval
    tqdm.monitor_interval = 0
    try:
        yield
    finally:
        tqdm.monitor_interval = before


@cache
def _loader_class() -> type[Any]:
    base: Any = import_ogb("ogb.graphproppred").PygGraphPropPredDataset

    class WholeFiles(base):
        """Stores what it processed whole or not at all."""

        _partial: str | None = None

        @property
        def has_download(self) -> bool:
            # It would fetch raw files even where they are processed already.
            return False

        @property
        def processed_file_names(self) -> str:
            return self._partial or Path(PROCESSED).name

        def process(self) -> None:
            complete = self.processed_paths[0]
            self._partial = f".{uuid.uuid4().hex}.partial"
            partial = self.processed_paths[0]
            try:
                super().process()
                os.replace(partial, complete)  # noqa: PTH105
            finally:
                Path(partial).unlink(missing_ok=True)
                self._partial = None

    return WholeFiles


# The folder of a set: where it is, and whether it is whole.


def folder_at_hand(name: str, root: str | Path) -> Path | None:
    """Returns the folder of a set if it is there without a download: below `root`, or
    in `ogb` below the folder that the environment variable names."""
    plain = name.replace("-", "_")
    shared = os.environ.get(DATA_VARIABLE)
    known = [Path(root, plain + "_pyg"), Path(root, plain)]
    if shared:
        known.append(Path(shared, "ogb", plain))
    return next((folder for folder in known if folder.is_dir()), None)


def find_folder(name: str, root: str | Path, facts: Mapping[str, str]) -> Path:
    """Returns the folder of a set below `root`, after a copy or a download if
    needed."""
    target = Path(root, name.replace("-", "_"))
    found = folder_at_hand(name, root)
    if found is not None and found.parent == Path(root):
        return found
    staging = Path(root, f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        if found is not None:
            _copy_files(found, staging)
            _put(staging, target)
        else:
            archive = _fetch_archive(target, facts["url"])
            unzip(archive, staging)
            content = staging / facts["download_name"]
            if not content.is_dir():
                raise ValueError(
                    f"{str(archive)!r} is damaged (it has no folder "
                    f"{content.name!r}). Delete it to fetch it again."
                )
            _put(content, target)
            archive.unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _copy_files(source: Path, target: Path) -> None:
    """Copies what is needed to process the set; modes stay those of new files."""
    target.mkdir(parents=True)
    for path in source.rglob("*"):
        place = target / path.relative_to(source)
        if path.is_file() and path.relative_to(source).parts[0] != "processed":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _put(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        # Another process may have been faster.
        if not target.is_dir():
            raise


def _fetch_archive(target: Path, url: str) -> Path:
    archive = target.with_name(url.rpartition("/")[2])
    if archive.is_file():
        return archive
    try:
        return fetch_raw(url, archive)
    except OSError as error:
        raise OSError(
            f"No {target.name!r} in {str(target.parent)!r}, and {url} cannot be "
            f"fetched ({error.__cause__ or error}). Unpack the archive to "
            f"{str(target)!r} by hand, put it there as {str(archive)!r}, or set "
            f"{DATA_VARIABLE} to a folder that has 'ogb/{target.name}'."
        ) from error


def check_folder(folder: Path, facts: Mapping[str, str]) -> None:
    """Checks that the files of a set are there, whole, and fit each other.

    Raw files are looked at only where they have to be processed."""
    release = f"RELEASE_v{facts['version']}.txt"
    if not (folder / release).is_file():
        # The official loader would ask whether to delete the folder.
        raise ValueError(
            f"Expected {str(folder / release)!r}, found no such file: the folder is "
            f"incomplete or of another version. Delete the folder to get it again, or "
            "put an empty file there if you know that it is of this version."
        )
    graphs = _check_splits(folder / "split" / facts["split"])
    if not (folder / PROCESSED).is_file():
        _check_raw(folder / "raw", graphs)


def _check_splits(folder: Path) -> int:
    """The number of graphs, each of which is in one split."""
    names = [f"{name}.csv.gz" for name in SPLITS.values()]
    together = sorted(row for name in names for row in _numbers(folder / name))
    if together != [*range(len(together))]:
        raise ValueError(
            f"Expected the files {', '.join(names)} in {str(folder)!r} to hold the "
            f"numbers from 0 on, each once: one of them is damaged. {_AGAIN}"
        )
    return len(together)


def _check_raw(folder: Path, graphs: int) -> None:
    lines = {name: _rows(folder / f"{name}.csv.gz") for name in (*GRAPHS, *COUNTED)}
    expected = dict.fromkeys(GRAPHS, graphs)
    for name, counts in COUNTED.items():
        expected[name] = sum(_numbers(folder / f"{counts}.csv.gz"))
    for name, number in expected.items():
        if lines[name] != number:
            why = COUNTED.get(name, "the split")
            raise ValueError(
                f"Expected {str(folder / f'{name}.csv.gz')!r} to have {number} rows, "
                f"as {why} says, found {lines[name]}: one of them is damaged. {_AGAIN}"
            )


def _rows(path: Path) -> int:
    content = _content(path)
    # The last line may lack its end.
    return content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


def _numbers(path: Path) -> list[int]:
    try:
        return [int(line) for line in _content(path).split()]
    except ValueError as error:
        raise ValueError(
            f"Expected a number on each line of {str(path)!r} ({error}). {_AGAIN}"
        ) from error


def _content(path: Path) -> bytes:
    try:
        return gunzip(path.read_bytes(), path)
    except FileNotFoundError:
        raise ValueError(
            f"Expected {str(path)!r}, found no such file. {_AGAIN}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{error} {_AGAIN}") from error
