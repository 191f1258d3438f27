"""From files of scenes to a dataset on disk: shards, a schema and a report."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._files import read_verified, write_atomic, write_verified
from pyg_relational.data.in_order import in_order
from pyg_relational.data.scenes.encoder import SceneEncoder
from pyg_relational.data.scenes.files import Piece, pieces, read_piece, scene_files
from pyg_relational.data.scenes.scan import SceneError, SceneScan, read_structure

if TYPE_CHECKING:
    import networkx as nx

SPLITS = ("train", "val", "test")
STATE = "conversion.json"
LOOKED = "looked.json"  # what was wrong with scenes that no schema has seen
LISTED = 100  # bad scenes in the report for people


@dataclass(frozen=True)
class Conversion:
    """How files become a dataset."""

    # Arguments of `SceneEncoder`.
    options: Mapping[str, Any] = field(default_factory=dict)
    # A saved schema to use instead of looking at the scenes.
    schema: Path | None = None
    # The shares of scenes for training, validation and test; a scene's place in its
    # file decides, so shares are met on average.
    split: tuple[float, ...] = (0.8, 0.1, 0.1)
    seed: int = 0  # which scenes go where
    # A bad scene is left out, `"skip"`, or ends the conversion, `"fail"`.
    bad: str = "fail"
    shard_size: int = 1000  # files, or lines of JSON Lines, in a shard
    workers: int = 1  # processes that read and encode
    progress: bool = False  # whether to show a progress bar


def convert(source: Path, root: Path, how: Conversion) -> dict[str, Any]:
    """Writes shards, `schema.json`, `report.json` and `report.md` into a folder.

    Scenes are read twice: to learn their schema (numbers are standardised and
    categories taken from training scenes alone), and to encode them. Neither keeps
    more than a few shards in memory. A conversion that was interrupted goes on where
    it stopped when it is called again with the same files and options."""
    _check(how)
    _claim(root, _fingerprint(source, how))
    folder = source if source.is_dir() else source.parent
    base = _Task(folder, root, how)
    encoder = _encoder(source, base)
    shards: list[dict[str, Any]] = []
    bad: list[tuple[str, str]] = []
    looked = dict(read_verified(root / LOOKED) or ())
    base = replace(base, schema=json.dumps(encoder.schema))
    for part in _run(_encode_part, _tasks(source, base), how, "encode"):
        shards.append({"file": _shard_name(part.number), "splits": part.splits})
        # What cannot be read at all also contradicts the schema of the others.
        bad += [(place, looked.get(place, reason)) for place, reason in part.bad]
    splits: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    for shard in shards:
        splits.update(shard["splits"])
    report = {
        "source": str(source),
        "scenes": sum(splits.values()),
        "splits": dict(splits),
        "shards": shards,
        "bad": [{"place": place, "reason": reason} for place, reason in bad],
        "attributes": encoder.schema["attributes"],
        "feature_names": encoder.feature_names,
    }
    _write_report(root, report)
    return report


def _check(how: Conversion) -> None:
    split = how.split
    fits = len(split) == 3 and all(share >= 0 for share in split)
    if not fits or not math.isclose(sum(split), 1) or split[0] == 0:
        raise ValueError(
            f"'split' must be the shares of training, validation and test scenes that "
            f"sum to 1, some for training (got {list(split)})"
        )
    if how.bad not in ("skip", "fail"):
        raise ValueError(f"'bad' must be 'skip' or 'fail' (got {how.bad!r})")
    if how.shard_size < 1 or how.workers < 1:
        raise ValueError(
            f"'shard_size' and 'workers' must be at least 1 (got {how.shard_size} and "
            f"{how.workers})"
        )


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


def _encoder(source: Path, base: _Task) -> SceneEncoder:
    """Returns the encoder, which looks at the scenes unless there is a schema."""
    path, how = base.root / "schema.json", base.how
    if path.is_file():
        return SceneEncoder.load(path)
    if how.schema is not None:
        encoder = SceneEncoder.load(how.schema)
    else:
        encoder = SceneEncoder(**how.options)
        whole, training = encoder.new_scan(), encoder.new_scan()
        bad: list[list[str]] = []
        for part in _run(_scan_part, _tasks(source, base), how, "look"):
            whole.merge(part.scans[0])
            training.merge(part.scans[1])
            bad += map(list, part.bad)
        write_verified(base.root / LOOKED, bad)
        if whole.rows["graph"] == 0:
            raise ValueError(f"'{source}' holds no scene that can be read")
        for place, scan in training.scans.items():
            # Numbers and categories are those of training scenes.
            found = whole.scans[place]
            if found.moments is not None and scan.moments is not None:
                found.moments = scan.moments
            if scan.values and len(found.values) <= found.limit:
                found.values = scan.values
        encoder.fit_scan(whole)
    encoder.save(path)
    return encoder


@dataclass(frozen=True)
class _Task:
    """One shard: the files and the dataset, what it is made from, and the schema as
    JSON, once there is one."""

    folder: Path
    root: Path
    how: Conversion
    number: int = 0
    pieces: Sequence[Piece] = ()
    schema: str = ""

    def scenes(self) -> Iterator[tuple[str, nx.Graph | None, str]]:
        """Yields of each scene its place, itself, and if it is bad the reason."""
        for piece in self.pieces:
            yield from read_piece(piece, self.folder)


@dataclass
class _Part:
    """What was found in a shard: how many scenes of each split, place and reason of
    each bad one, and scans of all scenes and of those for training."""

    number: int
    splits: dict[str, int] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)
    scans: tuple[SceneScan, ...] = ()


def _tasks(source: Path, base: _Task) -> Iterator[_Task]:
    found = pieces(source)
    number = 0
    while chosen := list(islice(found, base.how.shard_size)):
        yield replace(base, number=number, pieces=chosen)
        number += 1


def _run(
    work: Callable[[_Task], _Part], tasks: Iterator[_Task], how: Conversion, what: str
) -> Iterator[_Part]:
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


def _scan_part(task: _Task) -> _Part:
    """Looks at the scenes of a shard, at those for training twice."""
    encoder, how = SceneEncoder(**task.how.options), task.how
    part = _Part(task.number, scans=(encoder.new_scan(), encoder.new_scan()))
    for place, scene, reason in task.scenes():
        if scene is None:
            part.bad.append((place, reason))
            continue
        structure = read_structure([scene])
        name = split_of(place, how.split, how.seed)
        try:
            # A scene that is bad must leave no trace in the scans.
            encoder.new_scan().add(structure, 0)
        except SceneError as error:
            part.bad.append((place, error.reason))
            continue
        part.scans[0].add(structure, 0)
        if name == SPLITS[0]:
            part.scans[1].add(structure, 0)
        part.splits[name] = part.splits.get(name, 0) + 1
    return part


def _encode_part(task: _Task) -> _Part:
    """Writes a shard, unless it is there already."""
    path = task.root / _shard_name(task.number)
    found = read_verified(path)
    if found is None:
        found = _encoded(task)
        if not (found["bad"] and task.how.bad == "fail"):
            write_verified(path, found)
    splits = Counter(SPLITS[number] for number in found["splits"])
    return _Part(task.number, dict(splits), [tuple(row) for row in found["bad"]])


def _encoded(task: _Task) -> dict[str, Any]:
    encoder, how = SceneEncoder.from_schema(json.loads(task.schema)), task.how
    kept: list[Data] = []
    bad: list[list[str]] = []
    places: list[str] = []
    graphs: list[nx.Graph] = []
    for place, scene, reason in task.scenes():
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
            bad.append([places[error.position], error.reason])
            del graphs[error.position], places[error.position]
    splits = [SPLITS.index(split_of(p, how.split, how.seed)) for p in places]
    content: dict[str, Any] = {"splits": splits, "bad": bad, "data": None}
    if kept:
        data, slices = InMemoryDataset.collate(kept)
        content |= {"data": data.to_dict(), "slices": slices}
    return content


def _shard_name(number: int) -> str:
    return f"shard-{number:06d}.pt"


def split_of(place: str, split: Sequence[float], seed: int) -> str:
    """Returns the split that a scene belongs to, whatever other scenes there are."""
    digest = hashlib.sha256(f"{seed}\0{place}".encode()).digest()
    drawn = int.from_bytes(digest[:7]) / 2**56
    if drawn < split[0]:
        return SPLITS[0]
    return SPLITS[1] if drawn < split[0] + split[1] else SPLITS[2]


def _write_report(root: Path, report: Mapping[str, Any]) -> None:
    """Writes what was found, for programs and for people."""
    report = {**report, "warnings": list(_warnings(report))}
    texts = {
        "report.json": json.dumps(report, indent=2, ensure_ascii=False),
        "report.md": "\n".join(_lines(report)),
    }
    for name, text in texts.items():
        content = f"{text}\n".encode()
        write_atomic(root / name, partial(Path.write_bytes, data=content))


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    """Yields what may not be as the user thinks."""
    if report["bad"]:
        yield f"{len(report['bad']):,} bad scenes were left out"
    for name, number in report["splits"].items():
        if number == 0:
            yield f"the split '{name}' is empty"
    for level, attributes in report["attributes"].items():
        for attribute in attributes:
            what = f"{level} attribute {attribute['name']!r}"
            bare = attribute["kind"] in ("text", "mixed")
            if bare and attribute["role"] == "feature":
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
