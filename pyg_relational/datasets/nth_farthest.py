"""The Nth-farthest dataset."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational._checks import check_bool, check_int, check_name
from pyg_relational.datasets.base import (
    GeneratedDataset,
    Slices,
    collate_stacked,
)

ANSWERS = ("label", "row")
MAX_VECTORS = 8


class NthFarthest(GeneratedDataset):
    r"""Nth farthest of `"Relational recurrent neural networks"
    <https://arxiv.org/abs/1806.01822>`_: which vector is the n-th farthest from
    vector m?

    Vectors are uniform in :math:`(-1, 1)` and carry the labels :math:`0, 1, \ldots`
    in random order; the question names m by its label, and the answer is a label.
    Distances are Euclidean. All vectors are ranked, m itself included, so the last
    rank is always m. The rows of a sample are a set, or a sequence of as many steps:
    their order is random and says nothing.

    By default there are 64,000 samples for training, 2,000 for validation and 5,000 for
    the test. The paper draws new samples in every step; a large fixed training split is
    used here instead.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_vectors (int): Vectors a sample, 2 to 8. (default: `8`)
        dim (int): Dimensions of a vector. (default: `16`)
        answer (str): `"label"`, or `"row"`, the row of the answer in the sample, for
            models that point at an object; labels are unique, so either says the same.
            (default: `"label"`)
        distance (bool): Adds all ordered pairs as edges, with their distance: the
            relation is then an input and needs not be learned. (default: `False`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

    Shapes:
        - **x:** `[v, dim + 3 v]` vector, one-hot label, and the question, the same
          in every row: one-hot n (column 0 is the farthest), one-hot label of m
        - **y:** `[1]` label of the answer, or its row
        - **question_n:** `[1]` n, from 0
        - **edge_index:** `[2, v * v]` all ordered pairs, pairs (i, i) included as in
          layers without `edge_index` (only with `distance`)
        - **edge_attr:** `[v * v, 1]` distance, in standard deviations from the usual
          one (only with `distance`)
    """

    task = "classification"
    kind = "graph"
    sizes = (64000, 2000, 5000)

    def __init__(
        self,
        root: str,
        split: str = "train",
        num_vectors: int = 8,
        dim: int = 16,
        answer: str = "label",
        distance: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_vectors = check_int("num_vectors", num_vectors, 2, MAX_VECTORS)
        self.dim = check_int("dim", dim, 1)
        self.answer = check_name("answer", answer, ANSWERS)
        self.distance = check_bool("distance", distance)
        super().__init__(root, split, **kwargs)

    def _name(self) -> str:
        kind = f"{self.answer}-{'distance' if self.distance else 'plain'}"
        return (
            f"{self.split}-{kind}-samples{self.num_samples}-vectors{self.num_vectors}"
            f"-dim{self.dim}-seed{self.seed}"
        )

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored: n, from 1 (farthest)."""
        return {"n": tuple(str(n) for n in range(1, MAX_VECTORS + 1))}

    def generate(self) -> tuple[Data, Slices]:
        rng = self.stream()
        count, size = self.num_samples, self.num_vectors
        vectors = rng.uniform(-1, 1, (count, size, self.dim))
        labels = rng.permuted(np.tile(np.arange(size), (count, 1)), axis=1)
        n, m = rng.integers(size, size=(2, count))
        distances = pairwise_distances(vectors)
        answer = nth_farthest(distances, labels, n, m)
        if self.answer == "row":
            answer = (labels == answer[:, None]).argmax(axis=1)
        question = torch.cat([_one_hot(n, size), _one_hot(m, size)], dim=1)
        # [B, 2 v] -> [B, v, 2 v]
        question = question[:, None].expand(-1, size, -1)
        values = torch.from_numpy(vectors).float()
        tensors = {
            "x": torch.cat([values, _one_hot(labels, size), question], dim=-1),
            "y": torch.from_numpy(answer)[:, None],
            "question_n": torch.from_numpy(n)[:, None],
        }
        if self.distance:
            pairs = torch.cartesian_prod(*[torch.arange(size)] * 2).T
            tensors["edge_index"] = pairs.expand(count, -1, -1)
            # [B, v, v] -> [B, v * v, 1], pairs in the order of edge_index
            flat = torch.from_numpy(standardised(distances, self.dim)).flatten(1)
            tensors["edge_attr"] = flat.float()[..., None]
        return collate_stacked(tensors)


def pairwise_distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the Euclidean distances `[B, v, v]` of vectors `[B, v, d]`."""
    # One vector at a time: all differences at once would need v times the memory.
    rows = [
        np.linalg.norm(vectors - vectors[:, i, None], axis=-1)
        for i in range(vectors.shape[1])
    ]
    return np.stack(rows, axis=1)


def standardised(distances: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Returns distances in standard deviations from what is usual.

    Coordinates differ by t with E[t^2] = 2/3 and Var[t^2] = 28/45; so the squared
    distance has the mean 2/3 dim, and the distance itself, to first order, the
    variance 28/45 / (4 * 2/3).
    """
    return (distances - np.sqrt(2 * dim / 3)) / np.sqrt(7 / 30)


def nth_farthest(
    distances: NDArray[np.float64],
    labels: NDArray[np.int64],
    n: NDArray[np.int64],
    m: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Returns the labels `[B]` of the n-th farthest vectors from those labelled m."""
    sample = np.arange(len(labels))
    reference = (labels == m[:, None]).argmax(axis=1)
    order = distances[sample, reference].argsort(axis=1)[:, ::-1]
    return labels[sample, order[sample, n]]


def _one_hot(values: NDArray[np.int64], size: int) -> Tensor:
    return one_hot(torch.from_numpy(values), size).float()
