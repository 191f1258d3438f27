"""Probabilities of answers as bars."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from pyg_relational.explain.plot_parts import FONT, short

CHOSEN, OTHER = "#0072b2", "#b8b8b8"


def plot_probabilities(probabilities: Mapping[str, float], ax: Axes) -> None:
    r"""Draws the probability of each answer as a bar; the largest one stands out.

    Args:
        probabilities (dict): The probability of each answer, in the order to draw.
        ax (matplotlib.axes.Axes): Where to draw.

    Raises:
        ValueError: If there are none, or one is not between 0 and 1.
    """
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
