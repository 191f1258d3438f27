"""Recorded walks of pedestrians: reading, checking, and windows as samples."""

import math

import numpy as np
import torch
from torch import Tensor

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.data.trajectories import from_trajectories
from pyg_relational.data.windows import windows

COLUMNS = ("frame", "pedestrian", "x", "y")
# Groups of the frames of a forecast: all but the last, and the last.
TIMES = ("before the end", "final")


def read_scene(text: str, name: str) -> TemporalGraph:
    """Reads a table of positions; frames in which nobody is may be missing.

    The closest two frames tell the step from one frame to the next.

    Args:
        text (str): Lines with frame, pedestrian, x and y, between white space.
        name (str): What messages call the file.

    Raises:
        ValueError: A line is wrong, a person is twice in a frame, or a frame lies
            between two steps; file and line, or file and frame, are named.
    """
    rows = []
    lines: dict[tuple[float, float], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _numbers(line, number, name)
        before = lines.setdefault((row[0], row[1]), number)
        if before != number:
            raise ValueError(
                f"Expected pedestrian {row[1]:g} once in frame {row[0]:g} of {name!r}, "
                f"got lines {before} and {number}; drop one of them."
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"Expected lines in {name!r}, got none.")
    # [R, 4]
    table = np.array(rows)
    frames = np.unique(table[:, 0])
    step = float(np.diff(frames).min()) if len(frames) > 1 else 1.0
    columns = dict(zip(COLUMNS, table.T, strict=True))
    try:
        return from_trajectories(columns, entity="pedestrian", frame_step=step)
    except ValueError as error:
        raise ValueError(f"Cannot read the frames of {name!r}: {error}.") from error


def scene_samples(
    scene: TemporalGraph, first: int, last: int, history: int, horizon: int
) -> list[TemporalGraph]:
    """Returns the windows in a part of a scene that have a person to score.

    Args:
        scene (TemporalGraph): What `read_scene` returned.
        first (int): The first frame of the part.
        last (int): The frame after its last one.
        history (int): Observed frames of a window.
        horizon (int): Further frames, to forecast.
    """
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
    frame, or 0 if the person is not seen there either.

    Args:
        x (Tensor): `[N, T, 2]` positions.
        mask (Tensor): `[N, T]`, whether a person is seen.
    """
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


def _numbers(line: str, number: int, name: str) -> tuple[float, ...]:
    row: tuple[float, ...]
    try:
        row = tuple(float(part) for part in line.split())
    except ValueError:
        row = ()
    fits = len(row) == len(COLUMNS) and all(map(math.isfinite, row))
    if not fits or row[0] != int(row[0]) or row[1] != int(row[1]):
        raise ValueError(
            f"Expected line {number} of {name!r} to hold {', '.join(COLUMNS)}, the "
            f"first two whole and all finite numbers, got {line.strip()!r}."
        )
    return row
