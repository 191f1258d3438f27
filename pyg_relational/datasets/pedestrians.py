"""Where pedestrians go next."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_int, check_name
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.data.trajectories import from_trajectories, windows
from pyg_relational.datasets.base import Slices, StoredDataset
from pyg_relational.datasets.downloads import RawFile, read_text
from pyg_relational.datasets.tables import parse_lines

URL = "https://raw.githubusercontent.com/abduallahmohamed/Social-STGCNN/master/datasets"
SCENES = ("eth", "hotel", "zara01")
# The file of each scene, and its folder where it is published.
FILES = {
    "eth": ("biwi_eth.txt", "eth"),
    "hotel": ("biwi_hotel.txt", "hotel"),
    "zara01": ("crowds_zara01.txt", "zara1"),
}
# Of the uncompressed files.
SHA256 = {
    "eth": "cf8d3fd342a15f409ebc2a1fc76b91a0f06390bd21f1e11410f3859331ab082b",
    "hotel": "9caa771bb9153d6b809dd0916b6f86761b641e6bbb15e766c1de3133fbbb7fcf",
    "zara01": "1147a1962a09abfb86f28c6cddcac862e095a0cf129b3016385b69eacdd09d85",
}
COLUMNS = ("frame", "pedestrian", "x", "y")
# Where the validation windows of a scene start, as a share of its frames.
TRAIN_SHARE = 0.8
# Groups of the frames of a forecast: all but the last, and the last.
TIMES = ("before the end", "final")


class Pedestrians(StoredDataset):
    r"""The next steps of pedestrians who come and go, in scenes of `"You'll never walk
    alone" <https://doi.org/10.1109/ICCV.2009.5459260>`_ (ETH) and `"Crowds by example"
    <https://doi.org/10.1111/j.1467-8659.2007.01089.x>`_ (UCY).

    A sample is a window of `history` + `horizon` frames; windows slide by one frame.
    Its nodes are the people in the last observed frame, also those who come late or
    leave early; people who have left before are not in it. As is usual, only people who
    are in all frames of the window are learnt and scored (`y_mask`), so that the others
    are context; a window without any of them is no sample.

    The test split is a whole scene. Of each other scene, windows in the first 80 % of
    its frames are for training and windows in the rest for validation; no window
    crosses the border.

    Args:
        root (str): Folder of the dataset; files, also compressed by gzip, may also lie
            in the folder `eth_ucy` of `PYG_RELATIONAL_DATA`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        test_scene (str): `"eth"`, `"hotel"` or `"zara01"`. (default: `"hotel"`)
        history (int): Observed frames, at least 2. (default: `8`)
        horizon (int): Frames to forecast. (default: `12`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[N, history, 4]` position in metres from `centre`, and its change
          since the frame before; that to the next frame where the person was not seen
          before, 0 where neither is known
        - **mask:** `[N, history]` whether the person is seen
        - **node_id:** `[N]` number of the person in the file
        - **y:** `[N, horizon, 2]` positions in metres from `centre`, 0 where absent
        - **y_mask:** `[N, horizon]` whether the person is in all frames
        - **question_time:** `[N, horizon]` index into the groups of frames
        - **centre:** `[1, 2]` mean position in the last observed frame
        - **frame:** `[1]` number of the last observed frame in the file
        - **scene:** `[1]` index into `SCENES`
    """

    task = "trajectory"
    UNIT = "m"
    kind = "node"
    data_class = TemporalGraph
    SCENES = SCENES

    def __init__(
        self,
        root: str,
        split: str = "train",
        test_scene: str = "hotel",
        history: int = 8,
        horizon: int = 12,
        **kwargs: Any,
    ) -> None:
        self.test_scene = check_name("test_scene", test_scene, SCENES)
        # One frame has no velocity.
        self.history = check_int("history", history, 2)
        self.horizon = check_int("horizon", horizon, 1)
        super().__init__(root, split, **kwargs)

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        return tuple(_scene_file(scene, self.root) for scene in SCENES)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        return {"time": TIMES}

    def _name(self) -> str:
        return (
            f"{self.split}-{self.test_scene}-history{self.history}"
            f"-horizon{self.horizon}"
        )

    def constant_velocity(self, data: Data) -> Tensor:
        """Returns where people are who go on as they last did, `[N, horizon, 2]`.

        Args:
            data (Data): A sample or a batch of this dataset.
        """
        place, velocity = data.x[:, -1].unsqueeze(1).split(2, dim=2)
        step = torch.arange(1, self.horizon + 1, device=place.device)
        return place + step.view(-1, 1) * velocity

    def generate(self) -> tuple[Data, Slices]:
        samples = [
            sample
            for name in SCENES
            if (name == self.test_scene) == (self.split == "test")
            for sample in self._windows(name)
        ]
        if not samples:
            raise ValueError(
                f"Expected a window of {self.history} + {self.horizon} frames with a "
                f"person in all of them in the {self.split} split, got none; choose a "
                "smaller `history` or `horizon`."
            )
        return self.collate(samples)

    def _windows(self, name: str) -> list[TemporalGraph]:
        """The samples of the split that are in a scene."""
        path = _scene_file(name, self.root).path(self.root)
        scene = read_scene(read_text(path), path.name)
        end = int(scene.num_frames)
        border = int(TRAIN_SHARE * end)
        parts = {"train": (0, border), "val": (border, end), "test": (0, end)}
        samples = scene_samples(scene, *parts[self.split], self.history, self.horizon)
        for sample in samples:
            sample.scene = torch.tensor([SCENES.index(name)])
        return samples


def _scene_file(scene: str, root: str) -> RawFile:
    """The file of a scene that is there, else the one that can be fetched."""
    name, folder = FILES[scene]
    plain = RawFile(name, f"{URL}/{folder}/test/{name}", SHA256[scene], "eth_ucy")
    packed = replace(plain, name=f"{name}.gz")
    return packed if packed.path(root).is_file() else plain


def read_scene(text: str, name: str) -> TemporalGraph:
    """Reads a table of positions; frames in which nobody is may be missing.

    The closest two frames tell the step from one frame to the next."""
    lines = parse_lines(text.encode(), name, _parse_position)
    known: dict[tuple[float, ...], int] = {}
    for number, row in enumerate(lines, 1):
        if row and (before := known.setdefault(row[:2], number)) != number:
            raise ValueError(
                f"Expected pedestrian {row[1]:g} once in frame {row[0]:g} of {name!r}, "
                f"got lines {before} and {number}; drop one of them."
            )
    # [R, 4]
    table = np.array([row for row in lines if row])
    if not len(table):
        raise ValueError(f"Expected lines in {name!r}, got none.")
    frames = np.unique(table[:, 0])
    step = float(np.diff(frames).min()) if len(frames) > 1 else 1.0
    columns = dict(zip(COLUMNS, table.T, strict=True))
    try:
        return from_trajectories(columns, entity="pedestrian", frame_step=step)
    except ValueError as error:
        raise ValueError(f"Cannot read the frames of {name!r}: {error}.") from error


def _parse_position(line: str) -> tuple[float, ...]:
    """The numbers of a line, none of an empty one."""
    try:
        row = tuple(float(part) for part in line.split())
    except ValueError:
        row = (math.nan,)
    fits = len(row) == len(COLUMNS) and all(map(math.isfinite, row))
    if row and not (fits and row[0] == int(row[0]) and row[1] == int(row[1])):
        raise ValueError(
            f"expected {', '.join(COLUMNS)}: finite numbers, the first two whole"
        )
    return row


def scene_samples(
    scene: TemporalGraph, first: int, last: int, history: int, horizon: int
) -> list[TemporalGraph]:
    """Returns the windows in a part of a scene that have a person to score."""
    length = history + horizon
    if int(scene.num_frames) < length:
        return []
    return [
        _sample(window)
        for window in windows(scene, history, horizon)
        if first <= int(window.start) <= last - length and bool(_whole(window).any())
    ]


def velocities(x: Tensor, mask: Tensor) -> Tensor:
    """Returns the change of each position since the frame before, `[N, T, 2]`.

    Where a person was not seen in the frame before, it is the change to the next
    frame, or 0 if the person is not seen there either."""
    # [N, T - 1]
    both = (mask[:, 1:] & mask[:, :-1]).unsqueeze(2)
    change = torch.where(both, x.diff(dim=1), math.nan)
    unknown = torch.full_like(x[:, :1], math.nan)
    before = torch.cat([unknown, change], dim=1)
    after = torch.cat([change, unknown], dim=1)
    return torch.where(before.isnan(), after, before).nan_to_num(0.0)


def _sample(window: TemporalGraph) -> TemporalGraph:
    """A window around its people, without those who have left before its last frame."""
    window = window.subgraph(window.mask[:, -1])  # type: ignore[index]
    x, mask = window["x"], window["mask"]
    whole = _whole(window)
    # [2]
    centre = x[:, -1].mean(dim=0)
    places = torch.where(mask.unsqueeze(2), x - centre, 0.0)
    time = torch.zeros_like(window.y_mask, dtype=torch.long)
    time[:, -1] = 1
    return TemporalGraph(
        torch.cat([places, velocities(places, mask)], dim=2),
        mask,
        node_id=window.node_id,
        y=torch.where(window.y_mask.unsqueeze(2), window.y - centre, 0.0),
        y_mask=whole.unsqueeze(1).expand_as(window.y_mask).contiguous(),
        question_time=time,
        centre=centre.unsqueeze(0),
        frame=window.frame_time[-1:],
    )


def _whole(window: TemporalGraph) -> Tensor:
    """Of each person of a window, whether they are in all of its frames."""
    return window["mask"].all(dim=1) & window.y_mask.all(dim=1)
