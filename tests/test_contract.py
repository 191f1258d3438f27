"""Every part against the contract of relational parts, see `pyg_relational.testing`."""

import pytest
from parts import CONTRACT_PARTS

from pyg_relational.testing import CHECKS

# What parts read in order, or pairs of rows, and what has no textbook loop.
LEFT_OUT = {
    "PixelRelationNetwork": {"permutation"},
    "ImageObjectEncoder": {"permutation", "naive"},
    "sentences-sentences": {"permutation"},
    "sequences": {"permutation"},
    "temporal": {"permutation"},
    # Of words: no features that are floats.
    "story": {"permutation", "batch", "no_leak"},
}
# All others go through scatter, segment or softmax, which torch-scatter replaces where
# it is installed.
WITHOUT_SCATTER = ("sequences", "temporal")


def left_out(part: str) -> set[str]:
    return LEFT_OUT.get(part, LEFT_OUT.get(part.partition("-")[0], set()))


CASES = [
    pytest.param(
        part,
        check,
        id=f"{part}-{check}",
        marks=() if part.startswith(WITHOUT_SCATTER) else pytest.mark.scatter,
    )
    for part in CONTRACT_PARTS
    for check in CHECKS
    if check not in left_out(part)
]


@pytest.mark.parametrize(("part", "check"), CASES)
def test_contract(part: str, check: str) -> None:
    CHECKS[check](CONTRACT_PARTS[part])
