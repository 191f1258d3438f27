"""Which masses are connected?"""

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
    PhysicalSystems,
    check_bool,
    difference_scale,
    flat_rows,
    frame_rows,
    ordered_pairs,
    state_features,
    with_differences,
)
from pyg_relational.datasets.physical_systems_simulator import Array, Systems

FORCES = ("springs", "charges")


class PhysicalConnections(PhysicalSystems):
    r"""Masses in motion: which of them are connected? As in `"Neural relational
    inference for interacting systems" <https://arxiv.org/abs/1802.04687>`_.

    With springs, each pair of masses is joined by one with probability 1/2, and masses
    that are not joined do not act on each other. With charges, every pair acts, and
    those of unlike sign, which attract, count as connected. All else is as in the
    paper for springs: masses start at places of standard deviation 0.5 (charges: 1)
    with the speed 0.5, stiffness is 0.1, a frame is 0.1 units of time, and walls at
    plus and minus 5 are elastic. Walls are left out with `box=None`.

    Differences from the paper: the first frame is the start itself, the speed is
    stepped by velocity Verlet, 10 steps a frame for springs and 100 for charges, whose
    force is kept finite by a softening of 0.2 in place of a cap, so that energy is
    still defined.

    A sample is generated on the first use, from the seed alone. Each split has its own
    random stream, which depends on the seed, its own size and what is simulated.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        force (str): `"springs"` or `"charges"`. (default: `"springs"`)
        num_masses (int or tuple): Masses of a sample, 2 to 20, or the smallest and the
            largest number of them. (default: `5`)
        num_frames (int): Frames of a sample. (default: `49`)
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
          the last one), in starting speeds and in extensions of a spring
        - **mask:** `[N, T]`, all of it true
        - **edge_label_index:** `[2, P]` all ordered pairs of two masses
        - **y:** `[P]` 1 if the pair is connected, else 0; the same in both orders
        - **question_connection:** `[P]` the same: scores are given apart

        With `layout="flat"`, **x** is `[N, T * F]`, and the pairs are also the
        **edge_index** of the sample.

    Raises:
        OSError: The samples have to be generated and `root` cannot be written.
        TypeError: A number is none, or `differences` is not a bool.
        ValueError: A name is unknown, or a number is out of range.
    """

    kind = "pair"

    def __init__(
        self,
        root: str,
        split: str = "train",
        force: str = "springs",
        num_masses: int | Sequence[int] = 5,
        num_frames: int = 49,
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
            check_name("force", force, FORCES),
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
        """Returns the groups by which pairs are scored, with their names; `"sets"`
        stands for whole samples."""
        return {"connection": ("apart", "connected"), "sets": ("solved",)}

    def _name(self) -> str:
        return f"connections-{self.layout}" + "-differences" * self.differences

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
        count, masses = features.shape[:2]
        in_rows = frame_rows if self.layout == "temporal" else flat_rows
        rows, counts = in_rows(features)
        pairs = ordered_pairs(masses)
        # [S, N, N] -> [S * P]
        y = torch.from_numpy(joined).long()[:, pairs[0], pairs[1]].flatten()
        names = ["edge_label_index"] + ["edge_index"] * (self.layout == "flat")
        rows |= dict.fromkeys(names, pairs.repeat(1, count))
        rows |= {"y": y, "question_connection": y}
        size = torch.full((count,), pairs.size(1))
        return rows, counts | dict.fromkeys([*names, "y", "question_connection"], size)
