"""Temporal graphs from tables of trajectories, and windows of them for forecasting."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_relational.data.temporal import TemporalGraph, values_of_one


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
    _check_finite(frames, frame, lambda row: f"row {row}")
    for name, value in zip(features, values, strict=True):
        _check_finite(
            value,
            name,
            lambda row: f"entity {columns[entity][row]} at frame {columns[frame][row]}",
        )
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


def windows(
    graph: TemporalGraph,
    history: int,
    horizon: int,
    stride: int = 1,
    target_channels: int | None = None,
) -> list[TemporalGraph]:
    r"""Cuts a temporal graph into samples of :obj:`history` frames, whose targets are
    the features of the :obj:`horizon` frames after them.

    Nothing but :obj:`y` and :obj:`y_mask` depends on later frames: a sample has the
    nodes that are observed in its history and no others, their features and mask, the
    edges of the history (those with a time renumbered, static ones between its nodes)
    and the part of attributes of frames that falls into it. Further attributes are
    kept, those of nodes and edges for the nodes and edges of the sample; they must
    not know the future.

    A history in which nothing is observed gives no sample. Empty frames among others
    stay.

    Args:
        graph (TemporalGraph): One graph, not a batch.
        history (int): The number of frames that a sample shows.
        horizon (int): The number of frames to forecast.
        stride (int): How many frames after one sample the next begins.
            (default: :obj:`1`)
        target_channels (int, optional): How many of the features, the first ones,
            are to be forecast; all by default. (default: :obj:`None`)

    Returns:
        list of TemporalGraph: Samples with :obj:`y` :math:`[N, horizon, F']`, zero
        where a node is absent, :obj:`y_mask` :math:`[N, horizon]`, and :obj:`start`
        :math:`[1]`, the first frame of the sample.

    Raises:
        ValueError: If the graph has fewer frames than a sample needs, a number is
            smaller than 1, or a batch is given.
    """
    given = {"history": history, "horizon": horizon, "stride": stride}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"'{name}' must be an integer of at least 1 (got {value})")
    x, mask = values_of_one(graph)
    channels = x.size(2) if target_channels is None else target_channels
    if not 1 <= channels <= x.size(2):
        raise ValueError(
            f"'target_channels' must be from 1 to {x.size(2)}, the number of features "
            f"(got {channels})"
        )
    length = x.size(1)
    if length < history + horizon:
        raise ValueError(
            f"'graph' must have at least {history + horizon} frames, {history} of "
            f"history and {horizon} of horizon (got a series of {length})"
        )
    samples = []
    for start in range(0, length - history - horizon + 1, stride):
        stop = start + history
        nodes = mask[:, start:stop].any(dim=1).nonzero().flatten()
        if not nodes.numel():
            continue
        sample = _between(graph, x, mask, start, stop).subgraph(nodes)
        seen = mask[nodes, stop : stop + horizon]
        future = x[nodes, stop : stop + horizon, :channels]
        sample.y = future.where(seen.unsqueeze(-1), torch.zeros_like(future))
        sample.y_mask = seen
        sample.start = torch.tensor([start], device=x.device)
        samples.append(sample)
    return samples


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


def _check_finite(values: np.ndarray, name: str, where: Callable[[int], str]) -> None:
    wrong = (~np.isfinite(values)).nonzero()[0]
    if wrong.size:
        raise ValueError(
            f"column '{name}' must be finite (got {values[wrong[0]]} for "
            f"{where(wrong[0])}); leave the rows of absent entities out"
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


def _between(
    graph: TemporalGraph, x: Tensor, mask: Tensor, start: int, stop: int
) -> TemporalGraph:
    """Returns a graph of some of the frames."""
    out = copy.copy(graph)
    if "edge_time" in out:
        time = graph.edge_time
        out = out.edge_subgraph((time >= start) & (time < stop))
        out.edge_time = out.edge_time - start
    out.x_steps = x[:, start:stop].flatten(0, 1)
    out.mask_steps = mask[:, start:stop].flatten()
    out.num_frames = torch.tensor([stop - start], device=x.device)
    for name, value in graph:
        if name.startswith("frame_"):
            out[name] = value[start:stop]
    return out
