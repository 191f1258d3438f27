"""What the datasets of simulated physical systems have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.physical_systems_simulator import (
    Array,
    Systems,
    simulate,
)
from pyg_relational.datasets.physical_systems_starts import (
    FORCES,
    SPEED,
    sample_starts,
)
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

SPLITS = ("train", "val", "test")
LAYOUTS = ("temporal", "flat")
MIN_MASSES, MAX_MASSES = 2, 20
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class PhysicalSystems(InMemoryDataset):
    """Simulated masses in a plane; the tasks are subclasses of this one.

    Args:
        root (str): Folder of the dataset.
        split (str): `"train"`, `"val"` or `"test"`.
        force (str): `"springs"`, `"charges"` or `"gravity"`.
        num_masses (int or tuple): Masses of a sample, or the smallest and the largest
            number of them.
        num_frames (int): Frames that are simulated.
        num_samples (Mapping): Samples of each split.
        frame_time (float): Time between two frames.
        box (float, optional): Walls at plus and minus this coordinate.
        seed (int): Seed of all random streams.
        transform, pre_transform, pre_filter (Callable, optional): As in PyG.
        force_reload (bool): Generate again.
    """

    task = "classification"
    data_class: type[Data] = TemporalGraph

    def __init__(
        self,
        root: str,
        split: str,
        force: str,
        num_masses: int | Sequence[int],
        num_frames: int,
        num_samples: Mapping[str, int],
        frame_time: float,
        box: float | None,
        seed: int,
        transform: Callable[[Data], Data] | None,
        pre_transform: Callable[[Data], Data] | None,
        pre_filter: Callable[[Data], bool] | None,
        force_reload: bool,
    ) -> None:
        for name, size in num_samples.items():
            check_int(f"num_{name}", size, 1)
        self.split = check_name("split", split, SPLITS)
        self.num_samples = num_samples[split]
        self.force = check_name("force", force, tuple(FORCES))
        self.num_masses = _check_masses(num_masses)
        self.num_frames = check_int("num_frames", num_frames, 1)
        self.frame_time = check_positive("frame_time", frame_time)
        self.box = None if box is None else check_positive("box", box)
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def processed_file_names(self) -> str:
        low, high = self.num_masses
        name = (
            f"{self.split}-{self._name()}-{self.force}-samples{self.num_samples}"
            f"-masses{low}to{high}-frames{self.num_frames}-time{self.frame_time:g}"
            f"-box{self.box}-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    def _name(self) -> str:
        """The task and its own arguments, for the file name."""
        raise NotImplementedError

    def _starts(
        self, count: int, num_masses: int, rng: np.random.Generator
    ) -> tuple[Systems, Array, NDArray[np.bool_]]:
        return sample_starts(self.force, count, num_masses, rng, self.box)

    def _tensors(
        self,
        frames: Systems,
        source: Array,
        joined: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The rows of samples of equal size, and how many rows each sample has."""
        raise NotImplementedError

    def _generate(self) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split)])
        low, high = self.num_masses
        sizes = rng.integers(low, high, self.num_samples, endpoint=True)
        steps = self.frame_time * FORCES[self.force].steps_per_time
        parts, samples = [], []
        for size in np.unique(sizes):
            (own,) = np.nonzero(sizes == size)
            start, source, joined = self._starts(len(own), int(size), rng)
            frames = simulate(
                start, self.num_frames, self.frame_time, max(1, round(steps)), self.box
            )
            parts.append(self._tensors(frames, source, joined, rng))
            samples.append(torch.from_numpy(own))
        rows, counts = in_order(parts, torch.cat(samples))
        return stored_content(
            self, *collate_ragged(rows, counts, data_class=self.data_class)
        )


def state_features(frames: Systems, frame_time: float) -> Array:
    """Returns `[S, N, T, 4]`: positions, and velocities per frame."""
    return np.concatenate([frames.position, frame_time * frames.velocity], axis=-1)


