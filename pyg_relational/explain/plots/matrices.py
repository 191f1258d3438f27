"""Pictures of what objects are to each other: attention as heat maps, and what a
sentence is to a sentence, an image to an image."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.encoders.images import read_image, resized
from pyg_relational.explain.plots.parts import (
    FONT,
    Names,
    axis_names,
    check_path,
    each,
    finite,
    heads,
    save,
    short,
    top_pairs,
)

VALUES_UP_TO = 12  # objects a side up to which the cells show their values
SMALLEST_TICK, SMALLEST_VALUE = 6.0, 5.0  # points
NAMES = ("premise", "hypothesis")
MOST = 40  # tokens of a sentence that are drawn; more are not legible
CELL = 0.34  # inches
SIDE = 600  # pixels; larger images are scaled down before they are drawn
CHOSEN, OTHER = "#0072b2", "#b8b8b8"


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


def plot_sentence_pair(
    sentences: Sequence[str],
    probabilities: Mapping[str, float],
    *,
    data: Data | None = None,
    attention: tuple[Tensor, Tensor] | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    r"""Draws the probabilities of the relation of two sentences and, for a model that
    attends across them, its weights as heat maps: a row a token, a column a token of
    the other sentence that it attends to, the mean over heads.

    Args:
        sentences (list of str): Premise and hypothesis.
        probabilities (dict): The probability of each relation.
        data (torch_geometric.data.Data, optional): What a model was given; needed with
            :obj:`attention`: :obj:`tokens`, a list of names for each sentence, and the
            sentence :obj:`side` of each row :math:`(N)`, in the order of the names.
            (default: :obj:`None`)
        attention (tuple, optional): What the model returns: pairs of rows
            :math:`(2, E)`, from source to target, and their weights :math:`(E)` or
            :math:`(E, K)`. (default: :obj:`None`)
        title (str, optional): Title of the picture. (default: the most probable
            relation)
        path (str or Path, optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.figure.Figure: The picture: bars, then the heat maps of the tokens
        of the hypothesis and of those of the premise.

    Raises:
        OSError: If :obj:`path` cannot be written.
        ValueError: If there are not two sentences, probabilities are none, or tokens
            and weights do not fit each other.
    """
    check_path(path)
    if isinstance(sentences, str) or len(sentences) != 2:
        raise ValueError(
            f"'sentences' must be premise and hypothesis (got {sentences!r:.80})"
        )
    if attention is None:
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        bars = figure.subplots()
    else:
        matrices, names = _matrices(data, attention)
        sizes = [min(len(side), MOST) for side in names]
        size = (5.5 + CELL * sum(sizes), 2.2 + max(1.6, CELL * max(sizes)))
        figure = Figure(figsize=size, layout="constrained")
        ratios = [2.2 / CELL, *(max(side, 5) for side in sizes)]
        axes: Any = figure.subplots(1, 3, width_ratios=ratios)
        bars = axes[0]
        largest = max(float(matrix.max()) for matrix in matrices) or 1.0
        # The hypothesis first: it is what the premise has to bear out.
        for ax, target in zip(axes[1:], (1, 0), strict=True):
            image = _heat_map(ax, matrices[target], names, target, largest)
        figure.colorbar(image, ax=axes[1:], label="attention weight, mean of heads")
    plot_probabilities(probabilities, bars)
    best = max(probabilities, key=lambda answer: probabilities[answer])
    lines = [
        textwrap.shorten(f"{name}: {sentence}", 110)
        for name, sentence in zip(NAMES, sentences, strict=True)
    ]
    heading = "\n".join([title or f"hypothesis to premise: {best}", *lines])
    figure.suptitle(heading, fontsize=FONT + 1, parse_math=False)
    save(bars, path)
    return figure


def _matrices(
    data: Data | None, attention: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], list[list[str]]]:
    """For the tokens of each sentence, their weights of those of the other one."""
    if data is None or "tokens" not in data or "side" not in data:
        raise ValueError(
            "'data' must hold 'tokens' and 'side' with 'attention' (got "
            f"{'no data' if data is None else sorted(data.keys())})"
        )
    names = [list(side) for side in data.tokens]
    rows = [(data.side == side).nonzero()[:, 0].cpu() for side in (0, 1)]
    counts = [len(side) for side in rows]
    if [len(side) for side in names] != counts or 0 in counts:
        raise ValueError(
            f"'data' must name each row of 'side' in 'tokens' (got "
            f"{[len(side) for side in names]} names for {counts} rows)"
        )
    pairs, weights = attention[0].cpu(), finite(attention[1], "attention")
    # [E, K] -> [E]
    weights = weights.view(pairs.size(1), -1).mean(dim=1)
    matrix = weights.new_zeros(sum(counts), sum(counts))
    matrix[pairs[1], pairs[0]] = weights
    return [matrix[rows[side]][:, rows[1 - side]] for side in (0, 1)], names


def _heat_map(
    ax: Axes, matrix: Tensor, names: list[list[str]], target: int, largest: float
) -> AxesImage:
    shown = matrix[:MOST, :MOST].numpy()
    image = ax.imshow(shown, cmap="Blues", vmin=0.0, vmax=largest)
    columns = [short(name) for name in names[1 - target][:MOST]]
    labels = [short(name) for name in names[target][:MOST]]
    style: dict[str, Any] = {"fontsize": FONT, "parse_math": False}
    ax.set_xticks(range(len(columns)), columns, rotation=90, **style)
    ax.set_yticks(range(len(labels)), labels, **style)
    cut = max(map(len, names)) > MOST
    what = f" (first {MOST} tokens)" if cut else ""
    ax.set_xlabel(f"{NAMES[1 - target]}{what}", fontsize=FONT)
    ax.set_title(f"what the {NAMES[target]}\nattends to", fontsize=FONT)
    return image


def plot_image_pair(
    images: Sequence[str | Path | Tensor],
    probabilities: Mapping[str, float],
    *,
    data: Data | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    r"""Draws two images side by side, and the probabilities of their relation.

    Args:
        images (list): Two files, or two images :math:`(3, H, W)`, bytes.
        probabilities (dict): The probability of each relation.
        data (torch_geometric.data.Data, optional): What a model was given; if it has
            :obj:`seen` :math:`(2, h, w)`, the images as the model saw them are drawn
            in the corners. (default: :obj:`None`)
        title (str, optional): Title of the picture. (default: the most probable
            relation)
        path (str or Path, optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.figure.Figure: The picture.

    Raises:
        OSError: If a file cannot be read, or :obj:`path` cannot be written.
        ValueError: If there are not two images, one cannot be read, or probabilities
            are none.
    """
    check_path(path)
    if isinstance(images, str) or len(images) != 2:
        raise ValueError(f"'images' must be two files or tensors (got {images!r})")
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axes: Any = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    seen = None if data is None else data.get("seen")
    for place, (ax, image) in enumerate(zip(axes, images, strict=False)):
        pixels = image if isinstance(image, Tensor) else read_image(image)
        ax.imshow(_drawn(pixels))
        name = f": {short(Path(image).name)}" if not isinstance(image, Tensor) else ""
        ax.set_title(f"{('first', 'second')[place]}{name}", fontsize=FONT)
        ax.set_axis_off()
        if seen is not None:
            _draw_seen(ax, seen[place])
    plot_probabilities(probabilities, axes[2])
    best = max(probabilities, key=lambda answer: probabilities[answer])
    figure.suptitle(title or f"second to first: {best}")
    save(axes[2], path)
    return figure


def _drawn(pixels: Tensor) -> np.ndarray:
    """Pixels `[3, H, W]` as they are drawn, `[h, w, 3]` from 0 to 1."""
    longest = max(pixels.shape[1:])
    if longest > SIDE:
        size = [max(1, round(side * SIDE / longest)) for side in pixels.shape[1:]]
        pixels = resized(pixels[None], (size[0], size[1]))[0]
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    # [3, h, w] -> [h, w, 3]
    return pixels.clamp(0, 1).permute(1, 2, 0).numpy()


def _draw_seen(ax: Axes, seen: Tensor) -> None:
    inset = ax.inset_axes((0.68, 0.0, 0.32, 0.32))
    inset.imshow(seen.numpy(), cmap="gray")
    inset.set_xticks([])
    inset.set_yticks([])
    inset.set_xlabel("as compared", fontsize=FONT - 2)


def plot_probabilities(probabilities: Mapping[str, float], ax: Axes) -> None:
    r"""Draws the probability of each answer as a bar; the largest one stands out."""
    if not probabilities:
        raise ValueError("'probabilities' must name one or more answers (got none)")
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise ValueError(
                f"'probabilities' must lie between 0 and 1 (got {value} for {name!r})"
            )
    names, values = list(probabilities), list(probabilities.values())
    best = values.index(max(values))
    colours = [CHOSEN if place == best else OTHER for place in range(len(names))]
    ax.barh(range(len(names)), values, color=colours)
    for place, value in enumerate(values):
        ax.text(value + 0.02, place, f"{value:.1%}", va="center", fontsize=FONT)
    ax.set_yticks(range(len(names)), [short(name) for name in names], fontsize=FONT)
    ax.invert_yaxis()
    # Room for the numbers behind the bars.
    ax.set_xlim(0, 1.2)
    ax.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=FONT)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
