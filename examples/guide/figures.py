"""Draws the figure of the page "All pairs at the price of a sort"."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

KEYS = np.array([-1.9, -1.3, -0.8, -0.35, 0.1, 0.75, 1.2, 1.8])
QUERY = 0.55
USED, UNUSED, LINE = "#0b6fa4", "#b9c3cb", "#c2410c"


def draw(path: Path) -> None:
    """Sorted keys above a threshold, and their sum as a function of the query."""
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    keys, total = figure.subplots(1, 2, width_ratios=[1, 1.15])
    above = KEYS > -QUERY
    place = np.arange(len(KEYS))
    keys.bar(place, KEYS + QUERY, color=np.where(above, USED, UNUSED), width=0.72)
    keys.axhline(0, color=LINE, linewidth=1.4)
    keys.axvline(np.argmax(above) - 0.5, color=LINE, linewidth=1.4, linestyle=":")
    keys.set_xticks(place, [f"$b_{{({k + 1})}}$" for k in place])
    keys.set_ylabel(r"$a_i + b_{(k)}$")
    keys.set_title("keys in order: a suffix counts", loc="left")
    keys.annotate(
        f"{above.sum()} keys above $-a_i$:\ntheir number and\ntheir sum say all",
        (0.03, 0.95),
        xycoords="axes fraction",
        verticalalignment="top",
    )

    queries = np.linspace(-2.4, 2.4, 400)

    def summed(a: np.ndarray) -> np.ndarray:
        return np.maximum(np.asarray(a)[..., None] + KEYS, 0).sum(axis=-1)

    total.plot(queries, summed(queries), color=USED, linewidth=2)
    total.plot(-KEYS, summed(-KEYS), "o", color=USED, markersize=5)
    for key in KEYS:
        total.plot([-key, -key], [-0.9, -0.25], color=UNUSED, linewidth=2)
    total.plot([QUERY, QUERY], [-0.9, summed(QUERY)], ":", color=LINE, linewidth=1.4)
    total.plot(QUERY, summed(QUERY), "o", color=LINE, markersize=7)
    total.annotate(
        "$y_i = S(a_i)$",
        (QUERY, summed(QUERY)),
        (-12, 6),
        textcoords="offset points",
        horizontalalignment="right",
        color=LINE,
    )
    total.set(xlabel="query $a$", ylim=(-0.9, None))
    title = r"$S(a) = \sum_j \mathrm{relu}(a + b_j)$, kinks at $-b_j$"
    total.set_title(title, loc="left")
    for ax in (keys, total):
        ax.spines[["top", "right"]].set_visible(False)
    # The same bytes each time.
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).with_name("sorted-sum.svg"))
