"""How many systems are there?"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.physical_systems import (
    LAYOUTS,
    MAX_MASSES,
    PhysicalSystems,
    check_bool,
    difference_scale,
    flat_rows,
    frame_rows,
    state_features,
    with_differences,
)
from pyg_relational.datasets.physical_systems_simulator import Array, Systems
from pyg_relational.datasets.physical_systems_starts import (
    count_systems,
    sample_starts,
)


class PhysicalSystemCount(PhysicalSystems):
    r"""Masses in motion, joined by springs: how many separate systems do they form? As
    the dynamic systems of `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_, 10 masses in 16 frames.

    All numbers of systems from 1 (all masses hang together) to the number of masses
    (all are free) are equally likely, which makes chance one in `num_masses`. So many
    masses found a system each, and each further mass is joined by a spring to one of
    those before it, all equally likely; each system is then a tree.

    Forces and motion are those of
    :class:`~pyg_relational.datasets.PhysicalConnections` with springs. They are not
    those of the paper, which does not give them in full.

    A sample is generated on the first use, from the seed alone. Each split has its own
    random stream, which depends on the seed, its own size and what is simulated.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_masses (int or tuple): Masses of a sample, 2 to 20, or the smallest and the
            largest number of them. (default: `10`)
        num_frames (int): Frames of a sample. (default: `16`)
        num_train (int): Samples in the training split. (default: `10000`)
        num_val (int): Samples in the validation split. (default: `1000`)
        num_test (int): Samples in the test split. (default: `2000`)
        layout (str): `"temporal"`, a :class:`~pyg_relational.data.TemporalGraph`, or
            `"flat"`, all frames of a mass in one row, for models without time.
            (default: `"temporal"`)
        differences (bool): Adds how features change to the next frame, which shows
            the force. (default: `False`)
        frame_time (float): Time between two frames. (default: `0.1`)
        box (float, optional): Walls at plus and minus this coordinate.
            (default: `5.0`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

    Shapes:
        - **x:** `[N, T, 4]` position, and velocity in units of length a frame; with
          `differences` `[N, T, 8]`, their changes to the next frame behind them (0 in
          the last one), in starting speeds and in extensions of a spring;
          `[N, T * F]` with `layout="flat"`
        - **mask:** `[N, T]`, all of it true
        - **y:** `[1]` number of systems, less 1
        - **question_systems:** `[1]` the same: scores are given for each number

    Raises:
        OSError: The samples have to be generated and `root` cannot be written.
        TypeError: A number is none, or `differences` is not a bool.
        ValueError: A name is unknown, or a number is out of range.
    """

    kind = "graph"

    def __init__(
        self,
        root: str,
        split: str = "train",
        num_masses: int | Sequence[int] = 10,
        num_frames: int = 16,
        num_train: int = 10000,
        num_val: int = 1000,
        num_test: int = 2000,
        layout: str = "temporal",
        differences: bool = False,
        frame_time: float = 0.1,
        box: float | None = 5.0,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.layout = check_name("layout", layout, LAYOUTS)
        self.data_class = TemporalGraph if layout == "temporal" else Data
        self.differences = check_bool("differences", differences)
        super().__init__(
            root,
            split,
            "springs",
            num_masses,
            num_frames,
            {"train": num_train, "val": num_val, "test": num_test},
            frame_time,
            box,
            seed,
            transform,
            pre_transform,
            pre_filter,
            force_reload,
        )

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which samples are scored: the number of systems."""
        return {"systems": tuple(str(n) for n in range(1, MAX_MASSES + 1))}

    def _name(self) -> str:
        return f"count-{self.layout}" + "-differences" * self.differences

    def _starts(
        self, count: int, num_masses: int, rng: np.random.Generator
    ) -> tuple[Systems, Array, NDArray[np.bool_]]:
        return sample_starts(self.force, count, num_masses, rng, self.box, trees=True)

    def _tensors(
        self,
        frames: Systems,
        source: Array,
        joined: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        features = state_features(frames, self.frame_time)
        if self.differences:
            scale = difference_scale(self.force, self.frame_time)
            features = with_differences(features, scale)
        in_rows = frame_rows if self.layout == "temporal" else flat_rows
        rows, counts = in_rows(features)
        y = torch.from_numpy(count_systems(joined) - 1)
        names, one = ("y", "question_systems"), torch.ones(len(y), dtype=torch.long)
        return rows | dict.fromkeys(names, y), counts | dict.fromkeys(names, one)
