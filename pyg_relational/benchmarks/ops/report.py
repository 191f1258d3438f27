"""What the seconds say: floors, growth, and the tables people read."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pyg_relational.benchmarks.ops.cases import AT_MOST, FLOORS, Floor
from pyg_relational.benchmarks.ops.methods import LABELS, MATMULS, OURS

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


def draw(cases: list[dict[str, Any]]) -> Any:
    """Return a log-log picture of the growth series: seconds of forward and backward,
    and extra memory."""
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
    return figure


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


Results = dict[str, dict[str, Any]]
FROM_OBJECTS = 100  # smaller sets show overhead, not growth
QUANTITIES = {
    "speed": "times faster than {}",
    "memory": "times less extra memory than {}",
    "time": "times the time of {}",
    "growth": "times the time of a tenth of the objects",
    "seconds": "s a call",
    "extra": "GB of extra memory",
    "peak": "GB in the process at most",
    "rate": "of the rate of {}",
}


def floors(cases: list[dict[str, Any]], quick: bool) -> list[dict[str, Any]]:
    """Compare the cases with their floors."""
    by_key = {case["key"]: case for case in cases}
    rows = []
    for floor in FLOORS:
        if floor.key not in by_key or (
            floor.quantity == "growth" and floor.against not in by_key
        ):
            continue
        values, note = _values(floor, by_key)
        scale = 1e9 if floor.quantity in ("extra", "peak") else 1
        row: dict[str, Any] = {
            "case": by_key[floor.key]["case"],
            "quantity": QUANTITIES[floor.quantity].format(LABELS.get(floor.against)),
            "bound": floor.bound / scale,
            "at": "most" if floor.quantity in AT_MOST else "least",
            "note": note,
            "met": None,
        }
        if values:
            median = statistics.median(values)
            row["median"] = median / scale
            row["range"] = [min(values) / scale, max(values) / scale]
            row["met"] = None if quick else floor.met(median)
        elif note.startswith("needs about"):
            row["met"] = None if quick else True
        rows.append(row)
    return rows


def _values(floor: Floor, cases: Results) -> tuple[list[float], str]:
    """Returns a value a round, and a note where something could not be measured."""
    case = cases[floor.key]
    ours = case["methods"]["auto"]["training"]
    if floor.quantity == "peak":
        return [ours["process_bytes"]], ""
    if floor.quantity == "extra":
        return [ours["peak_bytes"]], ""
    if floor.quantity == "seconds":
        return ours["seconds"], ""
    if floor.quantity == "growth":
        before = cases[floor.against]["methods"]["auto"]["training"]["seconds"]
        return _ratios(ours["seconds"], [statistics.median(before)]), ""
    theirs = case["methods"].get(floor.against, {"note": "left out"})
    if "training" not in theirs:
        return [], theirs["note"]
    theirs = theirs["training"]
    note = theirs.get("note", "")
    if floor.quantity == "memory":
        return [theirs["peak_bytes"] / max(ours["peak_bytes"], 1)], note
    if floor.quantity == "time":
        return _ratios(ours["seconds"], theirs["seconds"]), note
    ratios = _ratios(theirs["seconds"], ours["seconds"])
    if floor.quantity == "rate":
        useful = hidden_operations(case) / (2 * math.prod(MATMULS[floor.against]))
        ratios = [ratio * useful for ratio in ratios]
    return ratios, note


def hidden_operations(case: dict[str, Any]) -> int:
    """Return the floating-point operations of the hidden layers over all pairs,
    forward and backward: three matrix multiplications a layer."""
    widths = case["channels"]
    layers = sum(a * b for a, b in pairwise(widths))
    return 3 * 2 * case["pairs"] * layers


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    if len(above) != len(below):
        middle = statistics.median(below)
        return [value / middle for value in above]
    return [a / b for a, b in zip(above, below, strict=True)]


def exponents(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how time grows with the number of objects: the slope in a log-log plot."""
    rows = []
    for series in sorted({case["series"] for case in cases} - {""}):
        members = [case for case in cases if case["series"] == series]
        for method in members[0]["methods"]:
            row: dict[str, Any] = {"series": series, "method": LABELS[method]}
            for mode in ("forward", "training"):
                points = [
                    (case["objects"], median)
                    for case in members
                    if case["objects"] >= FROM_OBJECTS
                    and (median := _median(case["methods"].get(method, {}), mode))
                ]
                if len(points) > 1:
                    row["sizes"] = [points[0][0], points[-1][0]]
                    row[mode] = statistics.linear_regression(
                        [math.log(n) for n, _ in points],
                        [math.log(t) for _, t in points],
                    ).slope
            if "sizes" in row:
                rows.append(row)
    return rows


def _median(method: dict[str, Any], mode: str) -> float | None:
    return statistics.median(method[mode]["seconds"]) if mode in method else None


def table(rows: list[dict[str, Any]], command: str, hardware: str) -> dict[str, Any]:
    """Return the floors as a table that `pyg-relational tables` renders."""
    return {
        "columns": ["case, forward and backward", "measured", "floor"],
        "rows": [
            [row["case"], f"{_spread(row)} {row['quantity']}", _bound(row)]
            for row in rows
        ],
        "caption": f"Median [lowest to highest] over the rounds of one run on "
        f"{hardware}. `{command}`",
    }


def summary(figures: dict[str, Any]) -> str:
    """Return floors, growth and every median as text."""
    lines = []
    content = figures["table"]
    marks = {True: "met", False: "MISSED", None: "-"}
    rows = [
        [*row, marks[floor["met"]]]
        for row, floor in zip(content["rows"], figures["floors"], strict=True)
    ]
    lines += _align([[*content["columns"], "met"], *rows])
    growth = [
        [row["series"], row["method"], *(_number(row.get(m, math.nan)) for m in MODES)]
        for row in figures["exponents"]
    ]
    if growth:
        head = ["time grows as n to the power of", "method", "forward", "training"]
        lines += ["", *_align([head, *growth])]
    lines += ["", *_align([TIMES, *_times(figures["cases"])])]
    rates = "; ".join(f"{k} {v:.1f}" for k, v in figures["bounds"].items())
    return "\n".join([*lines, "", f"bounds: {rates}", content["caption"]])


MODES = ("forward", "training")
TIMES = ["case", "method", "forward ms", "training ms", "extra MB", "note"]


def _times(cases: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for case in cases:
        for name, method in case["methods"].items():
            cells = [case["case"], LABELS[name]]
            for mode in MODES:
                median = _median(method, mode)
                cells.append("-" if median is None else _number(1000 * median))
            peak = method.get("training", {}).get("peak_bytes")
            cells.append("-" if peak is None else _number(peak / 1e6))
            note = method.get("note") or method.get("training", {}).get("note", "")
            rows.append([*cells, note])
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(row: dict[str, Any]) -> str:
    if "median" not in row:
        return f"({row['note']})"
    low, high = map(_number, row["range"])
    spread = "" if low == high else f" [{low} to {high}]"
    return f"{_number(row['median'])}{spread}"


def _bound(row: dict[str, Any]) -> str:
    return f"at {row['at']} {_number(row['bound'])}"


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
