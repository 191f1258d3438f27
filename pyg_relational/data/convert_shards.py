"""One shard of a conversion: which of its scenes are read, and what is written."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.data.scene_files import Piece, read_piece
from pyg_relational.data.scene_fit import SceneScan
from pyg_relational.data.scene_structure import read_structure
from pyg_relational.data.scene_values import SceneError
from pyg_relational.data.scenes import SceneEncoder
from pyg_relational.datasets.cache import read_verified, write_atomic

if TYPE_CHECKING:
    import networkx as nx

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Task:
    """What a worker needs to know.

    Args:
        folder (str): The folder of the files.
        root (str): The folder of the dataset.
        split (tuple of float): The shares of the splits.
        seed (int): Which scenes go where.
        bad (str): `"skip"` or `"fail"`.
        number (int): The number of the shard.
        pieces (list of Piece): What it is made from.
        schema (str): The schema, or when there is none yet the options, as JSON.
    """

    folder: str
    root: str
    split: tuple[float, ...]
    seed: int
    bad: str
    number: int = 0
    pieces: Sequence[Piece] = ()
    schema: str = ""

    def of(self, number: int, chosen: Sequence[Piece]) -> Task:
        """Returns the task of one shard."""
        return replace(self, number=number, pieces=chosen)

    def with_schema(self, schema: str) -> Task:
        """Returns the task with a schema, or options."""
        return replace(self, schema=schema)


@dataclass
class Part:
    """What a worker found.

    Args:
        number (int): The number of the shard.
        splits (dict): The number of scenes of each split.
        bad (list): Place and reason of each bad scene.
        scans (tuple of SceneScan): Of all scenes and of those for training.
    """

    number: int
    splits: dict[str, int] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)
    scans: tuple[SceneScan, ...] = ()


def scan_part(task: Task) -> Part:
    """Looks at the scenes of a shard, at those for training twice."""
    encoder = SceneEncoder(**json.loads(task.schema))
    part = Part(task.number, scans=(encoder.new_scan(), encoder.new_scan()))
    for place, scene, reason in _scenes(task):
        if scene is None:
            part.bad.append((place, reason))
            continue
        structure = read_structure([scene])
        name = split_of(place, task.split, task.seed)
        try:
            # A scene that is bad must leave no trace in the scans.
            encoder.new_scan().add(structure, 0)
        except SceneError as error:
            part.bad.append((place, _without_number(error)))
            continue
        part.scans[0].add(structure, 0)
        if name == SPLITS[0]:
            part.scans[1].add(structure, 0)
        part.splits[name] = part.splits.get(name, 0) + 1
    return part


def encode_part(task: Task) -> Part:
    """Writes a shard, unless it is there already."""
    path = Path(task.root) / shard_name(task.number)
    found = read_verified(path)
    if found is None:
        found = _encoded(task)
        if not (found["bad"] and task.bad == "fail"):
            write_atomic(path, found)
    splits = Counter(SPLITS[number] for number in found["splits"])
    return Part(task.number, dict(splits), [tuple(row) for row in found["bad"]])


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f"shard-{number:06d}.pt"


def split_of(place: str, split: Sequence[float], seed: int) -> str:
    """Returns the split that a scene belongs to, whatever other scenes there are.

    Args:
        place (str): File and position of the scene.
        split (sequence of float): The shares of training, validation and test.
        seed (int): Which scenes go where.
    """
    digest = hashlib.sha256(f"{seed}\0{place}".encode()).digest()
    drawn = int.from_bytes(digest[:7]) / 2**56
    if drawn < split[0]:
        return SPLITS[0]
    return SPLITS[1] if drawn < split[0] + split[1] else SPLITS[2]


def check_split(split: Sequence[float]) -> None:
    """Raises a `ValueError` unless there are three shares that sum to one."""
    fits = len(split) == 3 and all(share >= 0 for share in split)
    if not fits or not math.isclose(sum(split), 1) or split[0] == 0:
        raise ValueError(
            f"'split' must be the shares of training, validation and test scenes that "
            f"sum to 1, some for training (got {list(split)})"
        )


def _encoded(task: Task) -> dict[str, Any]:
    encoder = SceneEncoder.from_schema(json.loads(task.schema))
    kept: list[Data] = []
    splits, bad = [], []
    places: list[str] = []
    graphs: list[nx.Graph] = []
    for place, scene, reason in _scenes(task):
        if scene is None:
            bad.append([place, reason])
        else:
            places.append(place)
            graphs.append(scene)
    while graphs:
        try:
            kept += encoder.transform(graphs)
            break
        except SceneError as error:
            position = error.position
            bad.append([places[position], _without_number(error)])
            del graphs[position], places[position]
    splits = [SPLITS.index(split_of(p, task.split, task.seed)) for p in places]
    content: dict[str, Any] = {"splits": splits, "bad": bad, "data": None}
    if kept:
        data, slices = InMemoryDataset.collate(kept)
        content |= {"data": data.to_dict(), "slices": slices}
    return content


def _scenes(task: Task) -> list[tuple[str, Any, str]]:
    folder = Path(task.folder)
    return [found for piece in task.pieces for found in read_piece(piece, folder)]


def _without_number(error: SceneError) -> str:
    """The number of a scene means nothing where file and line are named."""
    return str(error).partition(", ")[2]
