"""What every dataset keeps to, and one list of all datasets with small arguments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_relational.datasets import (
    CLUTRR,
    NLVR,
    BAbI,
    Chickenpox,
    DigitRelations,
    GraphTasks,
    MovieReviews,
    MovingShapes,
    NthFarthest,
    Pedestrians,
    PhysicalConnections,
    PhysicalMotion,
    PhysicalSystemCount,
    SortOfCLEVR,
    SortOfCLEVROnDisk,
    Stocks,
    StoredDataset,
    Sudoku,
    clutrr,
)
from tests.datasets.small_files import (
    babi_files,
    stock_rows,
    write_babi,
    write_chickenpox,
    write_clutrr,
    write_nlvr,
    write_pedestrians,
    write_reviews,
    write_stocks,
)

Arguments = dict[str, Any]
SIZES = {"num_train": 7, "num_val": 5, "num_test": 4}


@dataclass(frozen=True)
class Case:
    """A dataset and what is known of its arguments.

    Args:
        kind (type): The class.
        small (dict): Arguments of a small one.
        variants (list of dict): Changes of the arguments that change the samples.
        wrong (list): Changes that are refused, the class of the error, and words of its
            message that tell the argument and what was expected.
        same (list of dict): Changes of the arguments that change no sample of
            the training split.
        files (Callable, optional): Writes the raw files of the dataset into its root,
            and returns arguments that name them.
    """

    kind: type[Any]
    small: Arguments
    variants: list[Arguments]
    wrong: list[tuple[Arguments, type[Exception], str]]
    same: list[Arguments] = field(default_factory=list)
    files: Callable[[Path], Arguments | None] | None = None

    def __str__(self) -> str:
        return self.kind.__name__

    @property
    def stored(self) -> bool:
        """Whether samples are in one file that :class:`StoredDataset` writes."""
        return issubclass(self.kind, StoredDataset)

    def build(self, root: Path, **changes: Any) -> Any:
        """Makes the dataset with some arguments changed."""
        named = (self.files(root) if self.files else None) or {}
        return self.kind(str(root), **(self.small | named | changes))


def generated(
    kind: type[Any],
    small: Arguments,
    variants: list[Arguments],
    wrong: list[tuple[Arguments, type[Exception], str]],
) -> Case:
    """A dataset that is drawn at random, with sizes of its splits and a seed."""
    own = [
        {"num_train": 8},
        {"split": "val", "num_val": 6},
        {"split": "test", "num_test": 5},
        {"seed": 1},
    ]
    refused: list[tuple[Arguments, type[Exception], str]] = [
        ({"num_train": 0}, ValueError, "`num_train` to be at least 1, got 0"),
        ({"num_val": 5.0}, TypeError, r"`num_val` to be an integer, got 5\.0"),
        ({"seed": -1}, ValueError, "`seed` to be at least 0, got -1"),
        ({"seed": 0.5}, TypeError, "`seed` to be an integer"),
    ]
    same = [{"num_val": 3, "num_test": 3}]
    return Case(kind, SIZES | small, own + variants, refused + wrong, same)


_SCENES = generated(
    SortOfCLEVR,
    {},
    [{"representation": "pixels"}, {"num_objects": 3}],
    [
        ({"representation": "pixel"}, ValueError, "representation.*mean 'pixels'"),
        ({"num_objects": 7}, ValueError, "`num_objects` to be from 2 to 6, got 7"),
        ({"num_objects": 1}, ValueError, "`num_objects` to be from 2 to 6, got 1"),
    ],
)
_MASSES: list[Arguments] = [
    {"num_masses": 3},
    {"num_masses": (3, 6)},
    {"num_frames": 17},
    {"frame_time": 0.2},
]
_OBSERVED: list[Arguments] = [
    {"layout": "flat"},
    {"differences": True},
    {"box": None},
    {"box": 4.0},
]
_WRONG_MASSES: list[tuple[Arguments, type[Exception], str]] = [
    ({"num_masses": 1}, ValueError, "`num_masses` to be from 2 to 20"),
    ({"num_masses": 21}, ValueError, "`num_masses` to be from 2 to 20"),
    ({"num_masses": [5, 3]}, ValueError, "`num_masses` to be from 5 to 20, got 3"),
    ({"num_masses": [3]}, ValueError, "`num_masses`.*smallest and the largest"),
    ({"num_masses": 5.0}, TypeError, "`num_masses` to be an integer"),
    ({"num_frames": 0}, ValueError, "`num_frames` to be at least 1"),
    ({"frame_time": 0}, ValueError, "`frame_time` to be positive, got 0"),
    ({"frame_time": float("nan")}, ValueError, "`frame_time`.* positive, got nan"),
]
_WRONG_OBSERVED: list[tuple[Arguments, type[Exception], str]] = [
    ({"layout": "flatt"}, ValueError, "'layout' .*'flatt'.*; did you mean 'flat'"),
    ({"layout": "rows"}, ValueError, "'layout' .*'temporal', 'flat' .*'rows'"),
    ({"differences": 1}, TypeError, "`differences` to be a bool, got 1"),
    ({"box": -1.0}, ValueError, "`box` to be positive, got -1.0"),
    ({"box": "5"}, TypeError, "`box` to be a number, got '5'"),
]


def _babi(root: Path) -> None:
    write_babi(root / "raw/babi_v1.1_en.tar.gz", {"babi_v1.1_en": babi_files()})


def _clutrr(root: Path) -> None:
    # Writing it takes longer than reading it.
    if not (root / "raw" / clutrr.FILE).is_file():
        write_clutrr(root / "raw")


def _nlvr(root: Path) -> None:
    for name in ("dev", "test", "train"):
        write_nlvr(root / f"raw/{name}.json")


def _reviews(root: Path) -> Arguments:
    root.mkdir(exist_ok=True)
    return {"path": write_reviews(root / "reviews.csv")}


def _stocks(root: Path) -> Arguments:
    root.mkdir(exist_ok=True)
    return {"path": write_stocks(root / "prices.csv", stock_rows())}


_FRACTIONS: list[tuple[Arguments, type[Exception], str]] = [
    ({"val_fraction": 1.0}, ValueError, "`val_fraction` to be .* below 1, got 1.0"),
    ({"val_fraction": float("nan")}, ValueError, "`val_fraction` .* below 1, got nan"),
    ({"val_fraction": "0.1"}, TypeError, "`val_fraction` to be a number, got '0.1'"),
    ({"val_fraction": True}, TypeError, "`val_fraction` to be a number"),
    ({"seed": -1}, ValueError, "`seed` to be at least 0, got -1"),
]

READ = [
    Case(
        BAbI,
        {},
        [
            {"tasks": [1]},
            {"tasks": [11]},
            {"tasks": [1, 11]},
            {"representation": "words"},
            {"max_sentences": 2},
            {"val_fraction": 0.25},
            {"seed": 1},
        ],
        [
            *_FRACTIONS,
            (
                {"version": "100k"},
                ValueError,
                "'version' .*; did you mean '10k'",
            ),
            ({"representation": "word"}, ValueError, "representation.*'words'"),
            ({"tasks": []}, ValueError, "`tasks` to name one or more tasks"),
            ({"tasks": [1, 1]}, ValueError, "`tasks` .* once each"),
            ({"tasks": [0]}, ValueError, "`tasks` to be from 1 to 20, got 0"),
            ({"tasks": [21]}, ValueError, "`tasks` to be from 1 to 20, got 21"),
            ({"tasks": 3}, TypeError, "`tasks` to be a list of integers"),
            ({"tasks": "12"}, TypeError, "`tasks` to be a list of integers"),
            ({"max_sentences": 0}, ValueError, "`max_sentences` to be at least 1"),
            ({"max_sentences": 2.0}, TypeError, "`max_sentences` to be an integer"),
            (
                {"val_fraction": 0, "split": "val"},
                ValueError,
                "`val_fraction` to be above 0",
            ),
        ],
        [{"tasks": range(20, 0, -1)}],
        _babi,
    ),
    Case(
        Chickenpox,
        {},
        [{"window": 5}, {"window": None}, {"train_share": 0.5}],
        [
            ({"window": 0}, ValueError, "`window` to be at least 1, got 0"),
            ({"window": 2.5}, TypeError, "`window` to be an integer"),
            ({"train_share": 1}, ValueError, "`train_share` .* above 0 and below 1"),
            ({"train_share": "0.2"}, TypeError, "`train_share` to be a number"),
        ],
        files=lambda root: write_chickenpox(root / "raw/chickenpox.json"),
    ),
    Case(
        CLUTRR,
        {"val_fraction": 0.25},
        [
            {"representation": "both-ways"},
            {"representation": "sequence"},
            {"val_fraction": 0.5},
            {"seed": 1},
            {"split": "val", "val_length": 4},
        ],
        [
            *_FRACTIONS,
            ({"val_fraction": 0}, ValueError, "`val_fraction` to be above 0 and below"),
            ({"representation": "graphs"}, ValueError, "did you mean 'graph'"),
            ({"val_length": 11}, ValueError, "`val_length` to be from 3 to 10, got 11"),
            ({"val_length": "4"}, TypeError, "`val_length` to be an integer"),
        ],
        [{"val_length": 4}],
        _clutrr,
    ),
    Case(
        MovieReviews,
        {},
        [{"source": "imdb"}, {"min_count": 1}, {"max_length": 4}, {"seed": 1}],
        [
            ({"source": "imbd"}, ValueError, "did you mean 'imdb'"),
            ({"min_count": 0}, ValueError, "`min_count` to be at least 1"),
            ({"max_length": 0}, ValueError, "`max_length` to be at least 1"),
            ({"seed": 0.5}, TypeError, "`seed` to be an integer"),
        ],
        files=_reviews,
    ),
    Case(
        NLVR,
        {},
        [
            {"train_on": "train"},
            {"representation": "words"},
            {"min_count": 1},
            {"val_fraction": 0.25},
            {"seed": 1},
        ],
        [
            *_FRACTIONS,
            ({"val_fraction": 0}, ValueError, "`val_fraction` to be above 0 and below"),
            ({"train_on": "trian"}, ValueError, "did you mean 'train'"),
            ({"representation": "word"}, ValueError, "representation.*'words'"),
            ({"min_count": 0}, ValueError, "`min_count` to be at least 1"),
            ({"min_count": 2.0}, TypeError, "`min_count` to be an integer"),
        ],
        files=_nlvr,
    ),
    Case(
        Pedestrians,
        {},
        [{"test_scene": "eth"}, {"history": 3}, {"horizon": 2}],
        [
            ({"test_scene": "zara1"}, ValueError, "did you mean 'zara01'"),
            ({"history": 1}, ValueError, "`history` to be at least 2, got 1"),
            ({"horizon": 0}, ValueError, "`horizon` to be at least 1, got 0"),
            ({"horizon": 1.5}, TypeError, "`horizon` to be an integer"),
        ],
        files=lambda root: write_pedestrians(root / "raw"),
    ),
    Case(
        Stocks,
        {"window": 4},
        [{"window": 5}],
        [
            ({"window": 0}, ValueError, "`window` to be at least 1, got 0"),
            ({"window": 2.5}, TypeError, "`window` to be an integer"),
        ],
        files=_stocks,
    ),
]

CASES = [
    *READ,
    _SCENES,
    Case(
        SortOfCLEVROnDisk,
        _SCENES.small | {"chunk_size": 5},
        [*_SCENES.variants, {"chunk_size": 6}],
        [
            *_SCENES.wrong,
            ({"chunk_size": 0}, ValueError, "`chunk_size` to be at least 1, got 0"),
            ({"workers": 0}, ValueError, "`workers` to be at least 1, got 0"),
        ],
        _SCENES.same,
    ),
    generated(
        NthFarthest,
        {"num_vectors": 4},
        [{"num_vectors": 5}, {"dim": 3}, {"answer": "row"}, {"distance": True}],
        [
            ({"num_vectors": 1}, ValueError, "`num_vectors` to be from 2 to 8, got 1"),
            ({"num_vectors": 9}, ValueError, "`num_vectors` to be from 2 to 8, got 9"),
            ({"dim": 0}, ValueError, "`dim` to be at least 1"),
            ({"dim": 2.0}, TypeError, "`dim` to be an integer"),
            ({"answer": "rows"}, ValueError, "'answer' .*'rows'.*; did you mean 'row'"),
            ({"distance": 1}, TypeError, "`distance` to be a bool, got 1"),
        ],
    ),
    generated(
        GraphTasks,
        {},
        [{"name": "sorting"}, {"num_nodes": 8}, {"num_nodes": [8, 9]}],
        [
            ({"name": "sort"}, ValueError, "'name' .*'sort'.*; did you mean 'sorting'"),
            ({"num_nodes": 7}, ValueError, "`num_nodes` to be at least 8, got 7"),
            ({"num_nodes": (7, 9)}, ValueError, r"`num_nodes\[0\]` to be at least 8"),
            ({"num_nodes": (9, 8)}, ValueError, r"`num_nodes\[1\]` to be at least 9"),
            ({"num_nodes": (8, 9, 10)}, ValueError, "`num_nodes`.* smallest and the l"),
            ({"num_nodes": (8, 9.5)}, TypeError, r"`num_nodes\[1\]` to be an integer"),
        ],
    ),
    generated(
        Sudoku,
        {},
        [],
        [
            ({"size": 6}, ValueError, "`size` to be 4 or 9, got 6"),
            ({"size": 16}, ValueError, "`size` to be from 4 to 9, got 16"),
            ({"size": "9"}, TypeError, "`size` to be an integer"),
            (
                {"size": 9, "num_test": 10001},
                ValueError,
                "`num_test` to be from 1 to 10000, got 10001",
            ),
        ],
    ),
    generated(
        MovingShapes,
        {},
        [
            {"min_objects": 4},
            {"max_objects": 7},
            {"min_frames": 9},
            {"max_frames": 15},
            {"space": False},
            {"time": False},
            {"space": False, "time": False},
            {"distance": True},
        ],
        [
            ({"min_objects": 2}, ValueError, "`min_objects` to be from 3 to 8, got 2"),
            ({"max_objects": 9}, ValueError, "`max_objects` to be from 3 to 8, got 9"),
            (
                {"min_objects": 5, "max_objects": 4},
                ValueError,
                "`max_objects` to be from 5 to 8, got 4",
            ),
            ({"min_frames": 5}, ValueError, "`min_frames` to be from 6 to 64, got 5"),
            ({"max_frames": 7}, ValueError, "`max_frames` to be from 8 to 64, got 7"),
            ({"max_frames": 65}, ValueError, "`max_frames` to be from 8 to 64, got 65"),
            ({"max_frames": 16.0}, TypeError, "`max_frames` to be an integer"),
            ({"space": 1}, TypeError, "`space` to be a bool, got 1"),
            ({"time": None}, TypeError, "`time` to be a bool, got None"),
            ({"distance": "yes"}, TypeError, "`distance` to be a bool, got 'yes'"),
        ],
    ),
    generated(
        PhysicalConnections,
        {"num_frames": 6},
        [{"force": "charges"}, *_MASSES, *_OBSERVED],
        [
            ({"force": "spring"}, ValueError, "'force' .*; did you mean 'springs'"),
            ({"force": "gravity"}, ValueError, "'force' .*'springs', 'charges' "),
            *_WRONG_MASSES,
            *_WRONG_OBSERVED,
        ],
    ),
    generated(
        PhysicalSystemCount,
        {"num_frames": 6},
        [*_MASSES, *_OBSERVED],
        _WRONG_MASSES + _WRONG_OBSERVED,
    ),
    generated(
        PhysicalMotion,
        {"num_frames": 9, "history": 3, "horizon": 5},
        [
            {"force": "gravity"},
            {"history": 2},
            {"horizon": 4},
            {"centred": False},
            {"centred": False, "box": 5.0},
            *_MASSES,
        ],
        [
            (
                {"force": "magnets"},
                ValueError,
                "'force' .*'charges', 'gravity'",
            ),
            ({"history": 0}, ValueError, "`history` to be at least 1"),
            ({"horizon": 0}, ValueError, "`horizon` to be at least 1"),
            ({"num_frames": 8}, ValueError, "`num_frames` to be at least 9"),
            ({"centred": 1}, TypeError, "`centred` to be a bool, got 1"),
            ({"box": 5.0}, ValueError, "`box` to be None with `centred`"),
            *_WRONG_MASSES,
        ],
    ),
    # Nothing but features is stored, of digits rather than of samples.
    generated(
        DigitRelations,
        {"representation": "pixels"},
        [],
        [({"representation": "pixel"}, ValueError, "representation.*mean 'pixels'")],
    ),
]


def equal(one: Any, other: Any) -> bool:
    """Whether two datasets hold the same samples."""
    return len(one) == len(other) and all(map(same_sample, one, other))


def same_sample(one: Data, other: Data) -> bool:
    """Whether two samples are of the same kind and hold the same."""
    first, second = one.to_dict(), other.to_dict()
    return (
        type(one) is type(other)
        and first.keys() == second.keys()
        and all(
            torch.equal(value, second[name])
            if isinstance(value, torch.Tensor)
            else value == second[name]
            for name, value in first.items()
        )
    )
