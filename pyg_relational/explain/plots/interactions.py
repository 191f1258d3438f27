"""Pictures of who acts on whom: inferred interactions beside the true ones."""

import math
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from pyg_relational.explain.plots.parts import (
    Names,
    check_path,
    each,
    finite,
    legend_below,
    place_names,
    save,
    short,
    show_plane,
)

# Right, missed and wrong pairs differ in dashes and lightness, not only in colour.
LOOKS: dict[str, dict[str, Any]] = {
    "interaction": {"color": "0.2", "linestyle": "-"},
    "found": {"color": "0.2", "linestyle": "-"},
    "missed": {"color": "#0072b2", "linestyle": (0, (4, 2))},
    "false": {"color": "#d55e00", "linestyle": (0, (1, 1))},
}
WIDEST, THINNEST = 4.5, 1.2  # points


def plot_interactions(
    probability: Tensor,
    truth: Tensor | None = None,
    positions: Tensor | None = None,
    names: Names | None = None,
    *,
    edge_index: Tensor | None = None,
    threshold: float = 0.5,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    r"""Draws the pairs of a graph that are inferred to interact, as lines as wide as
    they are probable, beside those that do.

    Pairs have no direction: the mean probability of the directions that are given
    counts, and either of them makes a pair a true one. With :obj:`truth`, pairs that
    are found, missed and falsely inferred have different lines.

    Args:
        probability (torch.Tensor): That a pair interacts, :math:`[N, N]`, or
            :math:`[P]` of the pairs :obj:`edge_index`; pairs of an entity with itself
            are not read.
        truth (torch.Tensor, optional): Whether it does, boolean or zeros and ones, of
            the same shape. (default: :obj:`None`)
        positions (torch.Tensor, optional): Where the entities are, :math:`[N, 2]`.
            (default: on a circle)
        names (list of str, optional): A name an entity. (default: numbers from 0)
        edge_index (torch.Tensor, optional): Pairs of entities, :math:`[2, P]`.
            (default: :obj:`None`)
        threshold (float): The probability from which a pair is inferred to interact.
            (default: :obj:`0.5`)
        ax (matplotlib.axes.Axes, optional): Where to draw what is inferred, without
            :obj:`truth`. (default: a new figure, outside pyplot)
        title, path (optional): As in :func:`plot_attention`.

    Returns:
        matplotlib.axes.Axes: The inferred interactions; the true ones are
        :obj:`ax.figure.axes[0]`.

    Raises:
        ValueError: If shapes do not fit, or numbers are no probabilities.
        OSError: If :obj:`path` cannot be written.
    """
    check_path(path)
    n = _entities(probability, positions, edge_index)
    inferred = _pairs("probability", probability, n, edge_index)
    real = None
    if truth is not None:
        if truth.shape != probability.shape:
            raise ValueError(
                f"'truth' must have the shape of 'probability', "
                f"{list(probability.shape)} (got {list(truth.shape)})"
            )
        real = _pairs("truth", truth, n, edge_index) > 0
    if positions is None:
        angle = math.pi / 2 - 2 * math.pi * torch.arange(n, dtype=torch.double) / n
        place = torch.stack([angle.cos(), angle.sin()], dim=1)
    else:
        place = finite(positions, "positions")
    labels = [short(x) for x in each(names, n, "names", "one an entity", range(n))]
    if ax is not None and real is not None:
        raise ValueError(
            "'ax' holds one panel, 'truth' needs another; leave out one of them"
        )
    if ax is not None:
        panels = [ax]
    else:
        count = 1 if real is None else 2
        figure = Figure(figsize=(4.6 * count, 5.0), layout="constrained")
        panels = list(figure.subplots(1, count, squeeze=False).flat)
    drawn = _verdicts(inferred, real, threshold)
    if real is not None:
        edges = dict.fromkeys(_listed(real.nonzero()), ("interaction", 1.0))
        _draw(panels[0], place, edges, labels, "true")
        known = ~inferred.isnan()
        right = ((inferred >= threshold) == real)[known]
        text = f"inferred, {int(right.sum())} of {right.numel()} pairs right"
    else:
        text = "inferred"
    _draw(panels[-1], place, drawn, labels, text)
    kinds = [kind for kind in LOOKS if kind in {kind for kind, _ in drawn.values()}]
    handles = [
        Line2D([], [], label=kind, linewidth=2.5, **LOOKS[kind]) for kind in kinds
    ]
    panels[-1].set_xlabel("line width: probability")
    if handles and real is not None:
        legend_below(panels[-1], handles, 24.0)
    if title is not None:
        panels[0].figure.figure.suptitle(title)
    save(panels[-1], path)
    return panels[-1]


def _entities(
    probability: Tensor, positions: Tensor | None, edge_index: Tensor | None
) -> int:
    """The number of entities, after checks of the shapes that give it."""
    if positions is not None and (positions.dim() != 2 or positions.size(1) != 2):
        raise ValueError(
            f"'positions' must have shape [N, 2] (got {list(positions.shape)})"
        )
    if edge_index is None:
        if probability.dim() != 2 or probability.size(0) != probability.size(1):
            raise ValueError(
                f"'probability' must have shape [N, N], or [P] with 'edge_index' (got "
                f"{list(probability.shape)})"
            )
        n = probability.size(0)
    else:
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"'edge_index' must have shape [2, P] (got {list(edge_index.shape)})"
            )
        if probability.shape != edge_index.shape[1:]:
            raise ValueError(
                f"'probability' must have one entry for each of {edge_index.size(1)} "
                f"pairs (got shape {list(probability.shape)})"
            )
        known = 1 + int(edge_index.max()) if edge_index.numel() else 0
        n = known if positions is None else positions.size(0)
        if known > n or bool((edge_index < 0).any()):
            raise ValueError(
                f"'edge_index' must name entities from 0 to {n - 1} (got "
                f"{int(edge_index.min())} to {known - 1})"
            )
    if positions is not None and positions.size(0) != n:
        raise ValueError(
            f"'positions' must have a row for each of {n} entities (got "
            f"{positions.size(0)})"
        )
    if n == 0:
        raise ValueError("'probability' must be of at least one entity (got none)")
    return n


