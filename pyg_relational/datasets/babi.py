"""The bAbI dataset."""

import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._checks import check_int, check_name
from pyg_relational.datasets.base import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)
from pyg_relational.datasets.downloads import fetch_raw, raw_folder
from pyg_relational.datasets.vocabulary import Vocabulary, tokenize

# The bAbI files: which archive has them, and what their lines say.


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

    Nothing is extracted, and other members are not looked at."""
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
    number 1 starts a story."""
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


# bAbI stories as tensors: rows of word numbers.


Rows = dict[str, Tensor]
Counts = dict[str, Tensor]


class WordTable:
    """Texts as rows of word numbers, padded with 0 to the same width.

    A word has the number 1 + its number in the vocabulary.

    Args:
        vocabulary (Vocabulary): The words.
        width (int): Words of the longest text.
    """

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        self._vocabulary = vocabulary
        self._width = width
        # A few thousand sentences make up all stories.
        self._known: dict[str, np.ndarray] = {}

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the words of texts, `[len(texts), width]` int64."""
        if not texts:
            return np.zeros((0, self._width), np.int64)
        return np.stack([self._row(text) for text in texts])

    def _row(self, text: str) -> np.ndarray:
        if text not in self._known:
            row = np.zeros(self._width, np.int64)
            ids = self._vocabulary.encode(tokenize(text)).numpy() + 1
            row[: len(ids)] = ids
            self._known[text] = row
        return self._known[text]


def story_words(files: Mapping[tuple[int, str], Stories]) -> tuple[Vocabulary, int]:
    """Returns the vocabulary of the training files, and the most words in a text."""
    training: list[list[str]] = []
    width = 0
    known: dict[str, list[str]] = {}
    for (_, split), stories in files.items():
        asked = [question.text for question in stories.questions]
        for text in stories.sentences + asked:
            if text not in known:
                known[text] = tokenize(text)
                width = max(width, len(known[text]))
            if split == "train":
                training.append(known[text])
    return Vocabulary.from_texts(training), width


def split_questions(
    questions: Sequence[Question], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Question], list[Question]]:
    """Returns training and validation questions; those of a story stay together."""
    stories = np.unique([question.story for question in questions])
    size = max(round(len(stories) * val_fraction), 1) if val_fraction else 0
    held = set(rng.permutation(stories)[:size].tolist())
    training = [question for question in questions if question.story not in held]
    return training, [question for question in questions if question.story in held]


def sentence_rows(
    stories: Stories,
    questions: Sequence[Question],
    words: WordTable,
    max_sentences: int,
) -> tuple[Rows, Counts]:
    """Returns the attributes of questions whose sentences are nodes."""
    rows, counts = _kept_sentences(questions, max_sentences)
    owner = np.repeat(np.arange(len(questions)), counts)
    facts = np.zeros(len(rows), bool)
    # The kept sentences of a question are consecutive, and so are their rows.
    ends = counts.cumsum()
    for end, question in zip(ends.tolist(), questions, strict=True):
        back = [question.stop - row for row in question.supporting]
        kept = [end - k for k in back if k <= max_sentences]
        facts[kept] = True
    stop = np.array([question.stop for question in questions])
    values = {
        "x": words.rows(stories.sentences)[rows],
        "position": stop[owner] - 1 - rows,
        "supporting": facts,
        "question": words.rows([question.text for question in questions]),
    }
    nodes = torch.from_numpy(counts)
    each = torch.ones_like(nodes)
    sizes = {"x": nodes, "position": nodes, "supporting": nodes, "question": each}
    return {name: torch.from_numpy(value) for name, value in values.items()}, sizes


def word_rows(
    stories: Stories,
    questions: Sequence[Question],
    words: WordTable,
    max_sentences: int,
) -> tuple[Rows, Counts]:
    """Returns the attributes of questions whose words are steps: those of the
    sentences, then those of the question; arguments as for `sentence_rows`."""
    rows, counts = _kept_sentences(questions, max_sentences)
    ends = counts.cumsum()
    asked = words.rows([question.text for question in questions])
    # [sentences + questions, W], each question after its sentences
    texts = np.insert(words.rows(stories.sentences)[rows], ends, asked, axis=0)
    owner = np.insert(
        np.repeat(np.arange(len(questions)), counts), ends, range(len(ends))
    )
    filled = texts > 0
    length = np.bincount(owner, filled.sum(axis=1), len(questions)).astype(np.int64)
    return {"x": torch.from_numpy(texts[filled])}, {"x": torch.from_numpy(length)}


def _kept_sentences(
    questions: Sequence[Question], max_sentences: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the sentences that each question keeps, and how many they are."""
    spans = np.array([(question.first, question.stop) for question in questions])
    counts = np.minimum(spans[:, 1] - spans[:, 0], max_sentences)
    starts = spans[:, 1] - counts
    before = counts.cumsum() - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum()), counts


