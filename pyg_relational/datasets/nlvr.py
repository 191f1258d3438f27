"""The NLVR dataset."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational._checks import check_fraction, check_int, check_name
from pyg_relational.datasets.base import (
    Counts,
    Rows,
    Slices,
    StoredDataset,
    collate_ragged,
    held_out,
)
from pyg_relational.datasets.downloads import RawFile
from pyg_relational.datasets.tables import parse_lines
from pyg_relational.datasets.vocabulary import UNKNOWN, Vocabulary, tokenize

URL = "https://raw.githubusercontent.com/lil-lab/nlvr/master/nlvr"
# That of train.json is not known here.
SHA256 = {
    "dev": "0d312c3d7309393c0e36d286c70b884fb276819699e9f8f2bcea2854ad46537b",
    "test": "9a337ac016455eebe8aef70a6e94977dbcd9e75aec56f0fb09477a9c1038528d",
    "train": None,
}
TRAIN_ON = ("dev", "train")
REPRESENTATIONS = ("objects", "words")
SCENES = ("tower", "scatter")
NUM_BOXES = 3
# The width of a box in pixels.
BOX_SIZE = 100
TYPES = ("circle", "square", "triangle")
COLOURS = ("yellow", "black", "blue")
# As the files write them, in lower case.
COLOUR_NAMES = {"yellow": 0, "black": 1, "#0099ff": 2}
LABELS = {"false": 0, "true": 1}
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


class Item(NamedTuple):
    """An object: pixels from the left and the top of its box, and names by number."""

    x: float
    y: float
    size: float
    type: int
    colour: int


class Statement(NamedTuple):
    """A sentence, the boxes it is about, and whether it is true of them.

    `identifier` is (n, m), written `n-m` in the files: scene m of those that the
    author of sentence n was shown.
    """

    identifier: tuple[int, int]
    sentence: str
    label: int
    boxes: tuple[tuple[Item, ...], ...]


class NLVR(StoredDataset):
    r"""Is what a person wrote about a scene true? The statements of `"A Corpus of
    Natural Language for Visual Reasoning" <https://aclanthology.org/P17-2034>`_, with
    the objects of three boxes as nodes.

    No sentence, and no near-duplicate of one, is in two splits. The test split is
    `test.json`, whole. With `train_on="dev"`, `dev.json` is divided into training and
    validation by its sentences; with `"train"`, training is `train.json` and
    validation `dev.json`. Of training and validation, what has a sentence in common
    with a later split is left out.

    Args:
        root (str): Folder of the dataset; files may also lie in the folder `nlvr` of
            `PYG_RELATIONAL_DATA`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        train_on (str): `"dev"` (about 700 statements) or `"train"` (about 12,000,
            from a file of 12 MB). (default: `"dev"`)
        representation (str): `"objects"`, with the sentence beside them, or `"words"`,
            where the words of the sentence are all there is.
            (default: `"objects"`)
        min_count (int): Words of fewer training sentences become `<unk>`.
            (default: `2`)
        val_fraction (float): Share of the sentences of `dev.json` for validation,
            without effect for `train_on="train"`. (default: `0.2`)
        seed (int): Seed of that choice, not negative. (default: `0`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[n, 12]` place of the upper left corner and size, in widths of a
          box; type, colour and box, one-hot in the order of `TYPES`, `COLOURS` and
          the boxes; with `"words"` `[T]` int64, the sentence
        - **box:** `[n]` number of the box from 0 (only `"objects"`)
        - **sentence:** `[T]` int64, numbers of the words in `vocabulary` (only
          `"objects"`)
        - **identifier:** `[1, 2]` numbers of the sentence and of the scene in the file
        - **y:** `[1]` 1 if the sentence is true of the scene, else 0
        - **question_scene:** `[1]` index into the groups of scenes: towers of blocks,
          or scattered objects
    """

    task = "classification"
    kind = "graph"
    ANSWERS = ("false", "true")
    num_answers = len(ANSWERS)
    TYPES = TYPES
    COLOURS = COLOURS

    def __init__(
        self,
        root: str,
        split: str = "train",
        train_on: str = "dev",
        representation: str = "objects",
        min_count: int = 2,
        val_fraction: float = 0.2,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.train_on = check_name("train_on", train_on, TRAIN_ON)
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.min_count = check_int("min_count", min_count, 1)
        self.val_fraction = check_fraction("val_fraction", val_fraction)
        self.seed = check_int("seed", seed, 0)
        super().__init__(root, split, **kwargs)
        self.vocabulary = Vocabulary(self.extras["tokens"])

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        names = ("dev", "test") if self.train_on == "dev" else ("dev", "test", "train")
        return tuple(
            RawFile(f"{name}.json", f"{URL}/{name}/{name}.json", SHA256[name], "nlvr")
            for name in names
        )

    @property
    def num_tokens(self) -> int:
        """Number of words in the vocabulary, `<unk>` included."""
        return len(self.vocabulary)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        return {"scene": SCENES}

    def _name(self) -> str:
        chosen = ""
        if self.train_on == "dev":
            chosen = f"-val{self.val_fraction!r}-seed{self.seed}"
        return (
            f"{self.split}-{self.train_on}-{self.representation}"
            f"-count{self.min_count}{chosen}"
        )

    def generate(self) -> tuple[Data, Slices]:
        parts = self._split_files()
        vocabulary = sentence_vocabulary(parts["train"], self.min_count)
        self.extras["tokens"] = list(vocabulary.tokens)
        rows, counts = statement_rows(parts[self.split], vocabulary)
        if self.representation == "words":
            for part in (rows, counts):
                part["x"] = part.pop("sentence")
                del part["box"]
        return collate_ragged(rows, counts)

    def _split_files(self) -> dict[str, list[Statement]]:
        """The statements of each split."""
        files = {Path(path).stem: read_statements(path) for path in self.raw_paths}
        test = files["test"]
        val = without_sentences(files["dev"], test)
        if self.train_on == "train":
            train = without_sentences(files["train"], files["dev"] + test)
        else:
            rng = np.random.default_rng(self.seed)
            train, val = split_statements(val, self.val_fraction, rng)
        parts = {"train": train, "val": val, "test": test}
        for name, part in parts.items():
            if not part:
                raise ValueError(
                    f"Expected sentences in dev.json for every split, got none for "
                    f"{name!r} with `val_fraction` {self.val_fraction}; choose another "
                    "one, or add sentences that test.json does not have."
                )
        return parts


def read_statements(path: str | Path) -> list[Statement]:
    """Reads a file of statements, one JSON document a line."""
    path = Path(path)
    return parse_lines(path.read_bytes(), path.name, parse_statement)


def parse_statement(line: str) -> Statement:
    """Reads one line."""
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected a JSON document ({error.msg} at character {error.pos + 1})"
        ) from error
    except RecursionError as error:
        raise ValueError("expected a JSON document, got lists of lists") from error
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    sentence = _text(content, "sentence")
    if not tokenize(sentence):
        raise ValueError("expected 'sentence' to have words")
    boxes = _field(content, "structured_rep")
    if not isinstance(boxes, list) or len(boxes) != NUM_BOXES:
        raise ValueError(f"expected 'structured_rep' to be a list of {NUM_BOXES} boxes")
    return Statement(
        _identifier(_text(content, "identifier")),
        sentence,
        _number_of(content, "label", LABELS),
        tuple(_box(box, number) for number, box in enumerate(boxes, 1)),
    )


def _box(box: Any, number: int) -> tuple[Item, ...]:
    if not isinstance(box, list):
        raise ValueError(f"expected box {number} to be a list of objects")
    try:
        return tuple(_item(item) for item in box)
    except ValueError as error:
        raise ValueError(f"box {number}: {error}") from error


def _item(item: Any) -> Item:
    if not isinstance(item, dict):
        raise ValueError(f"expected an object, got {item!r}")
    types = {name: number for number, name in enumerate(TYPES)}
    return Item(
        _pixels(item, "x_loc"),
        _pixels(item, "y_loc"),
        _pixels(item, "size"),
        _number_of(item, "type", types),
        _number_of(item, "color", COLOUR_NAMES),
    )


def _field(content: dict[str, Any], name: str) -> Any:
    if name not in content:
        raise ValueError(f"{name!r} is missing")
    return content[name]


def _text(content: dict[str, Any], name: str) -> str:
    value = _field(content, name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected {name!r} to be a text, got {value!r}")
    return value


def _identifier(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)-([0-9]+)", value)
    if not found:
        raise ValueError(f"expected 'identifier' to be like '12-3', got {value!r}")
    return int(found[1]), int(found[2])


def _number_of(content: dict[str, Any], name: str, known: dict[str, int]) -> int:
    value = _field(content, name)
    key = value.lower() if isinstance(value, str) else None
    if key not in known:
        raise ValueError(
            f"expected {name!r} to be one of {', '.join(known)}, got {value!r}"
        )
    return known[key]


def _pixels(content: dict[str, Any], name: str) -> float:
    value = _field(content, name)
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not 0 <= value <= BOX_SIZE:
        raise ValueError(
            f"expected {name!r} to be a number from 0 to {BOX_SIZE}, got {value!r}"
        )
    return float(value)


def sentence_words(sentence: str) -> list[str]:
    """Splits a sentence into words; digits and some misspellings become words."""
    words: list[str] = []
    for token in tokenize(sentence):
        words += SPELLING.get(token, (DIGITS.get(token, token),))
    return words


def sentence_key(sentence: str) -> str:
    """Returns what near-duplicates have in common.

    Sentences that differ in case, punctuation, articles, a final `s`, or in `2` for
    `two`, are near-duplicates."""
    words = [word for word in sentence_words(sentence) if _WORD.match(word)]
    kept = [word for word in words if word not in ARTICLES]
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in kept)


def without_sentences(
    statements: Iterable[Statement], others: Iterable[Statement]
) -> list[Statement]:
    """Returns the statements that share no sentence, or near-duplicate of one, with
    others."""
    known = {sentence_key(statement.sentence) for statement in others}
    return [
        statement
        for statement in statements
        if sentence_key(statement.sentence) not in known
    ]


def split_statements(
    statements: Sequence[Statement], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Statement], list[Statement]]:
    """Returns training and validation statements, which share no sentence."""
    keys = [sentence_key(statement.sentence) for statement in statements]
    held = held_out(keys, val_fraction, rng)
    parts: tuple[list[Statement], list[Statement]] = ([], [])
    for key, statement in zip(keys, statements, strict=True):
        parts[key in held].append(statement)
    return parts


def sentence_vocabulary(statements: Iterable[Statement], min_count: int) -> Vocabulary:
    """Returns the vocabulary of training statements.

    The words that `AugmentNLVR` looks for come first, wherever they occur."""
    # A sentence comes with several scenes.
    sentences = sorted({statement.sentence for statement in statements})
    texts = ([*dict.fromkeys(sentence_words(sentence))] for sentence in sentences)
    counted = Vocabulary.from_texts(texts, min_count).tokens[1:]
    fixed = set(FIXED_WORDS)
    return Vocabulary(
        [UNKNOWN, *FIXED_WORDS, *(word for word in counted if word not in fixed)]
    )


def statement_rows(
    statements: list[Statement], vocabulary: Vocabulary
) -> tuple[Rows, Counts]:
    """Returns the attributes of statements."""
    sentence = [vocabulary.encode(sentence_words(s.sentence)) for s in statements]
    sizes = [[len(box) for box in s.boxes] for s in statements]
    # [statements, 3] -> [N]: the boxes of a statement follow each other.
    boxes = torch.arange(NUM_BOXES).repeat(len(statements))
    box = boxes.repeat_interleave(torch.tensor(sizes).flatten())
    items = [item for s in statements for box_items in s.boxes for item in box_items]
    rows = {
        "x": _features(items, box),
        "box": box,
        "sentence": torch.cat(sentence),
        "identifier": torch.tensor([s.identifier for s in statements]),
        "y": torch.tensor([s.label for s in statements]),
        "question_scene": torch.tensor([int(not _is_tower(s)) for s in statements]),
    }
    nodes = torch.tensor(sizes).sum(dim=1)
    words = torch.tensor([len(ids) for ids in sentence])
    return rows, {"x": nodes, "box": nodes, "sentence": words}


def _features(items: list[Item], box: Tensor) -> Tensor:
    # [N, 5]
    raw = torch.tensor(items, dtype=torch.float).view(-1, len(Item._fields))
    names = [
        one_hot(raw[:, 3].long(), len(TYPES)),
        one_hot(raw[:, 4].long(), len(COLOURS)),
        one_hot(box, NUM_BOXES),
    ]
    return torch.cat([raw[:, :3] / BOX_SIZE, *names], dim=1)


def _is_tower(statement: Statement) -> bool:
    """Whether the objects are blocks on top of each other."""
    items = [item for box in statement.boxes for item in box]
    squares = all(item.type == TYPES.index("square") for item in items)
    return squares and len({(item.x, item.size) for item in items}) <= 1
