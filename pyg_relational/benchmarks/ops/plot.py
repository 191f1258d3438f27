"""Log-log picture of time and memory against the number of objects."""

import statistics
from pathlib import Path
from typing import Any

from pyg_relational.benchmarks.ops.methods import LABELS, OURS
from pyg_relational.train.files import write_atomic

TITLES = {
    "relation": "relation with one hidden layer of 64, one set",
    "attention": "additive attention, 4 heads x 16, one set",
}
# Ours are solid and cold, the others dashed and warm.
COLOURS = {
    "textbook": "#d62728",
    "compiled": "#ff9896",
    "edges": "#ff7f0e",
    "keops": "#8c564b",
    "auto": "black",
    "sorted": "#1f77b4",
    "tiled": "#17becf",
    "dense": "#9467bd",
}


def draw(path: Path, cases: list[dict[str, Any]]) -> None:
    """Draw the growth series: seconds of forward and backward, and extra memory.

    Args:
        path (Path): The PNG file.
        cases (list): The measured cases.
    """
    from matplotlib.figure import Figure

    series = [name for name in TITLES if any(c["series"] == name for c in cases)]
    figure = Figure(figsize=(12, 4.4 * max(1, len(series))), layout="constrained")
    if series:
        grid = figure.subplots(len(series), 2, squeeze=False)
        for (left, right), name in zip(grid, series, strict=True):
            members = [case for case in cases if case["series"] == name]
            _lines(left, members, "seconds", 1)
            _lines(right, members, "peak_bytes", 1e-6)
            left.set(title=TITLES[name], ylabel="forward and backward, seconds")
            right.set(title=TITLES[name], ylabel="peak extra memory, MB")
            left.legend(fontsize=8)
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _lines(axes: Any, cases: list[dict[str, Any]], key: str, scale: float) -> None:
    for method in cases[0]["methods"]:
        points = [
            (case["objects"], _value(case["methods"][method]["training"][key]) * scale)
            for case in cases
            if "training" in case["methods"].get(method, {})
        ]
        # A call below the noise of the measurement has no place on a log axis.
        points = [(n, value) for n, value in points if value > 0]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=4,
                linewidth=3 if method == "auto" else 1.2,
                linestyle="-" if method in OURS else "--",
                zorder=1 if method == "auto" else 2,
                color=COLOURS[method],
                label=LABELS[method],
            )
    axes.set(xscale="log", yscale="log", xlabel="objects")
    axes.grid(alpha=0.3)


def _value(figures: float | list[float]) -> float:
    return statistics.median(figures) if isinstance(figures, list) else figures
