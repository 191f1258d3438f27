"""From files of scenes to a dataset on disk."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pyg_relational.data.convert_report import write_report
from pyg_relational.data.convert_shards import (
    SPLITS,
    Part,
    Task,
    check_split,
    encode_part,
    scan_part,
    shard_name,
)
from pyg_relational.data.scene_files import pieces, scene_files
from pyg_relational.data.scene_fit import SceneScan
from pyg_relational.data.scene_schema import write_schema
from pyg_relational.data.scenes import SceneEncoder
from pyg_relational.datasets.cache import read_verified, write_atomic
from pyg_relational.datasets.in_order import in_order

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
    it stopped when it is called again with the same files and options.

    Args:
        source (Path): A file or folder, see
            :func:`pyg_relational.data.scene_files.scene_files`.
        root (Path): The folder to write.
        how (Conversion): Options.

    Returns:
        dict: What the report holds.

    Raises:
        ValueError: If there are no scenes, one is bad and `bad` is `"fail"`, or the
            folder holds another dataset.
        OSError: If the folder cannot be written or the disk is full.
    """
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
        write_atomic(root / LOOKED, bad)
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
        write_atomic(state, fingerprint)


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
