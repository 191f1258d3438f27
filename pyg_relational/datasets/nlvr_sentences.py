"""The sentences of NLVR: their words, and which of them are the same."""

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from pyg_relational.datasets.nlvr_files import COLOURS, TYPES, Statement
from pyg_relational.datasets.vocabulary import UNKNOWN, Vocabulary, tokenize

# The words that `AugmentNLVR` looks for: they have the same numbers in every
# vocabulary, after `<unk>`.
PLURALS = tuple(f"{name}s" for name in TYPES)
SIDES = ("left", "right")
BLOCKS = ("block", "blocks")
FIXED_WORDS = (*COLOURS, *TYPES, *PLURALS, *SIDES, *BLOCKS)
DIGITS = dict(
    zip(
        "123456789",
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        strict=True,
    )
)
# Misspellings in dev.json of words that mean an attribute.
SPELLING = {
    "ablue": ("a", "blue"),
    "blccks": ("blocks",),
    "cirlce": ("circle",),
    "squere": ("square",),
}
ARTICLES = ("a", "an", "the")
_WORD = re.compile(r"\w")


def sentence_words(sentence: str) -> list[str]:
    """Splits a sentence into words; digits and some misspellings become words.

    Args:
        sentence (str): The sentence.
    """
    words: list[str] = []
    for token in tokenize(sentence):
        words += SPELLING.get(token, (DIGITS.get(token, token),))
    return words


def sentence_key(sentence: str) -> str:
    """Returns what near-duplicates have in common.

    Sentences that differ in case, punctuation, articles, a final `s`, or in `2` for
    `two`, are near-duplicates.

    Args:
        sentence (str): The sentence.
    """
    words = [word for word in sentence_words(sentence) if _WORD.match(word)]
    kept = [word for word in words if word not in ARTICLES]
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in kept)


def without_sentences(
    statements: Iterable[Statement], others: Iterable[Statement]
) -> list[Statement]:
    """Returns the statements that share no sentence, or near-duplicate of one, with
    others.

    Args:
        statements (Iterable[Statement]): Where to choose from.
        others (Iterable[Statement]): What not to share sentences with.
    """
    known = {sentence_key(statement.sentence) for statement in others}
    return [
        statement
        for statement in statements
        if sentence_key(statement.sentence) not in known
    ]


def split_statements(
    statements: Sequence[Statement], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Statement], list[Statement]]:
    """Returns training and validation statements, which share no sentence.

    Args:
        statements (Sequence[Statement]): The statements.
        val_fraction (float): Share of the sentences for validation.
        rng (numpy.random.Generator): Chooses the sentences.
    """
    keys = sorted({sentence_key(statement.sentence) for statement in statements})
    size = round(len(keys) * val_fraction)
    held: Collection[str] = {keys[i] for i in rng.permutation(len(keys))[:size]}
    parts: tuple[list[Statement], list[Statement]] = ([], [])
    for statement in statements:
        parts[sentence_key(statement.sentence) in held].append(statement)
    return parts


def sentence_vocabulary(statements: Iterable[Statement], min_count: int) -> Vocabulary:
    """Returns the vocabulary of training statements.

    The words that `AugmentNLVR` looks for come first, wherever they occur.

    Args:
        statements (Iterable[Statement]): The training statements.
        min_count (int): Words of fewer sentences are left out.
    """
    # A sentence comes with several scenes.
    sentences = sorted({statement.sentence for statement in statements})
    texts = ([*dict.fromkeys(sentence_words(sentence))] for sentence in sentences)
    counted = Vocabulary.from_texts(texts, min_count).tokens[1:]
    fixed = set(FIXED_WORDS)
    return Vocabulary(
        [UNKNOWN, *FIXED_WORDS, *(word for word in counted if word not in fixed)]
    )
