"""The bAbI files: which archive has them, and what their lines say."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TASKS = (
    "single-supporting-fact",
    "two-supporting-facts",
    "three-supporting-facts",
    "two-arg-relations",
    "three-arg-relations",
    "yes-no-questions",
    "counting",
    "lists-sets",
    "simple-negation",
    "indefinite-knowledge",
    "basic-coreference",
    "conjunction",
    "compound-coreference",
    "time-reasoning",
    "basic-deduction",
    "basic-induction",
    "positional-reasoning",
    "size-reasoning",
    "path-finding",
    "agents-motivations",
)
# The largest file of release 1.2 has about 5 MB; more would be another archive.
MAX_FILE_BYTES = 64 * 2**20
# All versions of all languages together have 0.2 GB.
MAX_ARCHIVE_BYTES = 2**31


class Archive(NamedTuple):
    """An archive of bAbI: its release, file name, and folder of each version."""

    release: str
    file_name: str
    folders: dict[str, str]


# The first that is found is read.
ARCHIVES = (
    Archive(
        "1.2",
        "tasks_1-20_v1-2.tar.gz",
        {"1k": "tasks_1-20_v1-2/en", "10k": "tasks_1-20_v1-2/en-10k"},
    ),
    Archive("1.1", "babi_v1.1_en.tar.gz", {"1k": "babi_v1.1_en"}),
)


class Question(NamedTuple):
    """A question, and which of all sentences of its file come before it.

    `story` counts the stories of the file. The story's sentences before the question
    are rows `first` to `stop` (left out), the supporting facts rows `supporting`.
    """

    story: int
    first: int
    stop: int
    text: str
    answer: str
    supporting: tuple[int, ...]


class Stories(NamedTuple):
    """The sentences of a file, story after story, and the questions about them."""

    sentences: list[str]
    questions: list[Question]


def read_archive(path: str | Path, folder: str) -> dict[tuple[int, str], Stories]:
    """Reads the 20 tasks' training and test files of a folder in an archive.

    Nothing is extracted, and other members are not looked at.

    Args:
        path (str or Path): The `.tar.gz` file.
        folder (str): Folder inside the archive.

    Returns:
        dict[tuple[int, str], Stories]: The stories by task number, from 1, and
        `"train"` or `"test"`.

    Raises:
        ValueError: The archive is damaged or lacks a file, or a line of a file is
            wrong; file and line are named.
    """
    wanted = {
        f"{folder}/qa{task}_{name}_{split}.txt": (task, split)
        for task, name in enumerate(TASKS, 1)
        for split in ("train", "test")
    }
    found: dict[tuple[int, str], Stories] = {}
    try:
        for name, content in _members(path, set(wanted)):
            found[wanted[name]] = parse_stories(content, name)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"Expected {str(path)!r} to be a complete .tar.gz archive ({error}); "
            "delete it and fetch it again."
        ) from error
    missing = [name for name, key in wanted.items() if key not in found]
    if missing:
        raise ValueError(
            f"Expected {str(path)!r} to hold {missing[0]!r} ({len(missing)} of "
            f"{len(wanted)} files are missing); fetch the archive again."
        )
    return found


def parse_stories(content: bytes, name: str) -> Stories:
    r"""Reads the stories of a file.

    A line is `ID sentence` or `ID question<TAB>answer<TAB>IDs of supporting facts`;
    number 1 starts a story.

    Args:
        content (bytes): The content of the file.
        name (str): What the file is called in messages.

    Raises:
        ValueError: A line is wrong; file and line are named.
    """
    reader = _Reader()
    # Not `splitlines`, which knows more line ends than an editor counts.
    lines = content.rstrip(b"\r\n").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            reader.read(line)
        except ValueError as error:
            shown = line.decode(errors="replace").strip()[:80]
            raise ValueError(f"{name}, line {number}: {error} in {shown!r}.") from error
    return reader.stories


class _Reader:
    """Reads the lines of one file; errors say what is wrong with the line."""

    def __init__(self) -> None:
        self.stories = Stories([], [])
        self._story = -1
        self._last_id = 0
        self._first = 0
        self._row_of_id: dict[int, int] = {}

    def read(self, line: bytes) -> None:
        try:
            digits, _, rest = line.decode().partition(" ")
        except UnicodeDecodeError as error:
            raise ValueError("expected UTF-8 text, got other bytes") from error
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError("expected a line number and a space first, found none")
        self._start_line(int(digits))
        if "\t" in rest:
            self._read_question(*rest.split("\t"))
        else:
            self._read_sentence(rest.strip())

    def _start_line(self, line_id: int) -> None:
        if line_id == 1:
            self._story += 1
            self._first = len(self.stories.sentences)
            self._row_of_id = {}
        elif line_id <= self._last_id or self._story < 0:
            raise ValueError(
                f"expected number 1 or one above {self._last_id}, got {line_id}"
            )
        self._last_id = line_id

    def _read_sentence(self, text: str) -> None:
        if not text:
            raise ValueError("expected a sentence after the number, got nothing")
        if text.endswith("?"):
            raise ValueError("expected an answer after a tab, found no tab")
        self._row_of_id[self._last_id] = len(self.stories.sentences)
        self.stories.sentences.append(text)

    def _read_question(self, *fields: str) -> None:
        if len(fields) != 3:
            raise ValueError(
                "expected question, answer and supporting facts with a tab between, "
                f"got {len(fields)} fields"
            )
        text, answer, supporting = (field.strip() for field in fields)
        if not text or not answer:
            empty = "answer" if text else "question"
            raise ValueError(f"expected a question and an answer, the {empty} is empty")
        if not self._row_of_id:
            raise ValueError("expected a sentence before the first question, got none")
        rows = tuple(self._fact(fact) for fact in supporting.split())
        stop = len(self.stories.sentences)
        question = Question(self._story, self._first, stop, text, answer, rows)
        self.stories.questions.append(question)

    def _fact(self, fact: str) -> int:
        row = (
            self._row_of_id.get(int(fact))
            if fact.isascii() and fact.isdigit()
            else None
        )
        if row is None:
            raise ValueError(
                "expected numbers of this story's sentences so far as supporting "
                f"facts, got {fact!r}"
            )
        return row


def _members(path: str | Path, names: set[str]) -> Iterator[tuple[str, bytes]]:
    """The names and contents of those regular members that are wanted."""
    size = 0
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            # What is skipped has to be unpacked, too.
            size += member.size
            if size > MAX_ARCHIVE_BYTES:
                raise tarfile.ReadError(f"unpacks to more than {MAX_ARCHIVE_BYTES}")
            name = member.name.removeprefix("./")
            if name not in names:
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None or member.size > MAX_FILE_BYTES:
                raise tarfile.ReadError(f"{name!r} is no text file of usual size")
            yield name, file.read()