def _pairs(name: str, values: Tensor, n: int, edge_index: Tensor | None) -> Tensor:
    """Values of pairs (i, j) with i < j, [N, N], NaN where there is none."""
    values = finite(values, name)
    if bool(((values < 0) | (values > 1)).any()):
        raise ValueError(
            f"'{name}' must be from 0 to 1 (got {float(values.min()):.3g} to "
            f"{float(values.max()):.3g}); apply a sigmoid or softmax to scores"
        )
    if edge_index is None:
        edge_index = torch.ones(n, n).nonzero().T
        values = values.flatten()
    low, high = edge_index.cpu().sort(dim=0).values
    total, count = values.new_zeros(n, n), values.new_zeros(n, n)
    total.index_put_((low, high), values, accumulate=True)
    count.index_put_((low, high), torch.ones_like(values), accumulate=True)
    # 0 / 0 is NaN: that pair is not given.
    return (total / count).masked_fill(torch.eye(n, dtype=torch.bool), torch.nan)


def _verdicts(
    inferred: Tensor, real: Tensor | None, threshold: float
) -> dict[tuple[int, int], tuple[str, float]]:
    """The kind of line and its strength of each pair that is drawn."""
    drawn = {}
    for i, j in _listed((~inferred.isnan()).nonzero()):
        value = float(inferred[i, j])
        if real is not None and bool(real[i, j]):
            drawn[i, j] = ("found" if value >= threshold else "missed", value)
        elif value >= threshold:
            drawn[i, j] = ("interaction" if real is None else "false", value)
    return drawn


def _listed(pairs: Tensor) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in pairs]


def _draw(
    ax: Axes,
    place: Tensor,
    edges: dict[tuple[int, int], tuple[str, float]],
    names: list[str],
    title: str,
) -> None:
    show_plane(ax, place)
    ax.set_title(title)
    for (i, j), (kind, strength) in edges.items():
        ends = place[[i, j]].T.tolist()
        width = THINNEST + (WIDEST - THINNEST) * strength
        ax.plot(*ends, linewidth=width, zorder=1, solid_capstyle="butt", **LOOKS[kind])
    size = min(max(40.0 / len(place) ** 0.5, 6.0), 14.0)  # diameter in points
    look: dict[str, Any] = {"markerfacecolor": "0.8", "markeredgecolor": "0.2"}
    for x, y in place.tolist():
        ax.plot([x], [y], marker="o", markersize=size, linestyle="", zorder=3, **look)
    place_names(ax, place, names, torch.full((len(place), 1), size / 2).double())
