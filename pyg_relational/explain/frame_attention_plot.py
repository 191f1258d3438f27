"""Pictures of which frames of which entity counted."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from pyg_relational.explain.plot_parts import (
    Names,
    check_path,
    each,
    finite,
    legend_below,
    save,
    short,
)

MARK = "#d55e00"
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
        title (str, optional): Title of the picture. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: a new figure,
            outside pyplot)
        path (str or Path, optional): PNG or SVG file, written whole or not at all.
            (default: :obj:`None`)
        value_name (str): Label of the colour bar.
            (default: :obj:`"attention weight"`)

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
    if ax is None:
        size = (min(3.0 + 0.36 * frames, 20.0), min(1.9 + 0.36 * n, 16.0))
        ax = Figure(figsize=size, layout="constrained").subplots()
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
