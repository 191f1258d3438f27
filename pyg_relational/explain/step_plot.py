"""Pictures of which steps of a sequence counted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pyg_relational.explain.plot_parts import FONT, check_path, each, save, short

WORDS_UP_TO = 30  # steps a row up to which their names are written into the cells


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
    if ax is None:
        wide = 0.75 if steps is not None and longest <= WORDS_UP_TO else 0.3
        size = (min(2.5 + wide * longest, 24.0), min(1.5 + 0.35 * len(rows), 20.0))
        ax = Figure(figsize=size, layout="compressed").subplots()
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