SPLITS = ("train", "val", "test")
VERSIONS = ("1k", "10k")
REPRESENTATIONS = {"sentences": sentence_rows, "words": word_rows}
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
URL = "http://www.thespermwhale.com/jaseweston/babi/tasks_1-20_v1-2.tar.gz"
# As recorded for this address in the card `babi_qa` of Hugging Face datasets.
SHA256 = "0364ebde659f14d11bc21744516c5ec49d3d06cb692733f66680771244998898"


class BAbI(InMemoryDataset):
    r"""The 20 tasks of `"Towards AI-Complete Question Answering: A Set of Prerequisite
    Toy Tasks" <https://arxiv.org/abs/1502.05698>`_: a question about a short story is
    one graph.

    A graph holds the last `max_sentences` sentences before its question, as in `"A
    simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_. The words and the answers are those of the
    training files of all 20 tasks, whichever `tasks` are chosen. An answer of several
    words (`"n,w"`) is one class. Class 0, `<unk>`, is any test answer that training
    does not have: no model can learn it, so that it counts as wrong.

    Validation questions are those of stories drawn from the training file of each
    task, the same ones alone and jointly.

    Args:
        root (str): Folder of the dataset; files go to `root/raw` and
            `root/processed`. An archive in the folder that the environment variable
            `PYG_RELATIONAL_DATA` names is read there.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        tasks (Sequence[int], optional): Numbers of the tasks, from 1.
            (default: `None`, all 20)
        version (str): `"1k"` or `"10k"` training questions a task. (default: `"1k"`)
        representation (str): `"sentences"` are the nodes, with the question beside
            them, or `"words"` are the steps of one sequence that ends with the
            question. (default: `"sentences"`)
        max_sentences (int): The last sentences before a question to keep.
            (default: `20`)
        val_fraction (float): Share of the training stories that is kept for
            validation. (default: `0.1`)
        seed (int): Seed of the validation split, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the questions for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored files again. (default: `False`)

    Shapes:
        - **x:** `[n, W]` int64 words of each sentence, padded with 0 to the longest
          text of the release; with `"words"` `[T]`, without padding
        - **position:** `[n]` sentences between this one and the question, 0 for the
          nearest (only `"sentences"`)
        - **supporting:** `[n]` bool, whether the answer follows from this sentence
          (only `"sentences"`)
        - **question:** `[1, W]` its words (only `"sentences"`)
        - **y:** `[1]` index into `ANSWERS`
        - **question_task:** `[1]` number of the task - 1

    A word has the number 1 + its number in `vocabulary`: 0 is padding.

    Raises:
        OSError: The archive has to be fetched and cannot be, or the questions have to
            be stored and `root` cannot be written.
        TypeError: A number is of another type.
        ValueError: A name is unknown, a number is out of range, or a line of a file
            is wrong; file and line are named.
    """

    task = "classification"
    kind = "graph"
    TASKS = TASKS

    def __init__(
        self,
        root: str,
        split: str = "train",
        tasks: Sequence[int] | None = None,
        version: str = "1k",
        representation: str = "sentences",
        max_sentences: int = 20,
        val_fraction: float = 0.1,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.tasks = _checked_tasks(tasks)
        self.version = check_name("version", version, VERSIONS)
        self.representation = check_name(
            "representation", representation, tuple(REPRESENTATIONS)
        )
        self.max_sentences = check_int("max_sentences", max_sentences, 1)
        self.val_fraction = _checked_fraction(val_fraction, split)
        self.seed = check_int("seed", seed, 0)
        self._archive = _choose_archive(str(root), version)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        content = load_stored(self, self._generate, force_reload=force_reload)
        self.vocabulary = Vocabulary(content["tokens"])
        self.ANSWERS: tuple[str, ...] = tuple(content["answers"])

    @property
    def release(self) -> str:
        """Release of the archive: `"1.2"`, or `"1.1"` where only that is there."""
        return self._archive.release

    @property
    def raw_dir(self) -> str:
        return raw_folder(self.root, self._archive.file_name)

    @property
    def raw_file_names(self) -> str:
        return self._archive.file_name

    @property
    def processed_file_names(self) -> str:
        chosen = "joint"
        if len(self.tasks) < len(TASKS):
            chosen = "tasks" + "-".join(map(str, self.tasks))
        name = (
            f"{self.split}-{chosen}-{self.version}-release{self.release}"
            f"-{self.representation}{self.max_sentences}-val{self.val_fraction!r}"
            f"-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the archive even where the questions are stored.
        return False

    @property
    def num_tokens(self) -> int:
        """Number of words, padding and `<unk>` included."""
        return len(self.vocabulary) + 1

    @property
    def num_answers(self) -> int:
        """Number of answers, `<unk>` included."""
        return len(self.ANSWERS)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names.

        The index of a question within group `g` is the attribute `question_<g>`.
        """
        names = (name.replace("-", " ") for name in TASKS)
        return {"task": tuple(f"{task} {name}" for task, name in enumerate(names, 1))}

    def download(self) -> None:
        """Fetches the archive of release 1.2, which has both versions."""
        fetch_raw(URL, self.raw_paths[0], SHA256)

    def _generate(self) -> dict[str, Any]:
        self._download()
        folder = self._archive.folders[self.version]
        files = read_archive(self.raw_paths[0], folder)
        vocabulary, width = story_words(files)
        answers = Vocabulary.from_texts(
            [question.answer]
            for (_, split), stories in files.items()
            for question in stories.questions
            if split == "train"
        )
        words = WordTable(vocabulary, width)
        make_rows = REPRESENTATIONS[self.representation]
        rows, counts = [], []
        for task in self.tasks:
            stories, questions = self._questions(files, task)
            part, sizes = make_rows(stories, questions, words, self.max_sentences)
            part["y"] = answers.encode([question.answer for question in questions])
            part["question_task"] = torch.full((len(questions),), task - 1)
            each = torch.ones(len(questions), dtype=torch.long)
            rows.append(part)
            counts.append({**sizes, "y": each, "question_task": each})
        return {
            **stored_content(self, *collate_ragged(_joined(rows), _joined(counts))),
            "tokens": list(vocabulary.tokens),
            "answers": list(answers.tokens),
        }

    def _questions(
        self, files: dict[tuple[int, str], Stories], task: int
    ) -> tuple[Stories, list[Question]]:
        """The questions of one task, and the stories that they are about."""
        if self.split == "test":
            stories = files[task, "test"]
            return stories, stories.questions
        stories = files[task, "train"]
        rng = np.random.default_rng([self.seed, task])
        parts = split_questions(stories.questions, self.val_fraction, rng)
        questions = parts[SPLITS.index(self.split)]
        if not questions:
            raise ValueError(
                f"Expected `val_fraction` to leave stories of task {task} for "
                f"{self.split!r}, got {self.val_fraction}, which leaves none."
            )
        return stories, questions


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The attributes of several tasks, one task after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _choose_archive(root: str, version: str) -> Archive:
    """The archive that is there, else the one that can be fetched."""
    known = [archive for archive in ARCHIVES if version in archive.folders]
    for archive in known:
        folder = raw_folder(root, archive.file_name)
        if Path(folder, archive.file_name).is_file():
            return archive
    return known[0]


def _checked_tasks(tasks: Sequence[int] | None) -> tuple[int, ...]:
    if tasks is None:
        return tuple(range(1, len(TASKS) + 1))
    if isinstance(tasks, str) or not isinstance(tasks, Sequence):
        raise TypeError(f"Expected `tasks` to be a list of integers, got {tasks!r}.")
    chosen = [check_int("tasks", task, 1, len(TASKS)) for task in tasks]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"Expected `tasks` to name one or more tasks once each, got {tasks!r}."
        )
    return tuple(sorted(chosen))


def _checked_fraction(value: float, split: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `val_fraction` to be a number, got {value!r}.")
    if not (0 <= value < 1) or (value == 0 and split == "val"):
        least = "above 0" if split == "val" else "at least 0"
        raise ValueError(
            f"Expected `val_fraction` to be {least} and below 1, got {value!r}."
        )
    return float(value)
