"""Temporal graphs from tables of trajectories, a row for each entity and frame."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pyg_relational.data.temporal import TemporalGraph


def from_trajectories(
    table: Mapping[str, Any],
    frame: str = "frame",
    entity: str = "entity",
    features: Sequence[str] = ("x", "y"),
    frame_step: float | None = None,
) -> TemporalGraph:
    r"""Turns a table of trajectories into a temporal graph.

    Rows may come in any order: frames are sorted by their number, entities by theirs.
    An entity is absent from the frames that it has no row of, and its features there
    are zero. With :obj:`frame_step`, frames between the first and the last that no row
    names are empty frames; without, the frames that are named follow each other.

    Args:
        table (pandas.DataFrame or mapping): The table, or its columns by name.
        frame (str): The column with the number or time of the frame.
            (default: :obj:`"frame"`)
        entity (str): The column that says whose row it is: integers, kept as
            :obj:`node_id`, or names, kept as the list :obj:`node_names`.
            (default: :obj:`"entity"`)
        features (sequence of str): The columns that make up :obj:`x`.
            (default: :obj:`("x", "y")`)
        frame_step (float, optional): What the number of a frame grows by from one to
            the next. (default: :obj:`None`)

    Returns:
        TemporalGraph: A graph without edges; :obj:`frame_time` has the number of each
        frame.

    Raises:
        ValueError: If a column is missing, is not as long as the others or has no
            numbers, there is no row, an entity has two rows in a frame, a value is not
            finite, or a frame does not fit :obj:`frame_step`; entity and frame are
            named.
    """
    columns = _columns(table, [frame, entity, *features])
    frames = _numbers(columns[frame], frame)
    entities, names = _entities(columns[entity], entity)
    values = [_numbers(columns[name], name) for name in features]
    _check_finite(frames, frame, columns)
    for name, value in zip(features, values, strict=True):
        _check_finite(value, name, columns, frame, entity)
    known, time = _frames(frames, frame_step)
    _check_repeats(time, entities, columns[frame], columns[entity])
    nodes = int(entities.max()) + 1
    where = (torch.from_numpy(entities), torch.from_numpy(time))
    x = torch.zeros(nodes, len(known), len(values))
    for i, value in enumerate(values):
        x[(*where, torch.full_like(where[0], i))] = torch.from_numpy(value).to(x.dtype)
    mask = torch.zeros(nodes, len(known), dtype=torch.bool)
    mask[where] = True
    extra: dict[str, Any] = {"frame_time": torch.from_numpy(_whole(known))}
    if names.dtype.kind in "iu":
        extra["node_id"] = torch.from_numpy(names.astype(np.int64))
    else:
        extra["node_names"] = names.tolist()
    return TemporalGraph(x, mask, **extra)


def _columns(table: Mapping[str, Any], names: Sequence[str]) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for name in names:
        if name not in table:
            known = ", ".join(repr(key) for key in table)
            raise ValueError(f"'table' must have a column '{name}' (got {known})")
        out[name] = np.asarray(table[name])
    rows = len(out[names[0]])
    if rows == 0:
        raise ValueError("'table' must have a row (got none)")
    for name, column in out.items():
        if column.shape != (rows,):
            raise ValueError(
                f"column '{name}' must have one value for each of {rows} rows (got "
                f"shape {list(column.shape)})"
            )
    return out


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column '{name}' must hold numbers (got {column.dtype})"
        ) from error


def _entities(column: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the node of each row and what each node is called."""
    if column.dtype.kind == "f":
        whole = _whole(column)
        if whole.dtype.kind == "f":
            wrong = column[column != np.round(column)][0]
            raise ValueError(
                f"column '{name}' must hold integers or names (got {wrong})"
            )
        column = whole
    try:
        names, nodes = np.unique(column, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"column '{name}' must hold integers or names, not a mixture ({error})"
        ) from error
    return nodes, names


def _frames(frames: np.ndarray, step: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of each frame and the frame of each row."""
    if step is None:
        known, time = np.unique(frames, return_inverse=True)
        return known, time
    if not step > 0:
        raise ValueError(f"'frame_step' must be positive (got {step})")
    first = frames.min()
    count = (frames - first) / step
    time = np.round(count).astype(np.int64)
    wrong = np.abs(count - time) > 1e-6
    if wrong.any():
        raise ValueError(
            f"'frame_step' must lead from frame {first:g} to every other in steps of "
            f"{step:g} (got frame {frames[wrong][0]:g})"
        )
    return first + step * np.arange(time.max() + 1), time


def _check_finite(
    values: np.ndarray,
    name: str,
    columns: Mapping[str, np.ndarray],
    frame: str | None = None,
    entity: str | None = None,
) -> None:
    wrong = (~np.isfinite(values)).nonzero()[0]
    if not wrong.size:
        return
    row = wrong[0]
    where = f"row {row}"
    if frame is not None and entity is not None:
        where = f"entity {columns[entity][row]} at frame {columns[frame][row]}"
    raise ValueError(
        f"column '{name}' must be finite (got {values[row]} for {where}); leave the "
        f"rows of absent entities out"
    )


def _check_repeats(
    time: np.ndarray, nodes: np.ndarray, frames: np.ndarray, entities: np.ndarray
) -> None:
    places = time * (nodes.max() + 1) + nodes
    _, first, count = np.unique(places, return_index=True, return_counts=True)
    if (count > 1).any():
        row = first[count > 1][0]
        raise ValueError(
            f"'table' must have one row for each entity and frame (got "
            f"{count.max()} for entity {entities[row]} at frame {frames[row]})"
        )


def _whole(values: np.ndarray) -> np.ndarray:
    """Returns the values as integers if they are all whole."""
    if np.isfinite(values).all() and (values == np.round(values)).all():
        return values.astype(np.int64)
    return values
