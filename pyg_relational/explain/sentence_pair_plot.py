"""Pictures of the relation of two sentences."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.explain.plot_parts import FONT, check_path, finite, save, short
from pyg_relational.explain.probability_bars import plot_probabilities

NAMES = ("premise", "hypothesis")
# Tokens of a sentence that are drawn; more are not legible.
MOST = 40
CELL = 0.34  # inches


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
        path (str or Path, optional): PNG or SVG file, written whole or not at all.
            (default: :obj:`None`)

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
