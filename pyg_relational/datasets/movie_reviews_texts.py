"""The texts of film reviews: reading, words and splits."""

import csv
import io

import numpy as np

from pyg_relational.datasets.vocabulary import tokenize

SPLITS = ("train", "val", "test")
SOURCES = ("rotten-tomatoes", "imdb")
COLUMNS = ("text", "label", "source")
# Shares of the validation and of the test split.
SHARES = (0.1, 0.1)


def read_reviews(content: str, source: str) -> tuple[list[list[str]], np.ndarray]:
    """Returns the words of each text of one source, and the labels.

    Args:
        content (str): CSV with the columns `text`, `label` and `source`.
        source (str): One of `SOURCES`.

    Raises:
        ValueError: A column is missing, a label is not 0 or 1, or a text is empty.
    """
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
    """Splits a review into words; its HTML line breaks are dropped.

    Args:
        text (str): A sentence or a whole review.
    """
    return tokenize(text.replace("<br />", " "))


def split_texts(texts: list[list[str]], labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the index into `SPLITS` of each text.

    Args:
        texts (list[list[str]]): The words of each text; equal ones go together.
        labels (np.ndarray): `[n]`; each label is split in the same shares.
        seed (int): Seed of the draw.
    """
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
