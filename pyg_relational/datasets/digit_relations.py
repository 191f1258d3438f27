"""Relations between two handwritten digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from pyg_relational._checks import check_int, check_name
from pyg_relational._extras import require
from pyg_relational.datasets.base import SPLITS, Transform, split_size
from pyg_relational.datasets.embedding_cache import EmbeddingCache
from pyg_relational.encoders.images import (
    EfficientNetLite0,
    image_features,
    read_image,
    resized,
    weights_key,
)

# Rows of scikit-learn's file; each part begins with a new form.
ROWS = {"train": (0, 1157), "val": (1157, 1415), "test": (1415, 1797)}
REPRESENTATIONS = ("features", "pixels", "images")
RELATIONS = ("same", "one more", "one less", "larger", "smaller")
# What features are: feature maps of these stages, of digits scaled to this side.
STAGES, SIDE, GRID = (3, 4), 32, 4
# Pictures of single digits are 8 x 8 counts of ink, as scikit-learn's are.
CELLS = 8
# A count of 4 x 4 points, ink or none.
LEVELS = 16
# What the brightness of paper and ink must differ by, of 255.
MIN_CONTRAST = 50.0


def digit_from_image(image: Tensor, name: str = "image") -> Tensor:
    """Returns a picture of one digit as the digits of scikit-learn are.

    They are scans of 32 x 32 points, ink or none, reduced to counts in cells of
    4 x 4. The edge of the picture says what is paper; ink may be darker or lighter.
    What is ink is cut out, scaled to the full height and set in the middle."""
    weights = image.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)
    # [3, H, W] -> [H, W]
    grey = torch.tensordot(weights, image.float(), dims=1)
    edge = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = (grey - edge.median()).abs()
    contrast = float(ink.max())
    if contrast < MIN_CONTRAST:
        raise ValueError(
            f"{name!r} shows no digit: its brightness differs by {contrast:.0f} of 255 "
            f"from that of its edge, at least {MIN_CONTRAST:.0f} is expected. Take a "
            "picture of one digit on plain paper."
        )
    points = _square(ink / contrast)
    # [32, 32] -> [8, 4, 8, 4] -> [8, 8]
    cells = (points > 0.5).view(CELLS, 4, CELLS, 4).sum(dim=(1, 3))
    return cells.to(torch.uint8)


def digit_pixels(digits: Tensor | np.ndarray) -> Tensor:
    """Returns digits `[N, 8, 8]` of 0 to 16 as images `[N, 1, 8, 8]` of 0 to 255."""
    values = torch.as_tensor(digits).float() * (255 / LEVELS)
    return values.round().to(torch.uint8).unsqueeze(1)


def _square(ink: Tensor) -> Tensor:
    """What of a picture `[H, W]` has ink, in the middle of 32 x 32 points, in the shape
    it has."""
    rows = (ink > 0.5).any(dim=1).nonzero()
    columns = (ink > 0.5).any(dim=0).nonzero()
    ink = ink[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    side = 4 * CELLS
    scale = side / max(ink.shape)
    height, width = (max(1, round(length * scale)) for length in ink.shape)
    scaled = resized(ink[None, None], (height, width))[0, 0]
    points = ink.new_zeros(side, side)
    top, left = (side - height) // 2, (side - width) // 2
    points[top : top + height, left : left + width] = scaled
    return points


class DigitRelations(Dataset):
    r"""Pairs of real handwritten digits: what is the second to the first?

    The digits are those of scikit-learn (extra `data`), 1,797 of 8 x 8 pixels; nothing
    is downloaded. The relations are `"same"`, `"one more"`, `"one less"`, `"larger"`
    (by two or more) and `"smaller"`, each in a fifth of the pairs. Of a relation, the
    two digits and then their images are drawn from `seed`, both from the same split.

    The file consists of 14 filled-in forms, which its labels show. Splits are whole
    forms: nine to train on, two for validation, three for the test. Forms are by
    different writers as far as is known: 13 writers are said to have filled the 14.

    Args:
        root (str): Folder of the dataset; features go to `root/embeddings`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"features"` (of a pretrained EfficientNet-Lite0, extra
            `vision`), `"pixels"` (rows of 64) or `"images"` (for a model with an
            encoder). (default: `"features"`)
        num_train (int): Pairs in the training split. (default: `20000`)
        num_val (int): Pairs in the validation split. (default: `2000`)
        num_test (int): Pairs in the test split. (default: `5000`)
        seed (int): Seed of the pairs, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)

    Shapes:
        - **x:** the two images: `[2, 960]` features or `[2, 64]` pixels, in standard
          deviations from the mean of the training digits; or `[2, 1, 8, 8]` uint8
        - **edge_label_index:** `[2, 1]` from the first to the second
        - **y:** `[1]` index into `ANSWERS`
        - **question_relation:** `[1]` the same, by which answers are scored
        - **digits:** `[2]` the digits

    Raises:
        ModuleNotFoundError: A package is needed and not installed.
        OSError: Features have to be stored and `root` cannot be written.
        TypeError: A size or the seed is not an integer.
        ValueError: A name is unknown, or a size or the seed is out of range.
    """

    task = "classification"
    ANSWERS = RELATIONS
    num_answers = len(RELATIONS)
    # What `data_from_inputs` takes, for pictures of an answer.
    INPUTS = "images"

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "features",
        num_train: int = 20000,
        num_val: int = 2000,
        num_test: int = 5000,
        seed: int = 0,
        transform: Transform | None = None,
    ) -> None:
        size = split_size(split, num_train, num_val, num_test)
        self.split = split
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform)
        start, end = ROWS[split]
        digits, labels = load_digits()
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        rows, relation = sample_pairs(labels[start:end], size, rng)
        self.pairs = torch.from_numpy(rows + start)
        self.y = torch.from_numpy(relation)
        self.labels = torch.from_numpy(labels)
        self.table = _rows(digits, self.root, representation)

    def len(self) -> int:
        """Returns the number of pairs."""
        return len(self.pairs)

    def get(self, idx: int) -> Data:
        """Returns a pair: its rows of the table that all pairs share."""
        pair, y = self.pairs[idx], self.y[idx : idx + 1]
        return Data(
            x=self.table[pair],
            edge_label_index=torch.tensor([[0], [1]]),
            y=y,
            question_relation=y,
            digits=self.labels[pair],
        )

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored: the relations."""
        return {"relation": RELATIONS}

    @classmethod
    def data_from_inputs(
        cls,
        inputs: Sequence[str],
        root: str,
        representation: str = "features",
        **args: Any,
    ) -> Data:
        """Returns two image files of the user as a model takes them.

        Args:
            inputs (Sequence[str]): The files, each a picture of one digit.
            root (str): Folder of the dataset.
            representation (str): As for the dataset. (default: `"features"`)
            args (Any): The other arguments of the dataset, not needed.

        Shapes:
            - **seen:** `[2, 8, 8]` uint8, the digits as they are compared, 0 to 16

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: There are not two files, or one shows no digit.
        """
        if len(inputs) != 2:
            raise ValueError(f"Expected two image files, got {len(inputs)}.")
        own = [digit_from_image(read_image(name), str(name)) for name in inputs]
        seen = torch.stack(own)
        return Data(
            x=_rows(seen.numpy(), root, representation),
            edge_label_index=torch.tensor([[0], [1]]),
            y=torch.zeros(1, dtype=torch.long),
            seen=seen,
        )


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's digits, `[1797, 8, 8]` uint8 of 0 to 16, and their labels
    `[1797]`."""
    bunch = require("sklearn.datasets", "data").load_digits()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.int64)


def sample_pairs(
    labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs of different rows of `labels`, and their relations."""
    difference = np.arange(10) - np.arange(10)[:, None]
    relation = rng.permutation(np.arange(count) % len(RELATIONS))
    digits = np.empty((count, 2), dtype=np.int64)
    for number in range(len(RELATIONS)):
        allowed = np.argwhere(relation_of(difference) == number)
        places = np.flatnonzero(relation == number)
        digits[places] = allowed[rng.integers(len(allowed), size=len(places))]
    # Rows sorted by digit: those of a digit lie between two bounds.
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=10)
    starts = np.cumsum(sizes) - sizes
    chosen = rng.integers(sizes[digits])
    # The second image of the same digit is another one.
    step = rng.integers(1, sizes[digits[:, 0]])
    same = digits[:, 0] == digits[:, 1]
    other = (chosen[:, 0] + step) % sizes[digits[:, 0]]
    chosen[:, 1] = np.where(same, other, chosen[:, 1])
    return order[starts[digits] + chosen], relation


def relation_of(difference: np.ndarray) -> np.ndarray:
    """Returns the number of the relation in `RELATIONS` of the second digit less the
    first."""
    choices = [difference == 0, difference == 1, difference == -1, difference > 1]
    return np.select(choices, range(4), default=4)


def _rows(digits: np.ndarray, root: str, representation: str) -> Tensor:
    """Digits `[N, 8, 8]` in a representation."""
    if representation == "images":
        return digit_pixels(digits)
    encode = _features if representation == "features" else _pixels
    training = load_digits()[0][slice(*ROWS["train"])]
    both = encode(np.concatenate([training, digits]), root)
    known, rows = both[: len(training)], both[len(training) :]
    deviation = known.std(dim=0, correction=0)
    # Cells that never hold ink have none.
    deviation = torch.where(deviation > 1e-3, deviation, 1.0)
    return (rows - known.mean(dim=0)) / deviation


def _pixels(digits: np.ndarray, root: str) -> Tensor:
    # [N, 8, 8] -> [N, 64]
    return torch.from_numpy(digits).flatten(1).float()


def _features(digits: np.ndarray, root: str) -> Tensor:
    key = f"{weights_key()} stages={STAGES} side={SIDE} grid={GRID} of 8x8 digits"
    network: list[EfficientNetLite0] = []

    def encode(places: list[int]) -> list[Tensor]:
        if not network:
            network.append(EfficientNetLite0(STAGES).eval())
        return list(
            image_features(network[0], digit_pixels(digits[places]), SIDE, GRID)
        )

    cache = EmbeddingCache(Path(root) / "embeddings", key)
    return torch.stack(cache.embeddings([d.tobytes() for d in digits], encode))
