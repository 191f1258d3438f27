"""The Sort-of-CLEVR dataset."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets import sort_of_clevr_questions as vocabulary
from pyg_relational.datasets.cache import load_or_create
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
            _check_int(argument, size, 1)
        _check_int("num_objects", num_objects, 2, len(self.COLOURS))
        _check_int("seed", seed, 0)
        self.split = check_name("split", split, SPLITS)
        self.representation = check_name(
            "representation", representation, vocabulary.REPRESENTATIONS
        )
        self.num_scenes = sizes[f"num_{split}"]
        self.num_objects = num_objects
        self.seed = seed
        super().__init__(str(root), transform, pre_transform, pre_filter)
        # Not PyG's `process`: it would trust a file that was cut short.
        content = load_or_create(
            self.processed_paths[0], self._generate, force_reload=force_reload
        )
        # The setter drops the scenes that `pre_filter` looked at.
        self.data = Data.from_dict(content["data"])
        self.slices = content["slices"]

    @property
    def processed_file_names(self) -> str:
        name = (
            f"{self.split}-{self.representation}-scenes{self.num_scenes}"
            f"-objects{self.num_objects}-seed{self.seed}-v{FORMAT_VERSION}"
        )
        if self.pre_transform is not None or self.pre_filter is not None:
            described = repr((self.pre_transform, self.pre_filter))
            # Addresses differ between runs.
            described = re.sub(r" at 0x[0-9a-fA-F]+", "", described)
            name += "-" + hashlib.sha256(described.encode()).hexdigest()[:12]
        return f"{name}.pt"

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
        data, slices = _collate(scene_tensors(scenes, questions, self.representation))
        if self.pre_transform is not None or self.pre_filter is not None:
            self._data, self.slices = data, slices
            data, slices = self.collate(self._preprocess())
        return {"data": data.to_dict(), "slices": slices}

    def _preprocess(self) -> Sequence[Data]:
        scenes = [self.get(i) for i in range(self.num_scenes)]
        if self.pre_filter is not None:
            scenes = [scene for scene in scenes if self.pre_filter(scene)]
        if not scenes:
            raise ValueError("Expected `pre_filter` to keep a scene, it kept none.")
        if self.pre_transform is not None:
            scenes = [self.pre_transform(scene) for scene in scenes]
        return scenes


def _collate(tensors: dict[str, Tensor]) -> tuple[Data, dict[str, Tensor]]:
    """Stores stacked attributes `[B, k, ...]` the way `InMemoryDataset` does.

    `InMemoryDataset.collate` would loop over the scenes.
    """
    num_scenes, num_objects = tensors["shape_id"].shape
    slices = {
        name: torch.arange(num_scenes + 1) * value.shape[1]
        for name, value in tensors.items()
    }
    # [B, k, ...] -> [B * k, ...]
    data = Data(**{name: value.flatten(0, 1) for name, value in tensors.items()})
    if "x" not in tensors:
        data.num_nodes = num_scenes * num_objects
        # Where PyG looks for the number of nodes of each graph.
        data._num_nodes = [num_objects] * num_scenes
    return data, slices


def _check_int(argument: str, value: int, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected `{argument}` to be an integer, got {value!r}.")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected `{argument}` to be {allowed}, got {value}.")
