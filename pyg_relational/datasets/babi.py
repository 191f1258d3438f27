"""The bAbI dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.babi_stories import (
    ARCHIVES,
    TASKS,
    Archive,
    Question,
    Stories,
    read_archive,
)
from pyg_relational.datasets.babi_tensors import (
    WordTable,
    sentence_rows,
    split_questions,
    story_words,
    word_rows,
)
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)
from pyg_relational.datasets.vocabulary import Vocabulary

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
