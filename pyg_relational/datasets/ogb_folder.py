"""The folder of one of OGB's sets of molecules: where it is, if it is whole."""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from pyg_relational.datasets.archives import gunzip, unzip
from pyg_relational.datasets.raw_files import DATA_VARIABLE, fetch_raw

PROCESSED = "processed/geometric_data_processed.pt"
SPLIT_FILES = {name: f"{name}.csv.gz" for name in ("train", "valid", "test")}
# Files with one row a graph, and those whose rows one of them counts.
GRAPHS = ("num-node-list", "num-edge-list", "graph-label")
COUNTED = {
    "node-feat": "num-node-list",
    "edge": "num-edge-list",
    "edge-feat": "num-edge-list",
}


def folder_at_hand(name: str, root: str | Path) -> Path | None:
    """Returns the folder of a set if it is there without a download: below `root`, or
    in `ogb` below the folder that the environment variable names.

    Args:
        name (str): Name of the set, such as `"ogbg-molesol"`.
        root (str or Path): Folder of the sets.
    """
    plain = name.replace("-", "_")
    shared = os.environ.get(DATA_VARIABLE)
    known = [Path(root, plain + "_pyg"), Path(root, plain)]
    if shared:
        known.append(Path(shared, "ogb", plain))
    return next((folder for folder in known if folder.is_dir()), None)


def find_folder(name: str, root: str | Path, facts: Mapping[str, str]) -> Path:
    """Returns the folder of a set below `root`, after a copy or a download if needed.

    Args:
        name (str): Name of the set.
        root (str or Path): Folder of the sets.
        facts (Mapping[str, str]): What the official loader says of the set.

    Raises:
        OSError: The files cannot be fetched or written.
        ValueError: The archive is damaged.
    """
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
            _unpack(archive, staging, facts["download_name"])
            _put(staging / facts["download_name"], target)
            archive.unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def check_folder(folder: Path, facts: Mapping[str, str]) -> None:
    """Checks that the files of a set are there, whole, and fit each other.

    Raw files are looked at only where they have to be processed.

    Args:
        folder (Path): The folder of the set.
        facts (Mapping[str, str]): What the official loader says of the set.

    Raises:
        ValueError: A file is missing or damaged; it is named.
    """
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
    rows = {name: _numbers(folder / file) for name, file in SPLIT_FILES.items()}
    together = sorted(number for numbers in rows.values() for number in numbers)
    if together != [*range(len(together))]:
        raise ValueError(
            f"Expected the files {', '.join(SPLIT_FILES.values())} in {str(folder)!r} "
            f"to hold the numbers from 0 on, each once: one of them is damaged. "
            f"{_AGAIN}"
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


_AGAIN = "Delete the folder of the set to get it again."


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


def _unpack(archive: Path, folder: Path, content: str) -> None:
    unzip(archive, folder)
    if not Path(folder, content).is_dir():
        raise ValueError(
            f"{str(archive)!r} is damaged (it has no folder {content!r}). Delete it to "
            "fetch it again."
        )
