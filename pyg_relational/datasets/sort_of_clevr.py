"""The Sort-of-CLEVR dataset."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.sort_of_clevr_task import (
    SPLITS,
    SortOfCLEVRTask,
    generate,
)
from pyg_relational.datasets.stored import load_stored, stored_content, stored_name


class SortOfCLEVR(SortOfCLEVRTask, InMemoryDataset):
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
        self._choose(split, representation, sizes, num_objects, seed)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def processed_file_names(self) -> str:
        return stored_name(self, self._file_name())

    def _generate(self) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split)])
        scenes = generate(self.num_scenes, self.num_objects, self.representation, rng)
        return stored_content(self, *scenes)
