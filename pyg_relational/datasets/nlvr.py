"""The NLVR dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.nlvr_files import (
    BOX_SIZE,
    COLOURS,
    NUM_BOXES,
    TYPES,
    Item,
    Statement,
    read_statements,
)
from pyg_relational.datasets.nlvr_sentences import (
    sentence_vocabulary,
    sentence_words,
    split_statements,
    without_sentences,
)
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)
from pyg_relational.datasets.vocabulary import Vocabulary

SPLITS = ("train", "val", "test")
TRAIN_ON = ("dev", "train")
REPRESENTATIONS = ("objects", "words")
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
FOLDER = "nlvr"
URL = "https://raw.githubusercontent.com/lil-lab/nlvr/master/nlvr"
# That of train.json is not known here.
SHA256 = {
    "dev": "0d312c3d7309393c0e36d286c70b884fb276819699e9f8f2bcea2854ad46537b",
    "test": "9a337ac016455eebe8aef70a6e94977dbcd9e75aec56f0fb09477a9c1038528d",
    "train": None,
}
SCENES = ("tower", "scatter")


class NLVR(InMemoryDataset):
    r"""Is what a person wrote about a scene true? The statements of `"A Corpus of
    Natural Language for Visual Reasoning" <https://aclanthology.org/P17-2034>`_, with
    the objects of three boxes as nodes.

    No sentence, and no near-duplicate of one, is in two splits. The test split is
    `test.json`, whole. With `train_on="dev"`, `dev.json` is divided into training and
    validation by its sentences; with `"train"`, training is `train.json` and
    validation `dev.json`. Of training and validation, what has a sentence in common
    with a later split is left out.

    Args:
        root (str): Folder of the dataset; files go to `root/raw` and
            `root/processed`. Files in the folder `nlvr` of the one that the
            environment variable `PYG_RELATIONAL_DATA` names are read there.
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
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the statements for which it is true;
            its `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

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

    Raises:
        OSError: A file has to be fetched and cannot be, or `root` cannot be written.
        TypeError: A number is of another type.
        ValueError: A name is unknown, a number is out of range, or a line of a file
            is wrong; file and line are named.
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
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.train_on = check_name("train_on", train_on, TRAIN_ON)
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.min_count = check_int("min_count", min_count, 1)
        self.val_fraction = _checked_fraction(val_fraction)
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        content = load_stored(self, self._generate, force_reload=force_reload)
        self.vocabulary = Vocabulary(content["tokens"])

    @property
    def raw_file_names(self) -> list[str]:
        files = ("dev", "test") if self.train_on == "dev" else ("dev", "test", "train")
        return [f"{name}.json" for name in files]

    @property
    def raw_paths(self) -> list[str]:
        return [
            str(Path(raw_folder(self.root, name, FOLDER), name))
            for name in self.raw_file_names
        ]

    @property
    def processed_file_names(self) -> str:
        chosen = ""
        if self.train_on == "dev":
            chosen = f"-val{self.val_fraction!r}-seed{self.seed}"
        name = (
            f"{self.split}-{self.train_on}-{self.representation}"
            f"-count{self.min_count}{chosen}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the files even where the statements are stored.
        return False

    @property
    def num_tokens(self) -> int:
        """Number of words in the vocabulary, `<unk>` included."""
        return len(self.vocabulary)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names."""
        return {"scene": SCENES}

    def download(self) -> None:
        """Fetches the files that are missing."""
        for path in map(Path, self.raw_paths):
            if not path.is_file():
                url = f"{URL}/{path.stem}/{path.name}"
                fetch_raw(url, path, SHA256[path.stem])

    def _generate(self) -> dict[str, Any]:
        self._download()
        parts = self._split_files()
        vocabulary = sentence_vocabulary(parts["train"], self.min_count)
        rows, counts = statement_rows(parts[self.split], vocabulary)
        if self.representation == "words":
            for part in (rows, counts):
                part["x"] = part.pop("sentence")
                del part["box"]
        content = stored_content(self, *collate_ragged(rows, counts))
        return {**content, "tokens": list(vocabulary.tokens)}

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


def statement_rows(
    statements: list[Statement], vocabulary: Vocabulary
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the attributes of statements, one after the other, and their counts.

    Args:
        statements (list[Statement]): The statements, at least one.
        vocabulary (Vocabulary): The words.
    """
    sentence = [vocabulary.encode(sentence_words(s.sentence)) for s in statements]
    sizes = [[len(box) for box in s.boxes] for s in statements]
    # [statements, 3] -> [N]: the boxes of a statement follow each other.
    boxes = torch.arange(NUM_BOXES).repeat(len(statements))
    box = boxes.repeat_interleave(torch.tensor(sizes).flatten())
    items = [item for s in statements for box_items in s.boxes for item in box_items]
    one_each = torch.ones(len(statements), dtype=torch.long)
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
    counts = {"x": nodes, "box": nodes, "sentence": words}
    single = dict.fromkeys(("identifier", "y", "question_scene"), one_each)
    return rows, {**counts, **single}


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


def _checked_fraction(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `val_fraction` to be a number, got {value!r}.")
    if not 0 < value < 1:
        raise ValueError(
            f"Expected `val_fraction` to be above 0 and below 1, got {value!r}."
        )
    return float(value)
