"""Pictures of which steps of a sequence counted."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from pyg_relational.explain.plots.parts import (
    FONT,
    Names,
    check_path,
    each,
    finite,
    legend_below,
    panel,
    save,
    short,
)

MARK = "#d55e00"
WORDS_UP_TO = 30  # steps a row up to which their names are written into the cells
LABELS_UP_TO = 24  # frames up to which each has its number


def plot_frame_attention(
    weights: Tensor,
    mask: Tensor | None = None,
    names: Names | None = None,
    *,
    marked: Tensor | None = None,
    marked_name: str = "marked",
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
    value_name: str = "attention weight",
) -> Axes:
    r"""Draws the weights of frames as a heat map: a row an entity, a column a frame;
    where an entity is absent, the cell is hatched.

    A model with attention over frames gives :obj:`out, (index, alpha) = model(...,
    return_attention_weights=True)`, with a column (frame, node) of :obj:`index` for
    each weight; of one graph, :obj:`weights[index[1], index[0]] = alpha` makes the
    matrix.

    Args:
        weights (torch.Tensor): The weight of each entity in each frame, not negative,
            :math:`[N, T]`; not read where an entity is absent.
        mask (torch.Tensor, optional): Whether an entity is there in a frame, boolean
            :math:`[N, T]`; always by default. (default: :obj:`None`)
        names (list of str, optional): A name an entity. (default: the numbers from 0)
        marked (torch.Tensor, optional): Cells to put a frame around, such as the
            frames that the answer depends on, boolean :math:`[N, T]`.
            (default: :obj:`None`)
        marked_name (str): What these cells are. (default: :obj:`"marked"`)
        title, ax, path, value_name (optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.axes.Axes: The heat map.

    Raises:
        ValueError: If shapes do not fit, or weights are negative or not finite.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    if weights.dim() != 2 or not weights.numel():
        raise ValueError(
            f"'weights' must have shape [N, T], none of them 0 (got "
            f"{list(weights.shape)}); pass one graph"
        )
    there = _cells("mask", mask, weights, default=True)
    boxes = _cells("marked", marked, weights, default=False)
    values = finite(weights.detach().cpu().masked_fill(~there, 0), "weights")
    if bool((values < 0).any()):
        raise ValueError(
            f"'weights' must not be negative (got {float(values.min()):.3g})"
        )
    n, frames = values.shape
    labels = each(names, n, "names", "one an entity", range(n))
    ax = panel(ax, min(3.0 + 0.36 * frames, 20.0), min(1.9 + 0.36 * n, 16.0))
    grid = np.ma.masked_array(values.numpy(), mask=~there.numpy())
    image = ax.imshow(
        grid, cmap="Blues", vmin=0.0, vmax=float(values.max()) or 1.0, aspect="auto"
    )
    handles = []
    if not bool(there.all()):
        look: dict[str, Any] = {
            "facecolor": "white",
            "edgecolor": "0.6",
            "hatch": "////",
        }
        _boxes(ax, ~there, linewidth=0.0, zorder=2, **look)
        handles.append(Patch(label="absent", **look))
    if bool(boxes.any()):
        look = {"facecolor": "none", "edgecolor": MARK}
        _boxes(ax, boxes, linewidth=2.2, zorder=3, **look)
        handles.append(Patch(label=marked_name, linewidth=2.2, **look))
    step = math.ceil(frames / LABELS_UP_TO)
    ax.set_xticks(range(0, frames, step))
    ax.set_yticks(range(n), [short(name) for name in labels], parse_math=False)
    ax.set(xlabel="frame", ylabel="entity")
    if title is not None:
        ax.set_title(title)
    ax.figure.figure.colorbar(image, ax=ax, label=value_name)
    if handles:
        legend_below(ax, handles)
    save(ax, path)
    return ax


def _cells(name: str, value: Tensor | None, weights: Tensor, default: bool) -> Tensor:
    """Returns a boolean cell for each weight, on the CPU."""
    if value is None:
        return torch.full(weights.shape, default)
    if value.shape != weights.shape or value.dtype != torch.bool:
        raise ValueError(
            f"'{name}' must be boolean of shape {list(weights.shape)}, as 'weights' "
            f"(got shape {list(value.shape)}, dtype {value.dtype})"
        )
    return value.cpu()


def _boxes(ax: Axes, cells: Tensor, **look: Any) -> None:
    for row, column in cells.nonzero().tolist():
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, **look))


