"""What the pictures share: the strongest pairs, argument checks, files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

Names = Sequence[str]
FONT = 9.0  # points


def top_pairs(
    weights: Tensor, k: int = 10, names: Names | None = None
) -> list[tuple[str | int, str | int, float]]:
    r"""Lists the strongest pairs by absolute weight, pairs of an object with itself
    included; of several heads the mean counts.

    Args:
        weights (torch.Tensor): :math:`[n, m]` or, of :math:`K` heads,
            :math:`[K, n, m]`; targets in rows, sources in columns.
        k (int): How many pairs; all of them if there are fewer. (default: :obj:`10`)
        names (list of str, optional): A name an object; otherwise its number is given.

    Returns:
        list: Tuples (target, source, weight), the strongest first.

    Raises:
        ValueError: If shapes or numbers do not fit.
    """
    mean = heads(weights, "weights").mean(0)
    rows, columns = axis_names(names, mean, "names")
    if k < 1:
        raise ValueError(f"'k' must be at least 1 (got {k})")
    order = mean.abs().flatten().sort(descending=True, stable=True).indices[:k]
    pairs = [divmod(index, mean.size(1)) for index in order.tolist()]
    if names is None:
        return [(i, j, float(mean[i, j])) for i, j in pairs]
    return [(rows[i], columns[j], float(mean[i, j])) for i, j in pairs]


def heads(weights: Any, name: str) -> Tensor:
    """Return weights as finite numbers of one or more heads, `[K, n, m]`."""
    weights = torch.as_tensor(weights)
    if weights.dim() not in (2, 3) or weights.numel() == 0:
        raise ValueError(
            f"'{name}' must have shape [n, m] or [heads, n, m], none of them 0 (got "
            f"{list(weights.shape)}); pass graphs of a batch as a list"
        )
    return finite(weights if weights.dim() == 3 else weights[None], name)


def finite(values: Tensor, name: str) -> Tensor:
    """Return values in float64 on the CPU; refuse NaN and infinity."""
    values = values.detach().cpu().double()
    if not bool(values.isfinite().all()):
        raise ValueError(f"'{name}' must be finite (got NaN or infinite values)")
    return values


def each(values: Any, count: int, name: str, what: str, default: Any) -> list[Any]:
    """Return a list of so many values, or the default where there is none."""
    if values is None:
        return list(default)
    if isinstance(values, str) or len(values) != count:
        got = repr(values) if isinstance(values, str) else len(values)
        raise ValueError(f"'{name}' must be a list of {count}, {what} (got {got})")
    return list(values)


def axis_names(names: Any, weights: Tensor, name: str) -> tuple[list[str], list[str]]:
    """Return the names of rows and of columns of a matrix."""
    rows, columns = weights.shape
    if names is not None and rows != columns:
        raise ValueError(
            f"'{name}' names both axes, the weights must be square with it (got "
            f"{rows} x {columns}); leave out 'names'"
        )
    targets, sources = (
        [str(own) for own in each(names, count, name, "one an object", range(count))]
        for count in (rows, columns)
    )
    return targets, sources


def short(name: object) -> str:
    """Return a name, cut to 24 characters."""
    text = str(name)
    return text if len(text) <= 24 else f"{text[:23]}…"


def legend_below(ax: Axes, handles: list[Any], points: float = 36.0) -> None:
    """Write a legend in one row, so many points below the axes."""
    down = ScaledTranslation(0.0, -points / 72, ax.figure.figure.dpi_scale_trans)
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + down,
        borderaxespad=0.0,
        ncols=len(handles),
        fontsize=FONT,
        frameon=False,
    )


def check_path(path: str | Path | None) -> None:
    """Refuse files that are neither PNG nor SVG."""
    if path is not None and Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"'path' must end in '.png' or '.svg' (got '{path}')")


def save(ax: Axes, path: str | Path | None) -> None:
    """Write the figure under a temporary name, then rename it."""
    if path is None:
        return
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    form = path.suffix.lower()[1:]
    try:
        ax.figure.figure.savefig(partial, format=form, dpi=150, bbox_inches="tight")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# Probabilities of answers as bars.


CHOSEN, OTHER = "#0072b2", "#b8b8b8"


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
