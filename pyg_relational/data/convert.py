"""From files of scenes to a dataset on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._files import read_verified, write_verified
from pyg_relational.data.in_order import in_order
from pyg_relational.data.scenes.encoder import SceneEncoder
from pyg_relational.data.scenes.files import Piece, pieces, read_piece, scene_files
from pyg_relational.data.scenes.scan import SceneError, SceneScan, read_structure
from pyg_relational.data.scenes.schema import write_schema

if TYPE_CHECKING:
    import networkx as nx


# What a conversion found, for people and for programs.


LISTED = 100  # bad scenes in the report for people


def write_report(root: Path, report: Mapping[str, Any]) -> None:
    """Writes `report.json` and `report.md`, each whole or not at all."""
    report = {**report, "warnings": list(warnings(report))}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    _write(root / "report.json", text)
    _write(root / "report.md", "\n".join(_lines(report)) + "\n")


def warnings(report: Mapping[str, Any]) -> Iterator[str]:
    """Yields what may not be as the user thinks."""
    if report["bad"]:
        yield f"{len(report['bad']):,} bad scenes were left out"
    for name, number in report["splits"].items():
        if number == 0:
            yield f"the split '{name}' is empty"
    for level, attributes in report["attributes"].items():
        for attribute in attributes:
            what = f"{level} attribute {attribute['name']!r}"
            if (
                attribute["kind"] in ("text", "mixed")
                and attribute["role"] == "feature"
            ):
                yield f"{what} is of kind '{attribute['kind']}' and has no features"
            counts = attribute["counts"]
            unknown = counts.get("missing", 0) + counts.get("none", 0)
            if unknown > counts.get("present", 0):
                yield f"{what} is unknown more often than known"
            if counts.get("not_finite"):
                yield f"{what} has {counts['not_finite']:,} values that are not finite"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield "# Conversion of scenes"
    yield ""
    shares = ", ".join(
        f"{number:,} {name}" for name, number in report["splits"].items()
    )
    yield f"{report['scenes']:,} scenes ({shares}) from `{report['source']}`"
    yield ""
    yield "| level | attribute | kind | role | present | missing | none | types |"
    yield "|---|---|---|---|---|---|---|---|"
    for level, attributes in report["attributes"].items():
        for attribute in attributes:
            counts = attribute["counts"]
            numbers = [f"{counts.get(k, 0):,}" for k in ("present", "missing", "none")]
            types = ", ".join(attribute["types"])
            cells = [attribute["name"], attribute["kind"], attribute["role"], *numbers]
            yield "| " + " | ".join([level, *map(_cell, cells), _cell(types)]) + " |"
    for title, found in (
        ("Warnings", report["warnings"]),
        ("Bad scenes", [f"{b['place']}: {b['reason']}" for b in report["bad"]]),
    ):
        if found:
            yield from ("", f"## {title}", "")
            yield from (f"- {line}" for line in found[:LISTED])
            if len(found) > LISTED:
                yield f"- and {len(found) - LISTED:,} more, in `report.json`"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# One shard of a conversion: which of its scenes are read, and what is written.


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
            write_verified(path, found)
    splits = Counter(SPLITS[number] for number in found["splits"])
    return Part(task.number, dict(splits), [tuple(row) for row in found["bad"]])


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f"shard-{number:06d}.pt"


def split_of(place: str, split: Sequence[float], seed: int) -> str:
    """Returns the split that a scene belongs to, whatever other scenes there are."""
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


STATE = "conversion.json"
LOOKED = "looked.json"  # what was wrong with scenes that no schema has seen


@dataclass(frozen=True)
class Conversion:
    """How files become a dataset.

    Args:
        options (Mapping): Arguments of :class:`~pyg_relational.data.SceneEncoder`.
            (default: none)
        schema (Path, optional): A saved schema to use instead of looking at the
            scenes. (default: `None`)
        split (tuple of float): The shares of scenes for training, validation and test;
            a scene's place in its file decides, so shares are met on average.
            (default: `(0.8, 0.1, 0.1)`)
        seed (int): Which scenes go where. (default: `0`)
        bad (str): A bad scene is left out, `"skip"`, or ends the conversion, `"fail"`.
            (default: `"fail"`)
        shard_size (int): Files, or lines of JSON Lines, in a shard. (default: `1000`)
        workers (int): Processes that read and encode. (default: `1`)
        progress (bool): Whether to show a progress bar. (default: `False`)
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    schema: Path | None = None
    split: tuple[float, ...] = (0.8, 0.1, 0.1)
    seed: int = 0
    bad: str = "fail"
    shard_size: int = 1000
    workers: int = 1
    progress: bool = False


