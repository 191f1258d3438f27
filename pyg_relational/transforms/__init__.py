"""Transforms of data and batches."""

from pyg_relational.transforms.augment_sudoku import AugmentSudoku
from pyg_relational.transforms.permute_colours import PermuteColours

__all__ = ["AugmentSudoku", "PermuteColours"]
