"""The CLUTRR dataset."""

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational._checks import check_fraction, check_int, check_name
from pyg_relational.datasets.base import (
    Counts,
    Rows,
    Slices,
    StoredDataset,
    collate_ragged,
    held_out,
)
from pyg_relational.datasets.downloads import RawFile, check_members, open_zip
from pyg_relational.datasets.tables import parse_table

FILE = "data_089907f8.zip"
URL = f"https://raw.githubusercontent.com/uclnlp/ctp/master/data/clutrr-emnlp/{FILE}"
SHA256 = "6b1ca22a4a48710124f15c848494db3c355373f931a6d4e09fea10b5cb569334"
# All tables together have 10 MB.
MAX_BYTES = 64 * 2**20
TRAIN_FILE = "1.2,1.3_train.csv"
COLUMNS = ("story", "query", "target", "story_edges", "edge_types", "query_edge")
LENGTHS = range(2, 11)
TRAIN_LENGTH = 3
# Of two relations: all of them are needed to learn from.
FACT_LENGTH = 2
RELATIONS = (
    "aunt",
    "brother",
    "daughter",
    "daughter-in-law",
    "father",
    "father-in-law",
    "granddaughter",
    "grandfather",
    "grandmother",
    "grandson",
    "husband",
    "mother",
    "mother-in-law",
    "nephew",
    "niece",
    "sister",
    "son",
    "son-in-law",
    "uncle",
    "wife",
)
REPRESENTATIONS = ("graph", "both-ways", "sequence")
Pair = tuple[int, int]


class Chain(NamedTuple):
    """Persons, numbered from 0, who is whose what, and which relation is asked for.

    The edge (a, b) of type "father" says that b is the father of a.
    """

    edges: tuple[Pair, ...]
    types: tuple[int, ...]
    query: Pair
    target: int

    @property
    def num_nodes(self) -> int:
        """Number of persons."""
        return 1 + max(max(edge) for edge in self.edges)


class CLUTRR(StoredDataset):
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
        root (str): Folder of the dataset; the archive may also lie in the folder
            `clutrr` of `PYG_RELATIONAL_DATA`. It is not unpacked.
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
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

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
        **kwargs: Any,
    ) -> None:
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.val_fraction = check_fraction("val_fraction", val_fraction)
        self.val_length = check_int("val_length", val_length, TRAIN_LENGTH, LENGTHS[-1])
        self.seed = check_int("seed", seed, 0)
        super().__init__(root, split, **kwargs)

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        return (RawFile(FILE, URL, SHA256, "clutrr"),)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        return {
            "length": tuple(str(length) for length in LENGTHS),
            "range": ("2 to 3", "4 to 10"),
        }

    def _name(self) -> str:
        chosen = ""
        if self.split != "test":
            chosen = f"-val{self.val_fraction!r}-seed{self.seed}"
        if self.split == "val":
            chosen += f"-length{self.val_length}"
        return f"{self.split}-{self.representation}{chosen}"

    def generate(self) -> tuple[Data, Slices]:
        make = sequence_rows if self.representation == "sequence" else graph_rows
        rows, counts = make(self._chains())
        if self.representation == "both-ways":
            rows, counts = with_reversed_edges(rows, counts)
        return collate_ragged(rows, counts)

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


def read_chains(path: str | Path, member: str) -> list[Chain]:
    """Reads a table of an archive; nothing is written anywhere."""
    path = Path(path)
    with open_zip(path) as archive:
        check_members(archive, MAX_BYTES)
        names = archive.namelist()
        if member not in names:
            raise ValueError(
                f"{path.name!r} has no member {member!r}, it holds "
                f"{', '.join(sorted(names))}."
            )
        # A text that is not UTF-8 is damage, too.
        text = archive.read(member).decode()
    return parse_table(text, member, COLUMNS, parse_chain)


def parse_chain(row: Mapping[str, str]) -> Chain:
    """Reads one row."""
    edges = tuple(_pair(edge, "story_edges") for edge in _list(row, "story_edges"))
    names = _list(row, "edge_types")
    if not edges or len(edges) != len(names):
        raise ValueError(
            f"expected one of 'edge_types' for each of 'story_edges', got {len(names)} "
            f"for {len(edges)}"
        )
    query = _pair(_literal(row, "query_edge"), "query_edge")
    persons = {person for edge in edges for person in edge}
    if persons != set(range(len(persons))):
        raise ValueError(
            f"expected the persons of 'story_edges' to be numbered from 0 on without "
            f"gaps, got {sorted(persons)}"
        )
    if not _leads(edges, query):
        raise ValueError(
            f"expected 'story_edges' to lead from {query[0]} to {query[1]}, the "
            f"persons of 'query_edge', got {list(edges)}"
        )
    types = tuple(_relation("edge_types", name) for name in names)
    return Chain(edges, types, query, _relation("target", row["target"]))


def _leads(edges: tuple[Pair, ...], query: Pair) -> bool:
    """Whether a way along the edges leads from the first person to the second."""
    reached = {query[0]}
    for _ in edges:
        reached |= {end for start, end in edges if start in reached}
    return query[0] != query[1] and query[1] in reached


