"""Pictures of what objects are to each other: heat maps of pairs, and scenes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from pyg_relational.explain.plot_parts import (
    FONT,
    Names,
    axis_names,
    check_path,
    each,
    heads,
    save,
    short,
    top_pairs,
)
from pyg_relational.explain.scene_plot import plot_scene

__all__ = ["plot_attention", "plot_scene", "top_pairs"]

VALUES_UP_TO = 12  # objects a side up to which the cells show their values
SMALLEST_TICK, SMALLEST_VALUE = 6.0, 5.0  # points


def plot_attention(
    weights: Tensor | Sequence[Tensor],
    names: Names | Sequence[Names] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
    max_objects: int = 40,
    value_name: str = "attention weight",
    top_k: int = 10,
) -> Axes:
    r"""Draws weights of pairs as heat maps, one panel a head and one row a graph, on
    one colour scale. With negative weights, white is zero, blue is positive.

    Args:
        weights (torch.Tensor or list of torch.Tensor): :math:`[n, m]` or, of :math:`K`
            heads, :math:`[K, n, m]`; targets in rows, sources in columns. A list is a
            batch of graphs.
        names (list of str, optional): A name an object, for both axes; a list of such
            lists for a batch. (default: the numbers from 0)
        title (str, optional): Title of the picture.
        ax (matplotlib.axes.Axes, optional): Where to draw a single panel. (default: a
            new figure, outside pyplot)
        path (str or Path, optional): PNG or SVG file, written whole or not at all.
        max_objects (int): Objects a side that are still drawn. (default: :obj:`40`)
        value_name (str): Label of the colour bar.
        top_k (int): Pairs that the error about :obj:`max_objects` lists.
            (default: :obj:`10`)

    Returns:
        matplotlib.axes.Axes: The first panel; all are in :obj:`ax.figure.axes`.

    Raises:
        ValueError: If shapes or numbers do not fit, or a graph has too many objects.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    batch = not isinstance(weights, Tensor)
    graphs, labels = [], []
    listed: list[Any] = list(weights) if batch else [weights]
    if not listed:
        raise ValueError("'weights' must hold at least one graph (got an empty list)")
    naming: list[Any] = [names]
    if batch:
        nothing = [None] * len(listed)
        naming = each(names, len(listed), "names", "one a graph", nothing)
    for number, (graph, own) in enumerate(zip(listed, naming, strict=True)):
        index = f"[{number}]" if batch else ""
        graphs.append(heads(graph, f"weights{index}"))
        labels.append(axis_names(own, graphs[-1][0], f"names{index}"))
        if max(graphs[-1].shape[1:]) > max_objects:
            shown = ", ".join(
                f"({target}, {source}, {weight:.3g})"
                for target, source, weight in top_pairs(graph, max(top_k, 1), own)
            )
            raise ValueError(
                f"'weights{index}' must have at most {max_objects} objects a side to "
                f"be legible (got {' x '.join(map(str, graphs[-1].shape[1:]))}); raise "
                f"'max_objects', or use top_pairs(weights{index}, k), which lists the "
                f"strongest pairs (target, source, weight): {shown}"
            )
    count = len(graphs[0])
    if any(len(graph) != count for graph in graphs):
        raise ValueError(
            f"'weights' must have the same number of heads in each graph (got "
            f"{[len(graph) for graph in graphs]}); draw them one by one"
        )
    if ax is not None and len(graphs) * count > 1:
        raise ValueError(
            f"'ax' holds one panel, 'weights' must be one [n, m] matrix with it (got "
            f"{len(graphs)} graphs of {count} heads); leave out 'ax'"
        )
    most = max(max(graph.shape[1:]) for graph in graphs)
    if ax is None:
        largest = 7.0 if len(graphs) * count == 1 else max(min(20.0 / count, 5.0), 2.4)
        side = min(max(0.5 * most, 2.4), largest)
        size = (side * count + 1.8, side * len(graphs) + 1.0)
        figure = Figure(figsize=size, layout="compressed")
        panels = list(figure.subplots(len(graphs), count, squeeze=False).flat)
    else:
        panels, figure = [ax], ax.figure.figure
    limit = max(float(graph.abs().max()) for graph in graphs) or 1.0
    signed = any(bool((graph < 0).any()) for graph in graphs)
    style = {"cmap": "RdBu" if signed else "Blues", "vmax": limit}
    images = []
    for number, panel in enumerate(panels):
        row, head = divmod(number, count)
        image = panel.imshow(
            graphs[row][head].numpy(), vmin=-limit if signed else 0.0, **style
        )
        images.append(image)
        parts = [f"graph {row}"] * batch + [f"head {head}"] * (count > 1)
        if len(panels) > 1:
            panel.set_title(", ".join(parts), fontsize=FONT + 1)
        if row == len(graphs) - 1:
            panel.set_xlabel("source")
        if head == 0:
            panel.set_ylabel("target")
        # As large as they get: fitting below then only gives room to the panels.
        _ticks(panel, labels[row], head == 0, size=FONT, rotation=90)
    if title is not None and len(panels) > 1:
        figure.suptitle(title)
    elif title is not None:
        panels[0].set_title(title)
    figure.colorbar(
        images[0],
        ax=panels,
        label=value_name,
        fraction=0.15 / count,
        pad=0.05 / count,
        aspect=20 * len(graphs),
    )
    figure.draw_without_rendering()
    for number, (panel, image) in enumerate(zip(panels, images, strict=True)):
        row, head = divmod(number, count)
        _fit_ticks(panel, labels[row], head == 0)
        _cell_values(panel, image, graphs[row][head], limit)
    save(panels[0], path)
    return panels[0]