def difference_scale(force: str, frame_time: float) -> list[float]:
    """Returns the factors that make differences between frames of `state_features` of
    the order of 1: the speed in speeds at the start, the pull of a spring in its
    extension."""
    moved = 1 / (SPEED * frame_time)
    pulled = 1 / (FORCES[force].strength * frame_time**2)
    return [moved, moved, pulled, pulled]


def with_differences(features: Array, scale: Sequence[float]) -> Array:
    """Returns features `[S, N, T, F]` beside their scaled differences to the next
    frame, 0 in the last one."""
    # In double precision: velocities hardly change within a frame.
    change = np.diff(features, axis=2, append=features[:, :, -1:])
    return np.concatenate([features, change * np.array(scale)], axis=-1)


def frame_rows(features: Array) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the rows of temporal graphs of the same size, and how many each has.

    Args:
        features (ndarray): `[S, N, T, F]`.
    """
    count, masses, frames = features.shape[:3]
    x = torch.from_numpy(features).float().flatten(0, 2)
    rows = {
        "x_steps": x,
        "mask_steps": torch.ones(len(x), dtype=torch.bool),
        "num_frames": torch.full((count,), frames),
        "node_id": torch.arange(masses).repeat(count),
    }
    sizes = dict.fromkeys(rows, masses * frames) | {"num_frames": 1, "node_id": masses}
    return rows, {name: torch.full((count,), size) for name, size in sizes.items()}


def flat_rows(features: Array) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns all frames of each mass in one row, and how many rows each sample has.

    Args:
        features (ndarray): `[S, N, T, F]`.
    """
    count, masses = features.shape[:2]
    # [S, N, T, F] -> [S * N, T * F]
    x = torch.from_numpy(features).float().flatten(2).flatten(0, 1)
    return {"x": x}, {"x": torch.full((count,), masses)}


def ordered_pairs(num_masses: int) -> Tensor:
    """Returns all ordered pairs of two different masses, `[2, P]`."""
    return (~torch.eye(num_masses, dtype=torch.bool)).nonzero().T.contiguous()


def in_order(
    parts: Sequence[tuple[dict[str, Tensor], dict[str, Tensor]]], sample: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Joins the rows of several groups of samples in the order of the samples.

    Args:
        parts (Sequence): Of each group, the rows of every attribute and how many of
            them each of its samples has.
        sample (torch.Tensor): The number of each sample, group by group.
    """
    rows, counts = {}, {}
    for name in parts[0][0]:
        axis = 1 if name in ("edge_index", "edge_label_index") else 0
        values = torch.cat([values[name] for values, _ in parts], dim=axis)
        count = torch.cat([sizes[name] for _, sizes in parts])
        if len(parts) > 1:
            order = sample.repeat_interleave(count).argsort(stable=True)
            values = values.index_select(axis, order)
        rows[name], counts[name] = values, count[sample.argsort()]
    return rows, counts


def check_positive(argument: str, value: float) -> float:
    """Returns a number if it is positive and finite.

    Args:
        argument (str): Name of the argument, used in the message.
        value (float): The value that was given.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is not positive and finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `{argument}` to be a number, got {value!r}.")
    if not 0 < value < float("inf"):
        raise ValueError(f"Expected `{argument}` to be positive, got {value}.")
    return float(value)


def check_bool(argument: str, value: bool) -> bool:
    """Returns a value if it is a bool.

    Raises:
        TypeError: `value` is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"Expected `{argument}` to be a bool, got {value!r}.")
    return value


def _check_masses(value: int | Sequence[int]) -> tuple[int, int]:
    """The smallest and the largest number of masses."""
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        raise ValueError(
            f"Expected `num_masses` to be a number or the smallest and the largest "
            f"one, got {value!r}."
        )
    low = check_int("num_masses", pair[0], MIN_MASSES, MAX_MASSES)
    return low, check_int("num_masses", pair[1], low, MAX_MASSES)
