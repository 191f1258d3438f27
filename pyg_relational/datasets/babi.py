"""The bAbI dataset."""

import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_fraction, check_int, check_name
from pyg_relational.datasets.base import (
    SPLITS,
    Counts,
    Rows,
    Slices,
    StoredDataset,
    collate_ragged,
    held_out,
)
from pyg_relational.datasets.downloads import RawFile
from pyg_relational.datasets.tables import parse_lines
from pyg_relational.datasets.vocabulary import Vocabulary, tokenize

URL = "http://www.thespermwhale.com/jaseweston/babi/tasks_1-20_v1-2.tar.gz"
# As recorded for this address in the card `babi_qa` of Hugging Face datasets.
SHA256 = "0364ebde659f14d11bc21744516c5ec49d3d06cb692733f66680771244998898"
# The largest file of release 1.2 has about 5 MB; more would be another archive.
MAX_FILE_BYTES = 64 * 2**20
# All versions of all languages together have 0.2 GB.
MAX_ARCHIVE_BYTES = 2**31
VERSIONS = ("1k", "10k")
REPRESENTATIONS = ("sentences", "words")
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


class Archive(NamedTuple):
    """An archive of bAbI: its release, file name, and folder of each version."""

    release: str
    file_name: str
    folders: dict[str, str]


# The first that is found is read, else the first is fetched.
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


class BAbI(StoredDataset):
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
        root (str): Folder of the dataset; an archive may also lie in the folder that
            `PYG_RELATIONAL_DATA` names.
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
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

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
        **kwargs: Any,
    ) -> None:
        self.tasks = _checked_tasks(tasks)
        self.version = check_name("version", version, VERSIONS)
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.max_sentences = check_int("max_sentences", max_sentences, 1)
        self.val_fraction = check_fraction(
            "val_fraction", val_fraction, zero=split != "val"
        )
        self.seed = check_int("seed", seed, 0)
        known = [archive for archive in ARCHIVES if version in archive.folders]
        there = (archive for archive in known if _file(archive).path(root).is_file())
        self._archive = next(there, known[0])
        super().__init__(root, split, **kwargs)
        self.vocabulary = Vocabulary(self.extras["tokens"])
        self.ANSWERS: tuple[str, ...] = tuple(self.extras["answers"])

    @property
    def release(self) -> str:
        """Release of the archive: `"1.2"`, or `"1.1"` where only that is there."""
        return self._archive.release

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        return (_file(self._archive),)

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
        names = (name.replace("-", " ") for name in TASKS)
        return {"task": tuple(f"{task} {name}" for task, name in enumerate(names, 1))}

    def _name(self) -> str:
        chosen = "joint"
        if len(self.tasks) < len(TASKS):
            chosen = "tasks" + "-".join(map(str, self.tasks))
        return (
            f"{self.split}-{chosen}-{self.version}-release{self.release}"
            f"-{self.representation}{self.max_sentences}-val{self.val_fraction!r}"
            f"-seed{self.seed}"
        )

    def generate(self) -> tuple[Data, Slices]:
        folder = self._archive.folders[self.version]
        files = read_archive(self.raw_paths[0], folder)
        vocabulary, words = word_table(files)
        answers = Vocabulary.from_texts(
            [question.answer]
            for (_, split), stories in files.items()
            for question in stories.questions
            if split == "train"
        )
        self.extras["tokens"] = list(vocabulary.tokens)
        self.extras["answers"] = list(answers.tokens)
        make_rows = word_rows if self.representation == "words" else sentence_rows
        rows, counts = [], []
        for task in self.tasks:
            stories, questions = self._questions(files, task)
            part, sizes = make_rows(stories, questions, words, self.max_sentences)
            part["y"] = answers.encode([question.answer for question in questions])
            part["question_task"] = torch.full((len(questions),), task - 1)
            rows.append(part)
            counts.append(sizes)
        return collate_ragged(_joined(rows), _joined(counts))

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


def _file(archive: Archive) -> RawFile:
    return RawFile(archive.file_name, URL, SHA256)


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


def parse_stories(content: bytes, name: str) -> Stories:
    r"""Reads the stories of a file.

    A line is `ID sentence` or `ID question<TAB>answer<TAB>IDs of supporting facts`;
    number 1 starts a story."""
    reader = _Reader()
    parse_lines(content, name, reader.read)
    return reader.stories


class _Reader:
    """Reads the lines of one file; errors say what is wrong with the line."""

    def __init__(self) -> None:
        self.stories = Stories([], [])
        self._story = -1
        self._last_id = 0
        self._first = 0
        self._row_of_id: dict[int, int] = {}

    def read(self, line: str) -> None:
        digits, _, rest = line.partition(" ")
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


def word_table(
    files: Mapping[tuple[int, str], Stories],
) -> tuple[Vocabulary, dict[str, np.ndarray]]:
    """Returns the vocabulary of the training files, and the words of each text of all
    files, padded with 0 to those of the longest.

    A word has the number 1 + its number in the vocabulary."""
    tokens: dict[str, list[str]] = {}
    training: list[list[str]] = []
    for (_, split), stories in files.items():
        asked = [question.text for question in stories.questions]
        for text in stories.sentences + asked:
            if text not in tokens:
                tokens[text] = tokenize(text)
            if split == "train":
                training.append(tokens[text])
    vocabulary = Vocabulary.from_texts(training)
    width = max(map(len, tokens.values()))
    words = {text: np.zeros(width, np.int64) for text in tokens}
    for text, row in words.items():
        row[: len(tokens[text])] = vocabulary.encode(tokens[text]).numpy() + 1
    return vocabulary, words


def split_questions(
    questions: Sequence[Question], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Question], list[Question]]:
    """Returns training and validation questions; those of a story stay together."""
    stories = (question.story for question in questions)
    held = held_out(stories, val_fraction, rng, least=int(val_fraction > 0))
    training = [question for question in questions if question.story not in held]
    return training, [question for question in questions if question.story in held]


def sentence_rows(
    stories: Stories,
    questions: Sequence[Question],
    words: Mapping[str, np.ndarray],
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
        "x": _rows(words, stories.sentences)[rows],
        "position": stop[owner] - 1 - rows,
        "supporting": facts,
        "question": _rows(words, (question.text for question in questions)),
    }
    nodes = torch.from_numpy(counts)
    sizes = {"x": nodes, "position": nodes, "supporting": nodes}
    return {name: torch.from_numpy(value) for name, value in values.items()}, sizes


def word_rows(
    stories: Stories,
    questions: Sequence[Question],
    words: Mapping[str, np.ndarray],
    max_sentences: int,
) -> tuple[Rows, Counts]:
    """Returns the attributes of questions whose words are steps: those of the
    sentences, then those of the question; arguments as for `sentence_rows`."""
    rows, counts = _kept_sentences(questions, max_sentences)
    ends = counts.cumsum()
    asked = _rows(words, (question.text for question in questions))
    # [sentences + questions, W], each question after its sentences
    texts = np.insert(_rows(words, stories.sentences)[rows], ends, asked, axis=0)
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


def _rows(words: Mapping[str, np.ndarray], texts: Iterable[str]) -> np.ndarray:
    return np.stack([words[text] for text in texts])