def _ticks(
    ax: Axes, names: tuple[list[str], list[str]], left: bool, step: int = 1, **font: Any
) -> None:
    targets, sources = ([short(name) for name in side[::step]] for side in names)
    ax.set_xticks(range(0, len(names[1]), step), sources, parse_math=False, **font)
    font["rotation"] = 0
    shown = targets if left else [""] * len(targets)
    ax.set_yticks(range(0, len(names[0]), step), shown, parse_math=False, **font)


def _fit_ticks(ax: Axes, names: tuple[list[str], list[str]], left: bool) -> None:
    """Shrink, thin out and turn the labels of a drawn panel so that none overlap."""
    scale = 72 / ax.figure.figure.dpi
    cell = ax.get_window_extent().height * scale / len(names[0])
    step = math.ceil(1.3 * SMALLEST_TICK / cell)
    size = min(FONT, step * cell / 1.3)
    longest = max(
        label.get_window_extent().height for label in ax.get_xticklabels()[::step]
    )
    level = longest * scale * size / FONT < 0.9 * step * cell
    _ticks(ax, names, left, step, size=size, rotation=0 if level else 90)


def _cell_values(ax: Axes, image: AxesImage, values: Tensor, limit: float) -> None:
    """Write the values into the cells of a drawn panel if they are readable there."""
    if max(values.shape) > VALUES_UP_TO:
        return
    decimals = max(1 - math.floor(math.log10(limit)), 2 if limit < 100 else 0)
    form = f"z.{decimals}f" if 1e-4 <= limit < 1e5 else "z.1e"
    shades = torch.from_numpy(image.cmap(image.norm(values.numpy())))
    # Relative luminance; from 0.18 on black has the higher contrast.
    light = shades[..., :3] ** 2.2 @ shades.new_tensor([0.2126, 0.7152, 0.0722])
    texts = [
        ax.text(
            column,
            row,
            format(float(values[row, column]), form),
            color="black" if light[row, column] > 0.18 else "white",
            fontsize=FONT,
            ha="center",
            va="center",
        )
        for row in range(values.size(0))
        for column in range(values.size(1))
    ]
    room = 0.85 * ax.get_window_extent().height / values.size(0)
    size = FONT * min(1.0, room / max(t.get_window_extent().width for t in texts))
    for text in texts:
        if size < SMALLEST_VALUE:
            text.remove()
        text.set_fontsize(size)