def convert(source: Path, root: Path, how: Conversion) -> dict[str, Any]:
    """Writes shards, `schema.json`, `report.json` and `report.md` into a folder.

    Scenes are read twice: to learn their schema (numbers are standardised and
    categories taken from training scenes alone), and to encode them. Neither keeps
    more than a few shards in memory. A conversion that was interrupted goes on where
    it stopped when it is called again with the same files and options."""
    check_split(how.split)
    if how.bad not in ("skip", "fail"):
        raise ValueError(f"'bad' must be 'skip' or 'fail' (got {how.bad!r})")
    if how.shard_size < 1 or how.workers < 1:
        raise ValueError(
            f"'shard_size' and 'workers' must be at least 1 (got {how.shard_size} and "
            f"{how.workers})"
        )
    _claim(root, _fingerprint(source, how))
    folder = source if source.is_dir() else source.parent
    base = Task(str(folder), str(root), how.split, how.seed, how.bad)
    encoder = _encoder(source, root, how, base)
    shards: list[dict[str, Any]] = []
    bad: list[tuple[str, str]] = []
    looked = dict(read_verified(root / LOOKED) or ())
    schema = json.dumps(encoder.schema)
    tasks = (task.with_schema(schema) for task in _tasks(source, how, base))
    for part in _run(encode_part, tasks, how, "encode"):
        shards.append({"file": shard_name(part.number), "splits": part.splits})
        # What cannot be read at all also contradicts the schema of the others.
        bad += [(place, looked.get(place, reason)) for place, reason in part.bad]
    report = _report(encoder, source, shards, bad)
    write_report(root, report)
    return report


def _encoder(source: Path, root: Path, how: Conversion, base: Task) -> SceneEncoder:
    """Returns the encoder, which looks at the scenes unless there is a schema."""
    path = root / "schema.json"
    if path.is_file():
        return SceneEncoder.load(path)
    if how.schema is not None:
        encoder = SceneEncoder.load(how.schema)
    else:
        encoder = SceneEncoder(**how.options)
        whole, training = encoder.new_scan(), encoder.new_scan()
        options = json.dumps(dict(how.options), default=list)
        bad: list[list[str]] = []
        tasks = (task.with_schema(options) for task in _tasks(source, how, base))
        for part in _run(scan_part, tasks, how, "look"):
            whole.merge(part.scans[0])
            training.merge(part.scans[1])
            bad += map(list, part.bad)
        write_verified(root / LOOKED, bad)
        if whole.rows["graph"] == 0:
            raise ValueError(f"'{source}' holds no scene that can be read")
        encoder.fit_scan(_standardised_by(whole, training))
    write_schema(path, encoder.schema)
    return encoder


def _standardised_by(whole: SceneScan, training: SceneScan) -> SceneScan:
    """Returns the scan of all scenes with numbers and categories of training ones."""
    for place, scan in training.scans.items():
        found = whole.scans[place]
        if found.moments is not None and scan.moments is not None:
            found.moments = scan.moments
        if scan.values and len(found.values) <= found.limit:
            found.values = scan.values
    return whole


def _tasks(source: Path, how: Conversion, base: Task) -> Iterator[Task]:
    found = pieces(source)
    number = 0
    while chosen := list(islice(found, how.shard_size)):
        yield base.of(number, chosen)
        number += 1


def _run(
    work: Callable[[Task], Part], tasks: Iterator[Task], how: Conversion, what: str
) -> Iterator[Part]:
    """Yields the parts in order; only a few are under way at once."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=" scenes", disable=not how.progress) as bar:
        for part in in_order(work, tasks, how.workers):
            bar.update(sum(part.splits.values()))
            if part.bad and how.bad == "fail":
                place, reason = part.bad[0]
                raise ValueError(
                    f"{place}: {reason}; correct the scene, or leave out bad ones with "
                    f"--bad skip"
                )
            yield part


def _fingerprint(source: Path, how: Conversion) -> dict[str, Any]:
    """Returns what the shards depend on."""
    files = hashlib.sha256()
    for path in scene_files(source):
        found = path.stat()
        files.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    schema = how.schema and hashlib.sha256(how.schema.read_bytes()).hexdigest()
    return {
        "files": files.hexdigest(),
        "options": json.loads(json.dumps(dict(how.options), default=list)),
        "schema": schema,
        "split": list(how.split),
        "seed": how.seed,
        "bad": how.bad,
        "shard_size": how.shard_size,
    }


def _claim(root: Path, fingerprint: dict[str, Any]) -> None:
    """Continues the conversion in a folder, or begins one in an empty folder."""
    state = root / STATE
    found = read_verified(state)
    if found is not None and found != fingerprint:
        changed = [name for name in fingerprint if found.get(name) != fingerprint[name]]
        raise ValueError(
            f"'{root}' holds a conversion with other {', '.join(changed)}; name "
            f"another folder, or remove this one"
        )
    if found is None:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ValueError(
                f"'{root}' is not an empty folder; name another one for the dataset"
            )
        write_verified(state, fingerprint)


def _report(
    encoder: SceneEncoder,
    source: Path,
    shards: list[dict[str, Any]],
    bad: list[tuple[str, str]],
) -> dict[str, Any]:
    splits: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    for shard in shards:
        splits.update(shard["splits"])
    return {
        "source": str(source),
        "scenes": sum(splits.values()),
        "splits": dict(splits),
        "shards": shards,
        "bad": [{"place": place, "reason": reason} for place, reason in bad],
        "attributes": encoder.schema["attributes"],
        "feature_names": encoder.feature_names,
    }
