"""The SICK files: what their lines say, and where they come from."""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from pyg_relational.datasets.archives import check_members
from pyg_relational.datasets.raw_files import check_sha256, fetch_raw

URL = "http://alt.qcri.org/semeval2014/task1/data/uploads"
# The file of each split.
FILES = {
    "train": "SICK_train.txt",
    "val": "SICK_trial.txt",
    "test": "SICK_test_annotated.txt",
}
SHA256 = {
    "train": "266cf8047149bd1d68138dd30439f3122bff30069740ac6705bb6197d9f1b48e",
    "val": "5a88cfb62f8c6bd2a3cce0f2421ba2cb8c2be5ab4a800f6f01e2c64aafb7db56",
    "test": "2b8aa806658d6fc23c6824c83776c2d4fee7556000817b5ec0f982861413b7d0",
}
# The largest file has 0.7 MB.
MAX_BYTES = 64 * 2**20
COLUMNS = (
    "pair_ID",
    "sentence_A",
    "sentence_B",
    "relatedness_score",
    "entailment_judgment",
)
RELATIONS = ("entailment", "neutral", "contradiction")


class SentencePair(NamedTuple):
    """Two sentences, how related they are (1 to 5), and by which relation."""

    identifier: int
    premise: str
    hypothesis: str
    relatedness: float
    relation: int


def read_sentence_pairs(path: str | Path) -> list[SentencePair]:
    """Reads a file of pairs, one a line, with tabs between its five columns.

    Args:
        path (str or Path): The file.

    Raises:
        ValueError: The file holds no pairs or a line is wrong; file and line are named.
    """
    path = Path(path)
    # Not `splitlines`, which knows more line ends than an editor counts.
    lines = path.read_bytes().rstrip(b"\r\n").split(b"\n")
    pairs = []
    for number, line in enumerate(lines, 1):
        try:
            fields = tuple(line.decode().rstrip("\r").split("\t"))
            if number > 1:
                pairs.append(_pair(fields))
            elif fields != COLUMNS:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}")
        except ValueError as error:
            shown = line.decode(errors="replace").strip()[:80]
            raise ValueError(
                f"{path.name}, line {number}: {str(error)[:300]} in {shown!r}; fetch "
                "the file again."
            ) from error
    if not pairs:
        raise ValueError(f"{path.name} holds no pairs; fetch the file again.")
    return pairs


def fetch_sentence_pairs(split: str, path: str | Path) -> None:
    """Downloads the file of a split, which is then complete and checked.

    Args:
        split (str): `"train"`, `"val"` or `"test"`.
        path (str or Path): Where it goes.

    Raises:
        OSError: The file cannot be fetched or written.
        ValueError: What was fetched is another file.
    """
    path = Path(path)
    name = FILES[split]
    archive = path.with_name(f"{Path(name).stem.lower()}.zip")
    url = f"{URL}/{archive.name}"
    fetch_raw(url, archive)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with zipfile.ZipFile(archive) as content:
            check_members(content, MAX_BYTES)
            partial.write_bytes(content.read(name))
        check_sha256(partial, SHA256[split], f"{name} of {url}")
        partial.replace(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(
            f"Expected {url} to be a zip archive with the file {name!r} ({error}). "
            f"Fetch the file elsewhere and put it to {str(path)!r}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


def _pair(fields: tuple[str, ...]) -> SentencePair:
    if len(fields) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} columns, got {len(fields)}")
    identifier, premise, hypothesis, relatedness, relation = fields
    if not (premise.strip() and hypothesis.strip()):
        raise ValueError("expected two sentences, got an empty one")
    if relation.lower() not in RELATIONS:
        raise ValueError(
            f"expected a relation ({', '.join(RELATIONS)}), got {relation!r}"
        )
    try:
        number, score = int(identifier), float(relatedness)
    except ValueError as error:
        raise ValueError(
            f"expected numbers, got the identifier {identifier!r} and the relatedness "
            f"{relatedness!r}"
        ) from error
    if not 1 <= score <= 5:
        raise ValueError(f"expected a relatedness from 1 to 5, got {relatedness!r}")
    return SentencePair(
        number, premise, hypothesis, score, RELATIONS.index(relation.lower())
    )
