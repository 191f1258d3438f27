"""Pictures of paths in the plane: what was, what came, and what was expected."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from pyg_relational.explain.plots.parts import (
    Names,
    check_path,
    each,
    legend_below,
    panel,
    place_names,
    save,
    short,
)

# Told apart by dashes and marks, by lightness, and by colours that all can see.
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "0.35"
Look = dict[str, Any]
HISTORY: Look = {"color": GREY, "linestyle": "-", "linewidth": 1.4}
TRUE: Look = {"color": BLUE, "linestyle": (0, (5, 1.5)), "linewidth": 2}
PREDICTED: Look = {"color": ORANGE, "linestyle": (0, (1.2, 1.0)), "linewidth": 2.4}


def _marker(marker: str, face: str, edge: str, size: float) -> Look:
    colours = {"markerfacecolor": face, "markeredgecolor": edge}
    return {"marker": marker, **colours, "markersize": size}


START, NOW = _marker("o", "white", GREY, 6), _marker("o", GREY, GREY, 5)
TRUE_END = _marker("s", BLUE, "white", 7)
PREDICTED_END = _marker("X", ORANGE, "0.2", 8)


def plot_trajectories(
    history: Tensor,
    true: Tensor | None = None,
    predicted: Tensor | None = None,
    names: Names | None = None,
    *,
    history_mask: Tensor | None = None,
    future_mask: Tensor | None = None,
    unit: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    r"""Draws the paths of entities in the plane: their history as solid lines, their
    true future dashed with a square at its end, the predicted one dotted with a cross.

    Both futures go on from the last position of the history. Lines have gaps where an
    entity is absent; entities that are never there are left out.

    Args:
        history (torch.Tensor): Positions, :math:`[N, T, 2]`.
        true (torch.Tensor, optional): Positions of the frames after the history,
            :math:`[N, K, 2]`. (default: :obj:`None`)
        predicted (torch.Tensor, optional): What was expected of these frames, of the
            same shape. (default: :obj:`None`)
        names (list of str, optional): A name an entity, written where its history
            ends. (default: no names)
        history_mask (torch.Tensor, optional): Whether an entity is there in a frame,
            boolean :math:`[N, T]`; always by default. (default: :obj:`None`)
        future_mask (torch.Tensor, optional): The same of the frames after, boolean
            :math:`[N, K]`. (default: :obj:`None`)
        unit (str, optional): The unit of positions, such as :obj:`"m"`.
            (default: :obj:`None`)
        title, ax, path (optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.axes.Axes: What was drawn on.

    Raises:
        ValueError: If shapes do not fit, or the position of an entity that is there is
            not finite.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    past = _positions("history", history, "history_mask", history_mask)
    n = past.size(0)
    futures = {}
    for argument, value in {"true": true, "predicted": predicted}.items():
        if value is not None:
            futures[argument] = _positions(argument, value, "future_mask", future_mask)
            if len(value) != n:
                raise ValueError(
                    f"'{argument}' must have a path for each of {n} entities of "
                    f"'history' (got {len(value)})"
                )
    lengths = [future.size(1) for future in futures.values()]
    if len(lengths) == 2 and lengths[0] != lengths[1]:
        raise ValueError(
            f"'predicted' must have as many frames as 'true', {lengths[0]} (got "
            f"{lengths[1]})"
        )
    labels = each(names, n, "names", "one an entity", [""] * n)
    ax = panel(ax, 7, 6.4)
    ax.set_aspect("equal", adjustable="datalim")
    suffix = "" if unit is None else f" ({unit})"
    ax.set(xlabel=f"x{suffix}", ylabel=f"y{suffix}")
    if title is not None:
        ax.set_title(title)
    looks = {"true": (TRUE, TRUE_END, 3), "predicted": (PREDICTED, PREDICTED_END, 4)}
    for entity in range(n):
        _line(ax, past[entity], HISTORY, 2)
        _mark(ax, past[entity], 0, START, 5)
        _mark(ax, past[entity], -1, NOW, 5)
        for argument, future in futures.items():
            line, end, order = looks[argument]
            joined = torch.cat([past[entity, -1:], future[entity]])
            _line(ax, joined, line, order)
            _mark(ax, future[entity], -1, end, order + 3)
    entries = [
        Line2D([], [], linestyle="", label="start", **START),
        Line2D([], [], label="history, last position", **HISTORY, **NOW),
    ]
    for argument in futures:
        line, end, _ = looks[argument]
        entries.append(Line2D([], [], label=f"{argument} future, end", **line, **end))
    legend_below(ax, entries)
    ends = [(_seen(past[i])[-1:], labels[i]) for i in range(n) if labels[i]]
    ends = [(point, name) for point, name in ends if len(point)]
    if ends:
        points = torch.cat([point for point, _ in ends])
        radii = torch.full((len(ends), 1), 3.0, dtype=torch.double)
        place_names(ax, points, [short(name) for _, name in ends], radii)
    save(ax, path)
    return ax


def _positions(name: str, value: Tensor, mask_name: str, mask: Tensor | None) -> Tensor:
    """Returns positions in float64 on the CPU, NaN where an entity is absent."""
    if value.dim() != 3 or value.size(2) != 2 or not value.numel():
        raise ValueError(
            f"'{name}' must have shape [N, frames, 2], none of them 0 (got "
            f"{list(value.shape)}); pass one graph, and two of its coordinates"
        )
    value = value.detach().cpu().double()
    if mask is None:
        mask = torch.ones(value.shape[:2], dtype=torch.bool)
    if mask.shape != value.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"'{mask_name}' must be boolean of shape {list(value.shape[:2])}, as "
            f"'{name}' (got shape {list(mask.shape)}, dtype {mask.dtype})"
        )
    mask = mask.cpu()
    if not bool(value[mask].isfinite().all()):
        raise ValueError(
            f"'{name}' must be finite where an entity is there (got NaN or infinite "
            f"values); say in '{mask_name}' where it is absent"
        )
    return value.masked_fill(~mask.unsqueeze(-1), torch.nan)


def _seen(track: Tensor) -> Tensor:
    return track[~track[:, 0].isnan()]


def _line(ax: Axes, track: Tensor, look: Look, order: int) -> None:
    if len(_seen(track)):
        ax.plot(*track.T.tolist(), zorder=order, solid_capstyle="round", **look)


def _mark(ax: Axes, track: Tensor, which: int, look: Look, order: int) -> None:
    seen = _seen(track)
    if len(seen):
        x, y = seen[which].tolist()
        ax.plot([x], [y], linestyle="", zorder=order, **look)
