"""The CLUTRR dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.clutrr_files import RELATIONS, Chain, read_chains
from pyg_relational.datasets.clutrr_splits import (
    composed_pairs,
    lengthened,
    split_chains,
)
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

SPLITS = ("train", "val", "test")
REPRESENTATIONS = ("graph", "both-ways", "sequence")
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
FOLDER = "clutrr"
FILE = "data_089907f8.zip"
URL = f"https://raw.githubusercontent.com/uclnlp/ctp/master/data/clutrr-emnlp/{FILE}"
SHA256 = "6b1ca22a4a48710124f15c848494db3c355373f931a6d4e09fea10b5cb569334"
TRAIN_FILE = "1.2,1.3_train.csv"
LENGTHS = range(2, 11)
TRAIN_LENGTH = 3


class CLUTRR(InMemoryDataset):
    r"""What are two persons of a family to each other? The graphs of the stories of
    `"CLUTRR: A Diagnostic Benchmark for Inductive Reasoning from Text"
    <https://aclanthology.org/D19-1458>`_: chains of 2 and 3 relations to learn from, of
    2 to 10 to be tested on.

    The test split is that of the archive, all files of it. Of the training file, the
    chains with some of the sequences of three relations are for validation, as no
    sequence of three or more relations of the test split is in the training file. They
    may be lengthened, so that what is learnt of short chains can be judged on long
    ones without the test split: one of their relations is replaced by two which, in a
    training chain of two, amount to it, and so on.

    Args:
        root (str): Folder of the dataset; files go to `root/raw` and
            `root/processed`. The archive in the folder `clutrr` of the one that the
            environment variable `PYG_RELATIONAL_DATA` names is read there. It is not
            unpacked.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"graph"`, persons and the relations that are told;
            `"both-ways"`, with each edge also in the other direction, its type marked
            as reversed; or `"sequence"`, the relations in the order of the chain.
            (default: `"graph"`)
        val_fraction (float): Share of the sequences of three relations for validation.
            (default: `0.15`)
        val_length (int): Validation chains have from 3 to so many relations, 10 at
            most; with 3 they are as in the file. (default: `10`)
        seed (int): Seed of the choice and of the lengthening, not negative.
            (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the chains for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

    Shapes:
        - **x:** `[n, 3]` whether a person is the first of the question, the second, or
          neither; with `"sequence"` `[L]` int64, numbers in `RELATIONS`
        - **edge_index:** `[2, L]` from a person to the relative who is told (not
          `"sequence"`)
        - **edge_attr:** `[L, 20]` what the relative is, one-hot in the order of
          `RELATIONS`; with `"both-ways"` `[2 L, 40]`, reversed types behind the others
        - **edge_label_index:** `[2, 1]` the two persons of the question (not
          `"sequence"`)
        - **y:** `[1]` what the second is to the first, number in `RELATIONS`
        - **question_length:** `[1]` number of relations in the chain, less 2
        - **question_range:** `[1]` 0 for chains as long as those of training, else 1

    Raises:
        OSError: The archive has to be fetched and cannot be, or `root` cannot be
            written.
        TypeError: A number is of another type.
        ValueError: A name is unknown, a number is out of range, or the archive is
            damaged or a row of it is wrong; file and row are named.
    """

    task = "classification"
    kind = "pair"
    ANSWERS = RELATIONS
    RELATIONS = RELATIONS
    num_answers = len(ANSWERS)
    # Groups named by numbers: what they count.
    AXES: ClassVar = {"length": "relations in the chain"}

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "graph",
        val_fraction: float = 0.15,
        val_length: int = LENGTHS[-1],
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.val_fraction = _checked_fraction(val_fraction)
        self.val_length = check_int("val_length", val_length, TRAIN_LENGTH, LENGTHS[-1])
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def raw_dir(self) -> str:
        return raw_folder(self.root, FILE, FOLDER)

    @property
    def raw_file_names(self) -> str:
        return FILE

    @property
    def processed_file_names(self) -> str:
        chosen = ""
        if self.split != "test":
            chosen = f"-val{self.val_fraction!r}-seed{self.seed}"
        if self.split == "val":
            chosen += f"-length{self.val_length}"
        name = f"{self.split}-{self.representation}{chosen}-v{FORMAT_VERSION}"
        return stored_name(self, name)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the archive even where the chains are stored.
        return False

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names."""
        return {
            "length": tuple(str(length) for length in LENGTHS),
            "range": ("2 to 3", "4 to 10"),
        }

    def download(self) -> None:
        """Fetches the archive."""
        fetch_raw(URL, Path(self.raw_dir, FILE), SHA256)

    def _generate(self) -> dict[str, Any]:
        self._download()
        make = sequence_rows if self.representation == "sequence" else graph_rows
        rows, counts = make(self._chains())
        if self.representation == "both-ways":
            rows, counts = with_reversed_edges(rows, counts)
        return stored_content(self, *collate_ragged(rows, counts))

    def _chains(self) -> list[Chain]:
        path = self.raw_paths[0]
        if self.split == "test":
            tables = [read_chains(path, f"1.{n}_test.csv") for n in LENGTHS]
            return [chain for table in tables for chain in table]
        rng = np.random.default_rng(self.seed)
        chains = read_chains(path, TRAIN_FILE)
        train, val = split_chains(chains, self.val_fraction, rng)
        if not val:
            raise ValueError(
                f"Expected sequences for validation in {TRAIN_FILE}, got none with "
                f"`val_fraction` {self.val_fraction}; choose a larger one."
            )
        if self.split == "train":
            return train
        pairs = composed_pairs(train)
        lengths = rng.integers(TRAIN_LENGTH, self.val_length + 1, len(val)).tolist()
        return [
            lengthened(chain, length, pairs, rng)
            for chain, length in zip(val, lengths, strict=True)
        ]


def graph_rows(
    chains: Sequence[Chain],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the attributes of chains as graphs, one after the other, and their
    counts.

    Args:
        chains (Sequence[Chain]): The chains, at least one.
    """
    rows, counts = sequence_rows(chains)
    nodes = torch.tensor([chain.num_nodes for chain in chains])
    query = torch.tensor([chain.query for chain in chains])
    start = nodes.cumsum(0) - nodes
    mark = torch.full((int(nodes.sum()),), 2)
    mark[start + query[:, 0]] = 0
    mark[start + query[:, 1]] = 1
    types = rows.pop("x")
    edges = [edge for chain in chains for edge in chain.edges]
    rows |= {
        "x": one_hot(mark, 3).float(),
        "edge_index": torch.tensor(edges).t().contiguous(),
        "edge_attr": one_hot(types, len(RELATIONS)).float(),
        # [B, 2] -> [2, B]
        "edge_label_index": query.t().contiguous(),
    }
    length, one_each = counts.pop("x"), counts["y"]
    counts |= {"x": nodes, "edge_index": length, "edge_attr": length}
    return rows, {**counts, "edge_label_index": one_each}


def sequence_rows(
    chains: Sequence[Chain],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the relations of chains, one after the other, and their counts.

    Args:
        chains (Sequence[Chain]): The chains, at least one.
    """
    length = torch.tensor([len(chain.types) for chain in chains])
    one_each = torch.ones(len(chains), dtype=torch.long)
    rows = {
        "x": torch.tensor([relation for chain in chains for relation in chain.types]),
        "y": torch.tensor([chain.target for chain in chains]),
        "question_length": length - LENGTHS[0],
        "question_range": (length > TRAIN_LENGTH).long(),
    }
    counts = dict.fromkeys(("y", "question_length", "question_range"), one_each)
    return rows, {"x": length, **counts}


def with_reversed_edges(
    rows: dict[str, Tensor], counts: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Adds each edge in the other direction; its type follows those of edges as told.

    Args:
        rows (dict[str, Tensor]): What :func:`graph_rows` returned.
        counts (dict[str, Tensor]): What it returned besides.
    """
    edges, told = rows["edge_index"], rows["edge_attr"]
    # [2, E] -> [2, E, 2] -> [2, 2 E]: each edge is followed by its reverse.
    both = torch.stack([edges, edges.flip(0)], dim=2).flatten(1)
    none = torch.zeros_like(told)
    forward, backward = torch.cat([told, none], 1), torch.cat([none, told], 1)
    attr = torch.stack([forward, backward], dim=1).flatten(0, 1)
    twice = {name: 2 * counts[name] for name in ("edge_index", "edge_attr")}
    return {**rows, "edge_index": both, "edge_attr": attr}, {**counts, **twice}


def _checked_fraction(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `val_fraction` to be a number, got {value!r}.")
    if not 0 < value < 1:
        raise ValueError(
            f"Expected `val_fraction` to be above 0 and below 1, got {value!r}."
        )
    return float(value)
