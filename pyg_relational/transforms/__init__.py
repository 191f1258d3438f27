"""Transforms of data and batches."""

from pyg_relational.transforms.add_relations import AddRelations
from pyg_relational.transforms.augment_nlvr import AugmentNLVR
from pyg_relational.transforms.augment_sudoku import AugmentSudoku
from pyg_relational.transforms.frame_differences import FrameDifferences
from pyg_relational.transforms.frame_distances import FrameDistances
from pyg_relational.transforms.image_to_objects import ImageToObjects
from pyg_relational.transforms.permute_colours import PermuteColours
from pyg_relational.transforms.rotate_trajectories import RotateTrajectories

__all__ = [
    "AddRelations",
    "AugmentNLVR",
    "AugmentSudoku",
    "FrameDifferences",
    "FrameDistances",
    "ImageToObjects",
    "PermuteColours",
    "RotateTrajectories",
]