def plot_steps(
    alpha: Tensor,
    sequence: Tensor,
    names: Sequence[str] | None = None,
    *,
    steps: Sequence[Sequence[str]] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
    value_name: str = "attention weight",
) -> Axes:
    r"""Draws the weights of steps as a heat map: a row a sample, a column a step.

    A model with attention over steps gives them:
    :obj:`out, (edge_index, alpha) = model(..., return_attention_weights=True)`;
    :obj:`sequence` is then :obj:`edge_index[1]`.

    Args:
        alpha (torch.Tensor): The weight of each step, :math:`[S]`.
        sequence (torch.Tensor): The sequence of each step, ascending, :math:`[S]`.
        names (list of str, optional): A name a sequence. (default: the numbers from 0)
        steps (list of list of str, optional): What each step of each sequence is, such
            as its word; written into the cells of up to 30 steps.
            (default: :obj:`None`)
        title, ax, path, value_name (optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.axes.Axes: The heat map.

    Raises:
        ValueError: If shapes or numbers do not fit, or weights are not finite.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    if alpha.dim() != 1 or alpha.shape != sequence.shape or alpha.numel() == 0:
        raise ValueError(
            f"'alpha' and 'sequence' must be vectors of the same length, one entry a "
            f"step (got shapes {list(alpha.shape)} and {list(sequence.shape)})"
        )
    if bool((sequence.diff() < 0).any()):
        raise ValueError(
            "'sequence' must be ascending (got a smaller number after a larger one)"
        )
    if not bool(alpha.isfinite().all()):
        raise ValueError("'alpha' must be finite (got NaN or infinity)")
    values = alpha.detach().double().cpu().numpy()
    largest = values.max() or 1.0
    length = np.bincount(sequence.cpu().numpy())
    rows = list(np.split(values, length.cumsum()[:-1]))
    labels = each(names, len(rows), "names", "one a sequence", range(len(rows)))
    words = each(steps, len(rows), "steps", "one list a sequence", [None] * len(rows))
    for number, (row, own) in enumerate(zip(rows, words, strict=True)):
        if own is not None:
            each(own, len(row), f"steps[{number}]", "one a step", ())
    longest = int(length.max())
    # Where a sequence has ended there is nothing, not a weight of zero.
    grid = np.full((len(rows), longest), np.nan)
    for row, target in zip(rows, grid, strict=True):
        target[: len(row)] = row
    wide = 0.75 if steps is not None and longest <= WORDS_UP_TO else 0.3
    size = (min(2.5 + wide * longest, 24.0), min(1.5 + 0.35 * len(rows), 20.0))
    ax = panel(ax, *size, layout="compressed")
    image = ax.imshow(grid, cmap="Blues", vmin=0.0, vmax=largest, aspect="auto")
    ax.set_facecolor("0.93")
    ax.set(xlabel="step", ylabel="sample", title=title or "")
    ax.set_yticks(range(len(rows)), [short(x) for x in labels], parse_math=False)
    if longest <= WORDS_UP_TO:
        for number, own in enumerate(words):
            _write(ax, number, own or (), rows[number] / largest)
    ax.figure.figure.colorbar(image, ax=ax, label=value_name)
    save(ax, path)
    return ax


def _write(ax: Axes, row: int, words: Sequence[str], shade: np.ndarray) -> None:
    for column, (word, dark) in enumerate(zip(words, shade, strict=False)):
        ax.text(
            column,
            row,
            word if len(word) <= 11 else f"{word[:10]}…",
            ha="center",
            va="center",
            fontsize=FONT - 2,
            color="white" if dark > 0.6 else "black",
            parse_math=False,
        )
