"""bAbI stories as tensors: rows of word numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pyg_relational.datasets.babi_stories import Question, Stories
from pyg_relational.datasets.vocabulary import Vocabulary, tokenize

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
    """Returns the vocabulary of the training files, and the most words in a text.

    Args:
        files (Mapping[tuple[int, str], Stories]): The stories by task and split.
    """
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
    """Returns training and validation questions; those of a story stay together.

    Args:
        questions (Sequence[Question]): The questions of a training file.
        val_fraction (float): Share of the stories for validation, at least one story
            unless it is 0.
        rng (numpy.random.Generator): Chooses the stories.
    """
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
    """Returns the attributes of questions whose sentences are nodes.

    Args:
        stories (Stories): The file of the questions.
        questions (Sequence[Question]): The questions, at least one.
        words (WordTable): Makes rows of words.
        max_sentences (int): The last sentences before a question to keep.
    """
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
