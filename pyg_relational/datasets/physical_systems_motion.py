"""Where will the masses be next?"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.physical_systems import (
    PhysicalSystems,
    check_bool,
    frame_rows,
)
from pyg_relational.datasets.physical_systems_simulator import Array, Systems
from pyg_relational.datasets.physical_systems_starts import centred, sample_starts

# Of a mass: position and velocity.
STATE = 4


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

    A sample is generated on the first use, from the seed alone. Each split has its own
    random stream, which depends on the seed, its own size and what is simulated.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        force (str): `"springs"`, `"charges"` or `"gravity"`. (default: `"springs"`)
        num_masses (int or tuple): Masses of a sample, 2 to 20, or the smallest and the
            largest number of them. (default: `5`)
        num_frames (int): Frames that are simulated, more than `history` and `horizon`
            together. (default: `49`)
        history (int): Frames that a sample shows. (default: `2`)
        horizon (int): Frames to predict. (default: `10`)
        num_train (int): Samples in the training split. (default: `10000`)
        num_val (int): Samples in the validation split. (default: `1000`)
        num_test (int): Samples in the test split. (default: `2000`)
        centred (bool): Whether the centre of mass of each system rests at the origin;
            needs `box=None`. (default: `True`)
        frame_time (float): Time between two frames. (default: `0.1`)
        box (float, optional): Walls at plus and minus this coordinate.
            (default: `None`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

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
        OSError: The samples have to be generated and `root` cannot be written.
        TypeError: A number is none, or `centred` is not a bool.
        ValueError: A name is unknown, a number is out of range, the simulation is too
            short, or there is both a box and a centre.
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
        num_train: int = 10000,
        num_val: int = 1000,
        num_test: int = 2000,
        centred: bool = True,
        frame_time: float = 0.1,
        box: float | None = None,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
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
        super().__init__(
            root,
            split,
            force,
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

    def _name(self) -> str:
        window = f"motion-history{self.history}-horizon{self.horizon}"
        return window + "-centred" * self.centred

    def _starts(
        self, count: int, num_masses: int, rng: np.random.Generator
    ) -> tuple[Systems, Array, NDArray[np.bool_]]:
        start, source, joined = sample_starts(
            self.force, count, num_masses, rng, self.box
        )
        return centred(start) if self.centred else start, source, joined

    def _tensors(
        self,
        frames: Systems,
        source: Array,
        joined: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        window = self._window(frames, rng)
        count, masses = source.shape
        state = window.position[:, :, 1:]
        moved = np.diff(window.position, axis=2)
        state = np.concatenate([state, moved], axis=-1)
        shown, asked = np.split(state, [self.history], axis=2)
        if self.force != "springs":
            constant = np.broadcast_to(source[:, :, None, None], (*shown.shape[:3], 1))
            shown = np.concatenate([shown, constant], axis=-1)
        rows, counts = frame_rows(shown)
        target = torch.tensor([0, 0, 1, 1])
        # [S, N, K, 4] -> [S * N, K, 4]
        y = torch.from_numpy(asked).float().flatten(0, 1)
        now = torch.from_numpy(window.velocity[:, :, self.history]).float()
        rows |= {
            "y": y,
            "velocity": now.flatten(0, 1),
            "question_target": target.expand_as(y),
        }
        size = torch.full((count,), masses)
        counts |= dict.fromkeys(("y", "velocity", "question_target"), size)
        if self.force == "springs":
            sample, *ends = torch.from_numpy(joined).nonzero().T
            rows["edge_index"] = torch.stack(ends)
            counts["edge_index"] = sample.bincount(minlength=count)
        return rows, counts

    def _window(self, frames: Systems, rng: np.random.Generator) -> Systems:
        """The frames that a sample needs: what is shown and asked, and one before."""
        length = self.history + self.horizon + 1
        first = rng.integers(self.num_frames - length + 1, size=len(frames.position))
        # [S, 1, K + 1, 1]
        index = (first[:, None] + np.arange(length))[:, None, :, None]
        return replace(
            frames,
            position=np.take_along_axis(frames.position, index, axis=2),
            velocity=np.take_along_axis(frames.velocity, index, axis=2),
        )
