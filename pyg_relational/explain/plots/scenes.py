"""Pictures of scenes: objects where they are, joined by their weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.lines import Line2D
from torch import Tensor

from pyg_relational.explain.plots.parts import (
    FONT,
    Names,
    check_path,
    each,
    finite,
    panel,
    place_names,
    save,
    short,
    show_plane,
    top_pairs,
)

MARKERS = {"circle": "o", "square": "s"}
POSITIVE, NEGATIVE, DECIDING = "#2166ac", "#b2182b", "black"


def plot_scene(
    positions: Tensor,
    weights: Tensor | None = None,
    names: Names | None = None,
    *,
    colors: Sequence[Any] | None = None,
    shapes: Sequence[str] | None = None,
    deciding: tuple[int, int] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
    max_pairs: int = 8,
) -> Axes:
    r"""Draws objects where they are, joined by lines as wide and opaque as
    :math:`|w_{ij} + w_{ji}|` is large, coloured by its sign.

    Args:
        positions (torch.Tensor): Shape :math:`[n, 2]`: x to the right, y up.
        weights (torch.Tensor, optional): Shape :math:`[n, n]`.
        names (list of str, optional): A name an object. (default: numbers from 0)
        colors (list, optional): A matplotlib colour an object. (default: grey)
        shapes (list of str, optional): :obj:`"circle"` or :obj:`"square"` an object.
            (default: circles)
        deciding (tuple of int, optional): The pair to mark with dashes.
        title, ax, path (optional): As in :func:`plot_attention`.
        max_pairs (int): Lines drawn at most, the strongest. (default: :obj:`8`)

    Returns:
        matplotlib.axes.Axes: What was drawn on.

    Raises:
        ValueError: If shapes, numbers or names do not fit.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    if positions.dim() != 2 or positions.size(1) != 2 or not len(positions):
        raise ValueError(
            f"'positions' must have shape [n, 2], n > 0 (got {list(positions.shape)})"
        )
    place, n = finite(positions, "positions"), len(positions)
    if weights is not None and weights.shape != (n, n):
        raise ValueError(
            f"'weights' must have shape [{n}, {n}], as 'positions' has {n} objects "
            f"(got {list(weights.shape)}); take the mean of several heads first"
        )
    labels = each(names, n, "names", "one an object", range(n))
    fill = each(colors, n, "colors", "one an object", ["0.7"] * n)
    form = each(shapes, n, "shapes", "one an object", ["circle"] * n)
    for number in range(n):
        if form[number] not in MARKERS:
            raise ValueError(
                f"'shapes[{number}]' must be one of {', '.join(map(repr, MARKERS))} "
                f"(got {form[number]!r})"
            )
        if not is_color_like(fill[number]):
            raise ValueError(
                f"'colors[{number}]' must be a matplotlib colour (got "
                f"{fill[number]!r}); use a name, '#rrggbb' or three numbers in [0, 1]"
            )
    marked = [] if deciding is None else [int(index) for index in deciding]
    if deciding is not None and (
        len(marked) != 2 or not all(0 <= index < n for index in marked)
    ):
        raise ValueError(
            f"'deciding' must be two objects from 0 to {n - 1} (got {deciding})"
        )
    ax = panel(ax, 6, 6.6)
    show_plane(ax, place)
    if title is not None:
        ax.set_title(title)
    size = min(max(60.0 / n**0.5, 9.0), 20.0)  # diameter of a marker in points
    entries = [] if weights is None else _pair_lines(ax, place, weights, max_pairs)
    for point, colour, shape in zip(place.tolist(), fill, form, strict=True):
        look = {"color": colour, "marker": MARKERS[shape], "markersize": size}
        ax.plot(*point, markeredgecolor="0.2", linestyle="", zorder=3, **look)
    radii = torch.full((n, 1), size / 2, dtype=torch.double)
    if marked:
        dashes: dict[str, Any] = {"linestyle": (0, (3, 2)), "linewidth": 1.6}
        xs, ys = place[marked].T.tolist()
        ax.plot(xs, ys, color=DECIDING, zorder=2, **dashes)
        ring: dict[str, Any] = {**dashes, "facecolors": "none", "edgecolors": DECIDING}
        ax.scatter(xs, ys, s=(size + 7) ** 2, zorder=4, **ring)
        radii[marked] += 4.0
        entries.append(Line2D([], [], color=DECIDING, label="deciding pair", **dashes))
    if entries:
        ax.legend(
            handles=entries,
            title=None if weights is None else "weight of the pair, both directions",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.01),
            ncols=len(entries),
            fontsize=FONT,
            title_fontsize=FONT,
        )
    place_names(ax, place, [short(name) for name in labels], radii)
    save(ax, path)
    return ax


def _pair_lines(
    ax: Axes, place: Tensor, weights: Tensor, max_pairs: int
) -> list[Line2D]:
    """Join the strongest pairs; returns legend entries of the extremes of each sign."""
    both = finite(weights, "weights")
    both = (both + both.T).triu(1)
    pairs = [pair for pair in top_pairs(both, max(max_pairs, 1)) if pair[2]]
    pairs = pairs[: max(max_pairs, 0)]
    entries: list[Line2D] = []
    for sign, colour in ((1, POSITIVE), (-1, NEGATIVE)):
        drawn = [pair for pair in pairs if pair[2] * sign > 0]
        for i, j, weight in drawn:  # the strongest first
            share = abs(weight / pairs[0][2])
            look: dict[str, Any] = {
                "linewidth": 1 + 5 * share,
                "alpha": 0.25 + 0.65 * share,
                "color": colour,
                "solid_capstyle": "butt",
            }
            ends = place[[int(i), int(j)]].T.tolist()
            ax.plot(*ends, zorder=1, **look)
            if (i, j, weight) in (drawn[0], drawn[-1]):
                label = f"{weight:+.3g}"
                entries.append(Line2D([], [], label=label, **look))
    return entries
