"""The base of all datasets that are stored in one file."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Never, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._checks import (
    argument_names,
    check_int,
    check_name,
    nearest_names,
)
from pyg_relational._files import load_or_create
from pyg_relational.datasets.downloads import RawFile

SPLITS = ("train", "val", "test")
Key = TypeVar("Key", int, str, tuple[int, ...])
# Each attribute of all samples, one after the other, and its rows in each sample.
Rows = dict[str, Tensor]
Counts = dict[str, Tensor]
# Where the rows of each attribute start in each sample, and where the last one ends.
Slices = dict[str, Tensor]
Transform = Callable[[Data], Data]
Filter = Callable[[Data], bool]


class StoredDataset(InMemoryDataset, ABC):
    r"""A dataset that is generated, or made of fetched files, on the first use, and
    stored in one file of the folder `root/processed`.

    The name of the file tells whatever the samples depend on. A file that was cut short
    or changed is made again; of several processes that miss it one makes it, while the
    others wait.

    A subclass checks and keeps its arguments, calls this constructor, and says how
    samples are made (:meth:`generate`) and what they depend on (:meth:`_name`). One
    that is made of files names them in :attr:`raw_files`.

    Args:
        root (str): Folder of the dataset. Stored samples go to `root/processed`,
            fetched files to `root/raw`; files that are in the folder that the
            environment variable `PYG_RELATIONAL_DATA` names are read there.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

    Raises:
        OSError: The samples have to be stored and `root` cannot be written, or a file
            is missing and cannot be fetched.
        TypeError: An argument is of another type, or there is none of that name.
        ValueError: A name is unknown, a number is out of range, `pre_filter` keeps no
            sample, or a fetched file is damaged.
    """

    data_class: type[Data] = Data
    # Part of the file name: raise it whenever the stored content changes.
    format_version = 1
    # What is stored beside the samples; `generate` may fill it.
    extras: dict[str, Any]

    def __init__(
        self,
        root: str,
        split: str = "train",
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
        **unknown: Never,
    ) -> None:
        for argument in unknown:
            names, _ = argument_names(type(self))
            raise TypeError(
                f"{type(self).__name__} has no argument '{argument}'; "
                f"{nearest_names(argument, names)}"
            )
        self.split = check_name("split", split, SPLITS)
        self.extras = {}
        super().__init__(str(root), transform, pre_transform, pre_filter)
        # In place of PyG's `process`, which would trust a file that was cut short.
        content = load_or_create(
            self.processed_paths[0], self._create, force_reload=force_reload
        )
        # The setter drops the samples that `pre_filter` looked at.
        self.data = self.data_class.from_dict(content.pop("data"))
        self.slices = content.pop("slices")
        self.extras = content

    @abstractmethod
    def generate(self) -> tuple[Data, Slices]:
        """Returns all samples, one after the other, and where each one is, as
        :func:`collate_ragged` and :func:`collate_stacked` do. The files are there."""

    @abstractmethod
    def _name(self) -> str:
        """What the samples depend on, for the file name."""

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        """The files that samples are made of: none unless a subclass names them."""
        return ()

    @property
    def raw_file_names(self) -> list[str]:
        return [file.name for file in self.raw_files]

    @property
    def raw_paths(self) -> list[str]:
        return [str(file.path(self.root)) for file in self.raw_files]

    @property
    def processed_file_names(self) -> str:
        name = f"{self._name()}-v{self.format_version}"
        return f"{changed_name(name, self.pre_transform, self.pre_filter)}.pt"

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names: none
        unless a subclass has some.

        Where an answer is within group `g` is the attribute `question_<g>`."""
        return {}

    @property
    def has_download(self) -> bool:
        # PyG would fetch files even where the samples are stored.
        return False

    def download(self) -> None:
        """Fetches the files that are missing."""
        for file in self.raw_files:
            path = file.path(self.root)
            if not path.is_file():
                file.fetch(path)

    def _create(self) -> dict[str, Any]:
        self.download()
        data, slices = self.generate()
        if self.pre_transform is not None or self.pre_filter is not None:
            self._data, self.slices = data, slices
            samples = map(self.get, range(len(next(iter(slices.values()))) - 1))
            kept = keep_and_change(samples, self.pre_filter, self.pre_transform)
            if kept is None:
                raise ValueError(
                    "Expected `pre_filter` to keep a sample, it kept none."
                )
            data, slices = kept
        return {"data": data.to_dict(), "slices": slices, **self.extras}


