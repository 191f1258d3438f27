"""The Sort-of-CLEVR dataset."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch_geometric.data import Data, InMemoryDataset

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
from pyg_relational.datasets.stored import (
    collate_stacked,
    load_stored,
    stored_content,
    stored_name,
)

SPLITS = ("train", "val", "test")
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class SortOfCLEVR(InMemoryDataset):
    r"""Sort-of-CLEVR of `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_: questions about coloured circles and squares.

    A scene is one :class:`~torch_geometric.data.Data` object with 20 questions, ten
    non-relational ones first. It is generated on the first use, from the seed alone,
    and stored once; `DataLoader(dataset, follow_batch=["u"])` adds `u_batch`, the
    scene of each question. Each split has its own random stream: its scenes depend on
    `seed`, `num_objects` and its own size only.

    Unlike the paper, there is a validation split, apart from the 9,800 + 200 scenes.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"state"` (rows of attributes) or `"pixels"`.
            (default: `"state"`)
        num_train (int): Scenes in the training split. (default: `9800`)
        num_val (int): Scenes in the validation split. (default: `200`)
        num_test (int): Scenes in the test split. (default: `200`)
        num_objects (int): Objects a scene, 2 to 6, of the first colours in
            `COLOURS`. (default: `6`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the scenes for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

    Shapes:
        - **x:** `[n, 10]` colour one-hot, shape one-hot, column and row in `[-1, 1]`
          (only `"state"`)
        - **image:** `[1, 3, 75, 75]` uint8 RGB (only `"pixels"`)
        - **position:** `[n, 2]` centre (column, row) in pixels, row 0 at the top
        - **shape_id:** `[n]` index into `SHAPES`
        - **u:** `[20, 12]` colour one-hot of the asked object, subtype one-hot
        - **y:** `[20]` index into `ANSWERS`
        - **question_kind:** `[20]` index into `KINDS`
        - **question_subtype:** `[20]` index into `SUBTYPES`
        - **pair:** `[20, 2]` row in the scene of the asked object, and of the nearest
          or furthest one (-1 for other subtypes); not shifted by batching

    Raises:
        OSError: The scenes have to be generated and `root` cannot be written.
        TypeError: A size or the seed is not an integer.
        ValueError: A name is unknown, or a size or the seed is out of range.
    """

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

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "state",
        num_train: int = 9800,
        num_val: int = 200,
        num_test: int = 200,
        num_objects: int = 6,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        sizes = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
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
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def processed_file_names(self) -> str:
        name = (
            f"{self.split}-{self.representation}-scenes{self.num_scenes}"
            f"-objects{self.num_objects}-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names.

        The index of a question within group `g` is the attribute `question_<g>`.
        """
        return {"kind": vocabulary.KINDS, "subtype": vocabulary.SUBTYPES}

    def _generate(self) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split)])
        scenes = sample_scenes(self.num_scenes, self.num_objects, rng)
        questions = sample_questions(self.num_scenes, self.num_objects, rng)
        tensors = scene_tensors(scenes, questions, self.representation)
        num_nodes = None if "x" in tensors else self.num_objects
        return stored_content(self, *collate_stacked(tensors, num_nodes))
