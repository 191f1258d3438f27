"""The official loader of OGB's molecules, made to work without surprises."""

import csv
import importlib
import os
import sys
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch_geometric.data.data import Data, DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from tqdm import tqdm

from pyg_relational.datasets.ogb_folder import PROCESSED, check_folder, find_folder

# What the official files hold besides tensors and plain containers.
STORED_CLASSES = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
PREFIX = "ogbg-mol"


def import_ogb(module: str = "ogb") -> ModuleType:
    """Imports a module of `ogb` without the thread in which it asks the network
    whether there is a newer version of itself.

    Args:
        module (str): Name of the module. (default: `"ogb"`)

    Raises:
        ModuleNotFoundError: `ogb` is not installed.
    """
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
    """Returns what the installed `ogb` says of each of its sets of molecules.

    Raises:
        ModuleNotFoundError: `ogb` is not installed.
    """
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
    `PYG_RELATIONAL_DATA` names, or fetched.

    Args:
        name (str): Name of the set, one of :func:`molecule_sets`.
        root (str or Path): Folder of the sets.

    Raises:
        OSError: The files cannot be fetched or written.
        ValueError: A file of the folder is missing or damaged; it is named.
    """
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