class GeneratedDataset(StoredDataset):
    r"""A stored dataset that is drawn at random, from a seed alone.

    Each split has its own random stream, which depends on the seed, the split's own
    size and what is drawn.

    Args:
        root (str): Folder of the dataset.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_train (int, optional): Samples in the training split. (default: `None`, the
            number that the class names)
        num_val (int, optional): Samples in the validation split. (default: `None`)
        num_test (int, optional): Samples in the test split. (default: `None`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.
    """

    # Samples of each split where no number is given, and the most there are.
    sizes: tuple[int, int, int]
    most: tuple[int, int, int] | None = None

    def __init__(
        self,
        root: str,
        split: str = "train",
        num_train: int | None = None,
        num_val: int | None = None,
        num_test: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes, most = [*self.sizes], self.most or (None, None, None)
        for k, number in enumerate((num_train, num_val, num_test)):
            if number is not None:
                sizes[k] = check_int(f"num_{SPLITS[k]}", number, 1, most[k])
        self.num_samples = sizes[SPLITS.index(check_name("split", split, SPLITS))]
        self.seed = check_int("seed", seed, 0)
        super().__init__(root, split, **kwargs)

    def stream(self, *more: int) -> np.random.Generator:
        """Returns the random numbers of the split; `more` tells several streams."""
        number = SPLITS.index(self.split)
        return np.random.default_rng([self.seed, number, *more])


def split_size(split: str, num_train: int, num_val: int, num_test: int) -> int:
    """Returns the number of samples of a split, after a check of all three."""
    sizes = (num_train, num_val, num_test)
    for name, size in zip(SPLITS, sizes, strict=True):
        check_int(f"num_{name}", size, 1)
    return sizes[SPLITS.index(check_name("split", split, SPLITS))]


def held_out(
    keys: Iterable[Key], share: float, rng: np.random.Generator, least: int = 0
) -> set[Key]:
    """Returns a share of the different keys for validation, drawn at random."""
    known = sorted(set(keys))
    size = max(round(share * len(known)), least)
    return {known[i] for i in rng.permutation(len(known))[:size]}


def changed_name(
    name: str, pre_transform: Transform | None, pre_filter: Filter | None
) -> str:
    """Returns a name with a hash of the `repr` of what changes the samples, if any."""
    if pre_transform is None and pre_filter is None:
        return name
    described = repr((pre_transform, pre_filter))
    # Addresses differ between runs.
    described = re.sub(r" at 0x[0-9a-fA-F]+", "", described)
    return f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"


def keep_and_change(
    samples: Iterable[Data], pre_filter: Filter | None, pre_transform: Transform | None
) -> tuple[Data, Slices] | None:
    """Joins the samples that a filter keeps, after a transform; `None` for none."""
    if pre_filter is not None:
        samples = filter(pre_filter, samples)
    samples = [*samples]
    if not samples:
        return None
    if pre_transform is not None:
        samples = [pre_transform(sample) for sample in samples]
    return InMemoryDataset.collate(samples)


def collate_stacked(
    tensors: Mapping[str, Tensor],
    num_nodes: int | None = None,
    data_class: type[Data] = Data,
) -> tuple[Data, Slices]:
    """Joins samples of the same size without a loop over them."""
    rows, counts = {}, {}
    for name, value in tensors.items():
        if name in ("edge_index", "edge_label_index"):
            # [B, 2, E] -> [2, B * E]
            rows[name] = value.transpose(0, 1).flatten(1)
            size = value.shape[2]
        else:
            # [B, k, ...] -> [B * k, ...]
            rows[name] = value.flatten(0, 1)
            size = value.shape[1]
        counts[name] = torch.full((len(value),), size)
    size = len(next(iter(counts.values())))
    nodes = None if num_nodes is None else torch.full((size,), num_nodes)
    return collate_ragged(rows, counts, nodes, data_class)


def collate_ragged(
    rows: Rows,
    counts: Counts,
    num_nodes: Tensor | None = None,
    data_class: type[Data] = Data,
) -> tuple[Data, Slices]:
    """Joins samples of different sizes without a loop over them.

    Attributes without `counts` have one row a sample."""
    data = data_class(**rows)
    one_each = torch.ones_like(next(iter(counts.values())))
    single = {name: one_each for name in rows if name not in counts}
    slices = {
        name: torch.cat([count.new_zeros(1), count.cumsum(0)])
        for name, count in {**counts, **single}.items()
    }
    if num_nodes is not None:
        data.num_nodes = int(num_nodes.sum())
        # Where PyG looks for the number of nodes of each graph.
        data._num_nodes = num_nodes.tolist()
    return data, slices
