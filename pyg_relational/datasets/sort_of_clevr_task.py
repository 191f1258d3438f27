"""What both forms of Sort-of-CLEVR, in memory and on disk, have in common."""

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.datasets import sort_of_clevr_questions as vocabulary
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.sort_of_clevr_generator import (
    sample_questions,
    sample_scenes,
    scene_tensors,
)
from pyg_relational.datasets.sort_of_clevr_scenes import (
    scene_from_objects,
    scene_image,
    scene_objects,
)
from pyg_relational.datasets.stored import collate_stacked

SPLITS = ("train", "val", "test")
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class SortOfCLEVRTask:
    """Names, texts and arguments of Sort-of-CLEVR."""

    task = "classification"
    num_answers = len(vocabulary.ANSWERS)
    COLOURS = vocabulary.COLOURS
    SHAPES = vocabulary.SHAPES
    KINDS = vocabulary.KINDS
    SUBTYPES = vocabulary.SUBTYPES
    ANSWERS = vocabulary.ANSWERS
    kind_of = staticmethod(vocabulary.kind_of)
    # What prediction and pictures need, found through the class of a recipe.
    question_text = staticmethod(vocabulary.question_text)
    scene_from_objects = staticmethod(scene_from_objects)
    scene_image = staticmethod(scene_image)
    scene_objects = staticmethod(scene_objects)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names.

        The index of a question within group `g` is the attribute `question_<g>`.
        """
        return {"kind": vocabulary.KINDS, "subtype": vocabulary.SUBTYPES}

    def _choose(
        self,
        split: str,
        representation: str,
        sizes: dict[str, int],
        num_objects: int,
        seed: int,
    ) -> None:
        """Checks and keeps what the scenes of a split depend on."""
        for argument, size in sizes.items():
            check_int(argument, size, 1)
        check_int("num_objects", num_objects, 2, len(self.COLOURS))
        check_int("seed", seed, 0)
        self.split = check_name("split", split, SPLITS)
        self.representation = check_name(
            "representation", representation, vocabulary.REPRESENTATIONS
        )
        self.num_scenes = sizes[f"num_{split}"]
        self.num_objects = num_objects
        self.seed = seed

    def _file_name(self) -> str:
        return (
            f"{self.split}-{self.representation}-scenes{self.num_scenes}"
            f"-objects{self.num_objects}-seed{self.seed}-v{FORMAT_VERSION}"
        )


def generate(
    num_scenes: int, num_objects: int, representation: str, rng: np.random.Generator
) -> tuple[Data, dict[str, Tensor]]:
    """Generates scenes, one after the other, with their slices.

    Args:
        num_scenes (int): How many.
        num_objects (int): Objects of a scene.
        representation (str): `"state"` or `"pixels"`.
        rng (numpy.random.Generator): What is drawn from.
    """
    scenes = sample_scenes(num_scenes, num_objects, rng)
    questions = sample_questions(num_scenes, num_objects, rng)
    tensors = scene_tensors(scenes, questions, representation)
    num_nodes = None if "x" in tensors else num_objects
    return collate_stacked(tensors, num_nodes)
