"""Tasks on simulated masses in a plane: motion, systems, connections."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_bool, check_int, check_name, check_positive
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.base import (
    GeneratedDataset,
    Slices,
    collate_ragged,
)
from pyg_relational.datasets.physical_simulator import (
    FORCES,
    SPEED,
    Array,
    Systems,
    centred,
    count_systems,
    sample_starts,
    simulate,
)

LAYOUTS = ("temporal", "flat")
CONNECTION_FORCES = ("springs", "charges")
MIN_MASSES, MAX_MASSES = 2, 20
# Of a mass: position and velocity.
STATE = 4

# The rows of each attribute of samples of equal size, and how many each sample has.
Rows = tuple[dict[str, Tensor], dict[str, Tensor]]
# Systems, the charge or mass of each mass, and which masses are joined.
Start = tuple[Systems, Array, NDArray[np.bool_]]


class PhysicalSystems(GeneratedDataset):
    """Simulated masses; the tasks are subclasses of this one."""

    task = "classification"
    data_class = TemporalGraph
    sizes = (10000, 1000, 2000)

    def _choose(
        self,
        force: str,
        num_masses: int | Sequence[int],
        num_frames: int,
        frame_time: float,
        box: float | None,
    ) -> None:
        """Checks and keeps what is simulated."""
        self.force = check_name("force", force, tuple(FORCES))
        self.num_masses = _check_masses(num_masses)
        self.num_frames = check_int("num_frames", num_frames, 1)
        self.frame_time = check_positive("frame_time", frame_time)
        self.box = None if box is None else check_positive("box", box)

    def _name(self) -> str:
        low, high = self.num_masses
        return (
            f"{self.split}-{self._task_name()}-{self.force}-samples{self.num_samples}"
            f"-masses{low}to{high}-frames{self.num_frames}-time{self.frame_time:g}"
            f"-box{self.box}-seed{self.seed}"
        )

    @abstractmethod
    def _task_name(self) -> str:
        """The task and its own arguments, for the file name."""

    def _starts(self, count: int, num_masses: int, rng: np.random.Generator) -> Start:
        return sample_starts(self.force, count, num_masses, rng, self.box)

    @abstractmethod
    def _rows(self, frames: Systems, start: Start, rng: np.random.Generator) -> Rows:
        """What is stored of simulations of as many masses each."""

    def generate(self) -> tuple[Data, Slices]:
        rng = self.stream()
        sizes = rng.integers(*self.num_masses, self.num_samples, endpoint=True)
        steps = max(1, round(self.frame_time * FORCES[self.force].steps_per_time))
        parts, samples = [], []
        for size in np.unique(sizes):
            (own,) = np.nonzero(sizes == size)
            start = self._starts(len(own), int(size), rng)
            motion = self.num_frames, self.frame_time, steps, self.box
            parts.append(self._rows(simulate(start[0], *motion), start, rng))
            samples.append(torch.from_numpy(own))
        rows, counts = _in_order(parts, torch.cat(samples))
        return collate_ragged(rows, counts, data_class=self.data_class)


class WholePaths(PhysicalSystems):
    """Tasks that show all frames, in one of two layouts."""

    def _choose_layout(self, layout: str, differences: bool) -> None:
        self.layout = check_name("layout", layout, LAYOUTS)
        self.data_class = TemporalGraph if layout == "temporal" else Data
        self.differences = check_bool("differences", differences)

    def _state_rows(self, frames: Systems) -> Rows:
        """Positions, velocities per frame, and their differences if asked for."""
        # [S, N, T, 4]
        features = np.concatenate(
            [frames.position, self.frame_time * frames.velocity], axis=-1
        )
        if self.differences:
            # Differences are of the order of 1 in these units: the speed in speeds at
            # the start, the pull of a spring in its extension.
            moved = 1 / (SPEED * self.frame_time)
            pulled = 1 / (FORCES[self.force].strength * self.frame_time**2)
            # In double precision: velocities hardly change within a frame.
            change = np.diff(features, axis=2, append=features[:, :, -1:])
            scaled = change * np.array([moved, moved, pulled, pulled])
            features = np.concatenate([features, scaled], axis=-1)
        if self.layout == "temporal":
            return _frame_rows(features)
        count, masses = features.shape[:2]
        # [S, N, T, F] -> [S * N, T * F]
        x = torch.from_numpy(features).float().flatten(2).flatten(0, 1)
        return {"x": x}, {"x": torch.full((count,), masses)}


class PhysicalConnections(WholePaths):
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

    By default there are 10,000 samples for training, 1,000 for validation and 2,000 for
    the test.

    Args:
        root (str): Folder of the dataset.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        force (str): `"springs"` or `"charges"`. (default: `"springs"`)
        num_masses (int or tuple): Masses of a sample, 2 to 20, or the smallest and the
            largest number of them. (default: `5`)
        num_frames (int): Frames of a sample. (default: `49`)
        layout (str): `"temporal"`, a :class:`~pyg_relational.data.TemporalGraph`, or
            `"flat"`, all frames of a mass in one row, for models without time.
            (default: `"temporal"`)
        differences (bool): Adds how features change to the next frame, which shows
            the force. (default: `False`)
        frame_time (float): Time between two frames. (default: `0.1`)
        box (float, optional): Walls at plus and minus this coordinate.
            (default: `5.0`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

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
    """

    kind = "pair"

    def __init__(
        self,
        root: str,
        split: str = "train",
        force: str = "springs",
        num_masses: int | Sequence[int] = 5,
        num_frames: int = 49,
        layout: str = "temporal",
        differences: bool = False,
        frame_time: float = 0.1,
        box: float | None = 5.0,
        **kwargs: Any,
    ) -> None:
        check_name("force", force, CONNECTION_FORCES)
        self._choose(force, num_masses, num_frames, frame_time, box)
        self._choose_layout(layout, differences)
        super().__init__(root, split, **kwargs)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which pairs are scored, with their names; `"sets"`
        stands for whole samples."""
        return {"connection": ("apart", "connected"), "sets": ("solved",)}

    def _task_name(self) -> str:
        return f"connections-{self.layout}" + "-differences" * self.differences

    def _rows(self, frames: Systems, start: Start, rng: np.random.Generator) -> Rows:
        rows, counts = self._state_rows(frames)
        _, source, joined = start
        count, masses = source.shape
        # [2, P], all ordered pairs of two different masses
        pairs = (~torch.eye(masses, dtype=torch.bool)).nonzero().T.contiguous()
        # [S, N, N] -> [S * P]
        y = torch.from_numpy(joined).long()[:, pairs[0], pairs[1]].flatten()
        names = ["edge_label_index"] + ["edge_index"] * (self.layout == "flat")
        rows |= dict.fromkeys(names, pairs.repeat(1, count))
        rows |= {"y": y, "question_connection": y}
        size = torch.full((count,), pairs.size(1))
        return rows, counts | dict.fromkeys([*names, "y", "question_connection"], size)


class PhysicalSystemCount(WholePaths):
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

    All arguments are those of :class:`~pyg_relational.datasets.PhysicalConnections`,
    without `force`, and with 10 masses and 16 frames by default.

    Shapes:
        - **x**, **mask:** as in :class:`~pyg_relational.datasets.PhysicalConnections`
        - **y:** `[1]` number of systems, less 1
        - **question_systems:** `[1]` the same: scores are given for each number
    """

    kind = "graph"

    def __init__(
        self,
        root: str,
        split: str = "train",
        num_masses: int | Sequence[int] = 10,
        num_frames: int = 16,
        layout: str = "temporal",
        differences: bool = False,
        frame_time: float = 0.1,
        box: float | None = 5.0,
        **kwargs: Any,
    ) -> None:
        self._choose("springs", num_masses, num_frames, frame_time, box)
        self._choose_layout(layout, differences)
        super().__init__(root, split, **kwargs)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which samples are scored: the number of systems."""
        return {"systems": tuple(str(n) for n in range(1, MAX_MASSES + 1))}

    def _task_name(self) -> str:
        return f"count-{self.layout}" + "-differences" * self.differences

    def _starts(self, count: int, num_masses: int, rng: np.random.Generator) -> Start:
        return sample_starts(self.force, count, num_masses, rng, self.box, trees=True)

    def _rows(self, frames: Systems, start: Start, rng: np.random.Generator) -> Rows:
        rows, counts = self._state_rows(frames)
        y = torch.from_numpy(count_systems(start[2]) - 1)
        names, one = ("y", "question_systems"), torch.ones(len(y), dtype=torch.long)
        return rows | dict.fromkeys(names, y), counts | dict.fromkeys(names, one)


class PhysicalMotion(PhysicalSystems):
    r"""Masses in motion: where will they be in the next frames?

    A sample shows `history` frames in a row, the first of them drawn at random from a
    simulation of `num_frames`, and asks for the `horizon` frames that follow. The
    velocity of a frame is how far the mass has moved since the frame before it,
    :math:`\mathbf{v}_t = \mathbf{x}_t - \mathbf{x}_{t-1}`: this holds exactly, also
    where the true velocity changes within the frame.

    Who acts on whom is given: springs as edges, in both directions; charges and, with
    gravity, masses as a further feature, all pairs being related. Forces are those of
    :class:`~pyg_relational.datasets.PhysicalConnections`; with gravity, masses are
    uniform between 0.5 and 1.5, the softening is 0.3 and the factor of the force 0.3.

    By default there are no walls, and the centre of mass of each system rests at the
    origin: systems do not act on each other, so where each of them is, and how it
    moves as a whole, is nothing to be learnt.

    Other arguments are those of
    :class:`~pyg_relational.datasets.PhysicalConnections`.

    Args:
        force (str): `"springs"`, `"charges"` or `"gravity"`. (default: `"springs"`)
        num_frames (int): Frames that are simulated, more than `history` and `horizon`
            together. (default: `49`)
        history (int): Frames that a sample shows. (default: `2`)
        horizon (int): Frames to predict. (default: `10`)
        centred (bool): Whether the centre of mass of each system rests at the origin;
            needs `box=None`. (default: `True`)
        box (float, optional): Walls at plus and minus this coordinate.
            (default: `None`)

    Shapes:
        - **x:** `[N, history, 4]` position, and velocity in units of length a frame;
          `[N, history, 5]` with the charge or mass for `force="charges"` or
          `"gravity"`
        - **mask:** `[N, history]`, all of it true
        - **edge_index:** `[2, E]` springs in both directions (only `"springs"`)
        - **y:** `[N, horizon, 4]` position and velocity
        - **velocity:** `[N, 2]` true velocity in the last frame that is shown, per
          unit of time: what a simulation needs to go on from there
        - **question_target:** `[N, horizon, 4]` 0 position, 1 velocity

    Raises:
        ValueError: The simulation is too short, or there is both a box and a centre.
    """

    task = "forecast"
    kind = "node"

    def __init__(
        self,
        root: str,
        split: str = "train",
        force: str = "springs",
        num_masses: int | Sequence[int] = 5,
        num_frames: int = 49,
        history: int = 2,
        horizon: int = 10,
        centred: bool = True,
        frame_time: float = 0.1,
        box: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.history = check_int("history", history, 1)
        self.horizon = check_int("horizon", horizon, 1)
        if check_int("num_frames", num_frames, 1) <= history + horizon:
            raise ValueError(
                f"Expected `num_frames` to be at least {history + horizon + 1}, "
                f"`history` + `horizon` + 1, got {num_frames}."
            )
        self.centred = check_bool("centred", centred)
        if centred and box is not None:
            raise ValueError(
                f"Expected `box` to be None with `centred`, got {box}; walls move with "
                "the observer."
            )
        self._choose(force, num_masses, num_frames, frame_time, box)
        super().__init__(root, split, **kwargs)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which values are scored, with their names."""
        return {"target": ("position", "velocity")}

    def constant_velocity(self, data: Data) -> Tensor:
        """Returns where masses would be if nothing acted on them, `[N, horizon, 4]`.

        Args:
            data (Data): A sample or a batch of this dataset.
        """
        last = data.x[:, -1]
        position, velocity = last[:, None, :2], last[:, None, 2:STATE]
        step = torch.arange(1, self.horizon + 1, device=last.device)[:, None]
        velocity = velocity.expand(-1, self.horizon, -1)
        return torch.cat([position + step * velocity, velocity], dim=-1)

    def _task_name(self) -> str:
        window = f"motion-history{self.history}-horizon{self.horizon}"
        return window + "-centred" * self.centred

    def _starts(self, count: int, num_masses: int, rng: np.random.Generator) -> Start:
        start, source, joined = super()._starts(count, num_masses, rng)
        return centred(start) if self.centred else start, source, joined

    def _rows(self, frames: Systems, start: Start, rng: np.random.Generator) -> Rows:
        _, source, joined = start
        count, masses = source.shape
        # What is shown and asked, and one frame before.
        length = self.history + self.horizon + 1
        first = rng.integers(self.num_frames - length + 1, size=(count, 1))
        # [S, 1, K + 1, 1]
        window = (first + np.arange(length))[:, None, :, None]
        position = np.take_along_axis(frames.position, window, axis=2)
        velocity = np.take_along_axis(frames.velocity, window, axis=2)
        moved = np.diff(position, axis=2)
        state = np.concatenate([position[:, :, 1:], moved], axis=-1)
        shown, asked = np.split(state, [self.history], axis=2)
        if self.force != "springs":
            constant = np.broadcast_to(source[:, :, None, None], (*shown.shape[:3], 1))
            shown = np.concatenate([shown, constant], axis=-1)
        rows, counts = _frame_rows(shown)
        # [S, N, K, 4] -> [S * N, K, 4]
        y = torch.from_numpy(asked).float().flatten(0, 1)
        now = torch.from_numpy(velocity[:, :, self.history]).float()
        rows |= {
            "y": y,
            "velocity": now.flatten(0, 1),
            "question_target": torch.tensor([0, 0, 1, 1]).expand_as(y),
        }
        size = torch.full((count,), masses)
        counts |= dict.fromkeys(("y", "velocity", "question_target"), size)
        if self.force == "springs":
            sample, *ends = torch.from_numpy(joined).nonzero().T
            rows["edge_index"] = torch.stack(ends)
            counts["edge_index"] = sample.bincount(minlength=count)
        return rows, counts


def _frame_rows(features: Array) -> Rows:
    """Features `[S, N, T, F]` as temporal graphs."""
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


def _in_order(parts: Sequence[Rows], sample: Tensor) -> Rows:
    """Joins the rows of several groups of samples in the order of the samples."""
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