def _relation(column: str, name: Any) -> int:
    return RELATIONS.index(check_name(column, name, RELATIONS))


def _literal(row: Mapping[str, str], column: str) -> Any:
    text = row[column]
    try:
        return _evaluated(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"expected {column!r} to be a Python list or tuple, got {text[:60]!r}"
        ) from error


@lru_cache(maxsize=4096)
def _evaluated(text: str) -> Any:
    # Thousands of rows share a few hundred texts; nobody changes the lists.
    return ast.literal_eval(text)


def _list(row: Mapping[str, str], column: str) -> list[Any]:
    value = _literal(row, column)
    if not isinstance(value, list):
        raise ValueError(f"expected {column!r} to be a list, got {str(value)[:60]!r}")
    return value


def _pair(value: Any, column: str) -> Pair:
    if not (
        isinstance(value, tuple)
        and len(value) == 2
        and all(type(number) is int and number >= 0 for number in value)
    ):
        raise ValueError(
            f"expected {column!r} to hold pairs of numbers from 0 on, got {value!r}"
        )
    return value


def split_chains(
    chains: Sequence[Chain], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Chain], list[Chain]]:
    """Divides chains into training and validation by their sequences of relations.

    Sequences of two relations are all for training."""
    longer = (c.types for c in chains if len(c.types) > FACT_LENGTH)
    held = held_out(longer, val_fraction, rng)
    train = [c for c in chains if c.types not in held]
    return train, [c for c in chains if c.types in held]


def composed_pairs(chains: Sequence[Chain]) -> dict[int, list[Pair]]:
    """Returns, for each relation, the sequences of two relations that amount to it."""
    found = defaultdict(set)
    for chain in chains:
        if len(chain.types) == FACT_LENGTH:
            found[chain.target].add((chain.types[0], chain.types[1]))
    return {relation: sorted(pairs) for relation, pairs in found.items()}


def lengthened(
    chain: Chain,
    length: int,
    pairs: Mapping[int, Sequence[Pair]],
    rng: np.random.Generator,
) -> Chain:
    """Returns a longer chain with the same answer: again and again, one of its
    relations is replaced by two that amount to it.

    A chain without a relation that can be replaced stays as long as it is."""
    types = list(chain.types)
    while len(types) < length:
        places = [k for k, relation in enumerate(types) if relation in pairs]
        if not places:
            break
        place = places[int(rng.integers(len(places)))]
        options = pairs[types[place]]
        types[place : place + 1] = options[int(rng.integers(len(options)))]
    edges = tuple((k, k + 1) for k in range(len(types)))
    return Chain(edges, tuple(types), (0, len(types)), chain.target)


def graph_rows(chains: Sequence[Chain]) -> tuple[Rows, Counts]:
    """Returns the attributes of chains as graphs."""
    rows, counts = sequence_rows(chains)
    nodes = torch.tensor([chain.num_nodes for chain in chains])
    query = torch.tensor([chain.query for chain in chains])
    start = nodes.cumsum(0) - nodes
    mark = torch.full((int(nodes.sum()),), 2)
    mark[start + query[:, 0]] = 0
    mark[start + query[:, 1]] = 1
    edges = [edge for chain in chains for edge in chain.edges]
    types, length = rows.pop("x"), counts["x"]
    one_each = dict.fromkeys(rows, torch.ones_like(length))
    rows |= {
        "x": one_hot(mark, 3).float(),
        "edge_index": torch.tensor(edges).t().contiguous(),
        "edge_attr": one_hot(types, len(RELATIONS)).float(),
        # [B, 2] -> [2, B]
        "edge_label_index": query.t().contiguous(),
    }
    several = {"x": nodes, "edge_index": length, "edge_attr": length}
    return rows, one_each | several


def sequence_rows(chains: Sequence[Chain]) -> tuple[Rows, Counts]:
    """Returns the attributes of chains as sequences of relations."""
    length = torch.tensor([len(chain.types) for chain in chains])
    rows = {
        "x": torch.tensor([relation for chain in chains for relation in chain.types]),
        "y": torch.tensor([chain.target for chain in chains]),
        "question_length": length - LENGTHS[0],
        "question_range": (length > TRAIN_LENGTH).long(),
    }
    return rows, {"x": length}


def with_reversed_edges(rows: Rows, counts: Counts) -> tuple[Rows, Counts]:
    """Adds each edge in the other direction; its type follows those of edges as
    told."""
    edges, told = rows["edge_index"], rows["edge_attr"]
    # [2, E] -> [2, E, 2] -> [2, 2 E]: each edge is followed by its reverse.
    both = torch.stack([edges, edges.flip(0)], dim=2).flatten(1)
    none = torch.zeros_like(told)
    forward, backward = torch.cat([told, none], 1), torch.cat([none, told], 1)
    attr = torch.stack([forward, backward], dim=1).flatten(0, 1)
    twice = {name: 2 * counts[name] for name in ("edge_index", "edge_attr")}
    return {**rows, "edge_index": both, "edge_attr": attr}, {**counts, **twice}
