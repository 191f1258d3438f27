"""What people read of the figures: a table and a picture."""

from pathlib import Path
from typing import Any

from pyg_relational.benchmarks.ogb.settings import (
    PUBLISHED,
    READOUTS,
    SOURCE,
    Published,
    Size,
)
from pyg_relational.train.files import write_atomic
from pyg_relational.train.tables import table_text

# Shares are shown in percent.
SHOWN = {"rmse": ("RMSE", 1, 3), "rocauc": ("ROC-AUC", 100, 2), "ap": ("AP", 100, 2)}
COLUMNS = ("readout", "width", "parameters", "validation", "test", "published")


def table(
    dataset: str,
    body: str,
    size: Size,
    rows: list[dict[str, Any]],
    metric: str,
    note: str,
) -> dict[str, Any]:
    """Returns the table of a run.

    Args:
        dataset (str): Name of the set.
        body (str): `"gin"` or `"gcn"`.
        size (Size): Model and budget.
        rows (list): Figures of each readout.
        metric (str): Name of the official metric.
        note (str): Where and how the figures were measured.

    Returns:
        dict: `columns`, `rows` of text and a `caption`.
    """
    name, scale, digits = SHOWN[metric]
    body_rows = []
    for row in rows:
        known = PUBLISHED.get((dataset, body, row["readout"]))
        body_rows.append(
            [
                f"{row['readout']}: {READOUTS[row['readout']]}",
                str(row["channels"]),
                f"{row['parameters']:,}",
                *(spread(row[key], scale, digits) for key in ("validation", "test")),
                "-" if known is None else _published(known, digits),
            ]
        )
    better = "lower" if metric == "rmse" else "higher"
    number = rows[0]["seeds"]
    over = "of one seed" if number == 1 else f"and deviation over {number} seeds"
    caption = (
        f"{dataset}, {body.upper()} body, {name} of OGB's evaluator ({better} is "
        f"better), mean {over}, epoch of the best validation; {size.layers} layers, "
        f"dropout {size.dropout}, {size.epochs} epochs, batches of {size.batch_size}. "
        f"The width is the one with as many parameters as `sum` has with {size.width}. "
        f"{note}"
    )
    if any((dataset, body, row["readout"]) in PUBLISHED for row in rows):
        caption += (
            f" Published: {SOURCE}, width 300 whatever the readout, 5 layers, dropout "
            "0.5, 100 epochs, 10 seeds; (m): quoted from memory."
        )
    return {
        "columns": [*COLUMNS[:3], *(f"{c} {name}" for c in COLUMNS[3:5]), COLUMNS[5]],
        "rows": body_rows,
        "caption": caption,
    }


def summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text.

    Args:
        figures (dict): What :func:`run` returned.
    """
    return table_text(figures["table"])


def spread(value: dict[str, float | None], scale: float, digits: int) -> str:
    """Returns a mean with its standard deviation, where there is one.

    Args:
        value (dict): `mean` and `deviation`.
        scale (float): What both are multiplied by.
        digits (int): Digits after the point.
    """
    mean, deviation = value["mean"], value["deviation"]
    assert mean is not None
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"


def draw(path: Path, figures: dict[str, Any]) -> None:
    """Draw the test score of every readout with its standard deviation over seeds, the
    seeds as small dots and published figures beside them.

    Args:
        path (Path): The PNG file.
        figures (dict): What :func:`run` returned.
    """
    from matplotlib.figure import Figure

    name, scale, _ = SHOWN[figures["metric"]]
    rows = figures["rows"]
    figure = Figure(figsize=(7.5, 1.2 + 0.45 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(rows):
        seeds = [
            scale * run["test"]
            for run in figures["runs"]
            if run["settings"]["readout"] == row["readout"]
        ]
        ax.plot(seeds, [place] * len(seeds), ".", color="#9ecae1", zorder=1)
        ax.errorbar(
            scale * row["test"]["mean"],
            place,
            xerr=scale * (row["test"]["deviation"] or 0.0),
            fmt="o",
            color="#d62728" if row["readout"].startswith("relation") else "#1f77b4",
            capsize=4,
        )
        key = (figures["dataset"], figures["body"], row["readout"])
        known = PUBLISHED.get(key)
        if known is not None:
            ax.errorbar(
                known.mean, place, xerr=known.spread, fmt="D", color="grey", alpha=0.6
            )
    ax.set_yticks(range(len(rows)), [row["readout"] for row in rows])
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    ax.set_xlabel(f"test {name}, mean and standard deviation over seeds (◇ published)")
    ax.set_title(f"{figures['dataset']}, {figures['body'].upper()} body")
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _published(known: Published, digits: int) -> str:
    text = f"{known.mean:.{digits}f}"
    if known.spread is not None:
        text += f" ± {known.spread:.{digits}f}"
    return text if known.read else f"{text} (m)"
