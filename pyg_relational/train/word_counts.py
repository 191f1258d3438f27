"""The words of samples, for a reference that counts them."""

import itertools
from collections.abc import Sequence
from typing import Any

from pyg_relational.train.errors import UsageError


def word_rows(split: Any) -> list[list[int]]:
    """Return the numbers of the words of each sample: ``sentence``, else ``x``.

    Args:
        split (Dataset): Samples that hold the numbers of their words :math:`(T)` and
            one class ``y`` :math:`(1)`.

    Raises:
        UsageError: If the samples hold something else.
    """
    name = "sentence" if "sentence" in split[0] else "x"
    first, y = split[0].get(name), split[0].y
    if first is None:
        held = ", ".join(sorted(split[0].keys()))
        raise UsageError(
            f"reference 'bag-of-words' needs numbers of words 'x' or 'sentence'; the "
            f"samples hold {held}"
        )
    if first.dim() != 1 or first.is_floating_point() or y.shape != (1,):
        raise UsageError(
            f"reference 'bag-of-words' needs numbers of words {name} [T] and one class "
            f"y [1] in each sample, got {name} {list(first.shape)} of {first.dtype} "
            f"and y {list(y.shape)}"
        )
    return [sample[name].tolist() for sample in split]


def words_and_bigrams(ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the words of a text and its pairs of neighbours.

    Args:
        ids (Sequence[int]): The numbers of the words.
    """
    return [*((i,) for i in ids), *itertools.pairwise(ids)]
