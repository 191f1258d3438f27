"""Targets of scenes, and relations as labels of pairs."""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scene_attributes import Attribute
from pyg_relational.data.scene_columns import read_column

IGNORED = -100  # what `torch.nn.functional.cross_entropy` leaves out
CLASSES = ("category", "boolean")


def read_targets(
    attributes: Sequence[Attribute], rows: list[dict[Hashable, Any]]
) -> NDArray[Any]:
    """Returns the targets: classes as integers, `[R]`; else numbers, `[R]` of one
    column or `[R, C]`, as they are, not standardised.

    An unknown class is -100, an unknown number `nan`.

    Args:
        attributes (sequence of Attribute): Targets of one level.
        rows (list of dict): The attributes of each node, edge or graph.

    Raises:
        Contradiction: If a value does not fit its attribute.
    """
    one_class = len(attributes) == 1 and attributes[0].kind in CLASSES
    parts = []
    for attribute in attributes:
        column = read_column(attribute, rows)
        numbers = column.numbers
        if column.known is not None:
            unknown = IGNORED if one_class else np.nan
            numbers = np.where(column.known[:, None], numbers, unknown)
        parts.append(numbers)
    table = np.concatenate(parts, axis=1)
    table = table[:, 0] if table.shape[1] == 1 else table
    return table.astype(np.int64 if one_class else np.float32)


@lru_cache(maxsize=64)
def ordered_pairs(nodes: int, self_pairs: bool) -> tuple[Tensor, NDArray[np.int64]]:
    """Returns all ordered pairs, `[2, P]`, and their places in a matrix, `[P]`.

    Args:
        nodes (int): The number of nodes.
        self_pairs (bool): Whether a node is paired with itself.
    """
    pairs = np.indices((nodes, nodes)).reshape(2, -1)
    if not self_pairs:
        pairs = pairs[:, pairs[0] != pairs[1]]
    return torch.from_numpy(np.ascontiguousarray(pairs)), pairs[0] * nodes + pairs[1]


def pair_labels(
    nodes: int,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    relation: NDArray[np.int64],
    places: NDArray[np.int64],
    classes: int | None,
) -> Tensor:
    """Returns of each pair its relation, `[P]`, 0 for none; or with several relations
    of a pair whether it has each of them, `[P, R]`.

    Args:
        nodes (int): The number of nodes.
        source (ndarray): The source of each edge, `[E]`.
        target (ndarray): The target of each edge, `[E]`.
        relation (ndarray): The relation of each edge, `[E]`.
        places (ndarray): The places of the pairs in a matrix, `[P]`.
        classes (int, optional): The number of relations, where a pair has several.
    """
    place = source * nodes + target
    if classes is None:
        labels = np.zeros(nodes * nodes, dtype=np.int64)
        labels[place] = relation + 1
    else:
        labels = np.zeros((nodes * nodes, classes), dtype=np.float32)
        labels[place, relation] = 1
    return torch.from_numpy(labels[places])
