"""What the pictures share: checks of arguments, panels, names in the plane, files."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

from pyg_relational._files import write_atomic

Names = Sequence[str]
FONT = 9.0  # points
# Where a name may go, best first: beside its marker, then further away (points).
SIDES = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
GAPS = (2.0, 9.0, 18.0, 30.0)


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


def panel(ax: Axes | None, *size: float, layout: Any = "constrained") -> Axes:
    """Return where to draw: what was given, or a new figure outside pyplot."""
    if ax is not None:
        return ax
    return Figure(figsize=(size[0], size[1]), layout=layout).subplots()


def show_plane(ax: Axes, place: Tensor) -> None:
    """Give a panel the square that holds all points, with room around them."""
    low, high = place.amin(0), place.amax(0)
    x, y = ((low + high) / 2).tolist()
    half = 0.62 * (float((high - low).max()) or 1.0)
    limits = {"xlim": (x - half, x + half), "ylim": (y - half, y + half)}
    ax.set(aspect="equal", xticks=[], yticks=[], **limits)


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


def place_names(ax: Axes, place: Tensor, names: list[str], radii: Tensor) -> None:
    """Write each name where it covers no marker or other name, and few lines."""
    figure = ax.figure.figure
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    centres = torch.from_numpy(ax.transData.transform(place.numpy()))
    frame = torch.tensor(ax.get_window_extent().extents)
    reach = (radii + 2) * pixels
    taken = torch.cat([centres - reach, centres + reach], 1)
    dots = [centres[:0]]
    for line in ax.lines:
        points = torch.from_numpy(ax.transData.transform(line.get_xydata()))
        between = torch.linspace(0, 1, 2 + 98 // max(1, len(points) - 1))[:, None]
        for start, end in pairwise(points):
            dots.append(start + between * (end - start))
    dot = torch.cat(dots)
    # A line has a gap where a position is not known.
    dot = dot[~dot.isnan().any(dim=1)]
    lines = torch.cat([dot - 3, dot + 3], 1)
    sides = torch.tensor(SIDES, dtype=torch.double).repeat(len(GAPS), 1)
    gaps = torch.tensor(GAPS).repeat_interleave(len(SIDES))[:, None] * pixels
    for centre, radius, point, name in zip(
        centres, radii, place.tolist(), names, strict=True
    ):
        text = ax.annotate(
            name,
            point,
            textcoords="offset points",
            xytext=(0, 0),
            ha="center",
            va="center",
            fontsize=FONT,
            parse_math=False,
            zorder=5,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
        size = torch.tensor(text.get_window_extent().size)
        shifts = sides * ((radius + 2) * pixels + gaps + size / 2)
        boxes = torch.cat([centre + shifts - size / 2, centre + shifts + size / 2], 1)
        covered = _overlap(boxes[:, None], taken).sum(1)
        covered += size.prod() - _overlap(boxes, frame)
        crossed = _overlap(boxes[:, None], lines).sum(1)
        # A name without a line to its marker must not be nearer to another one.
        away = _distance(boxes[:, None], centres)
        other = away.amin(1) < _distance(boxes, centre) - 0.5
        other[len(SIDES) :] = False
        cost = 100 * covered + 0.05 * crossed + gaps[:, 0] + 60 * other
        best = int((cost + 0.1 * torch.arange(len(cost))).argmin())
        taken = torch.cat([taken, boxes[best : best + 1]])
        right, up = (shifts[best] / pixels).tolist()
        text.set_position((right, up))
        if best >= len(SIDES):
            thin = {"arrowstyle": "-", "linewidth": 0.6, "shrinkB": float(radius)}
            ax.annotate(
                "",
                point,
                (right, up),
                textcoords="offset points",
                arrowprops=thin,
                zorder=2,
            )


def _overlap(boxes: Tensor, others: Tensor) -> Tensor:
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def _distance(boxes: Tensor, points: Tensor) -> Tensor:
    apart = torch.maximum(boxes[..., :2] - points, points - boxes[..., 2:])
    return apart.clamp(min=0).norm(dim=-1)


def check_path(path: str | Path | None) -> None:
    """Refuse files that are neither PNG nor SVG."""
    if path is not None and Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"'path' must end in '.png' or '.svg' (got '{path}')")


def save(ax: Axes, path: str | Path | None) -> None:
    """Write the figure to a file, whole or not at all."""
    if path is None:
        return
    form = Path(path).suffix.lower()[1:]
    style: dict[str, Any] = {"format": form, "dpi": 150, "bbox_inches": "tight"}
    write_atomic(Path(path), lambda part: ax.figure.figure.savefig(part, **style))
