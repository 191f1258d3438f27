"""Table, text and picture of the solved graphs against their size."""

from pathlib import Path
from typing import Any

from pyg_relational.benchmarks.graphs.settings import (
    MODELS,
    SIZES,
    TASKS,
    TRAIN_NODES,
    Budget,
)
from pyg_relational.train.files import write_atomic
from pyg_relational.train.tables import table_text

COLOURS = {
    "relation": "#ff7f0e",
    "recurrent": "#d62728",
    "graph-network": "#1f77b4",
    "gin": "grey",
}


def table(budget: Budget, rows: list[dict[str, Any]], note: str) -> dict[str, Any]:
    """Returns the table of a run.

    Args:
        budget (Budget): Model and training.
        rows (list): Figures of each task and model.
        note (str): Where and how the figures were measured.

    Returns:
        dict: `columns`, `rows` of text and a `caption`.
    """
    sizes = list(rows[0]["test"])
    body = [
        [
            f"{TASKS[row['task']].title}: {MODELS[row['model']]}",
            f"{row['parameters']:,}",
            _percent(row["validation"]),
            *(
                f"{_percent(row['test'][size]['solved'])} "
                f"({_percent(row['test'][size]['right'], deviation=False)})"
                for size in sizes
            ),
        ]
        for row in rows
    ]
    low, high = TRAIN_NODES
    number = rows[0]["seeds"]
    over = "one seed" if number == 1 else f"mean and deviation over {number} seeds"
    graphs = ", ".join(str(rows[0]["test"][size]["graphs"]) for size in sizes)
    caption = (
        f"Per cent of graphs in which every answer is right, and of answers that are "
        f"right, by number of nodes; {over}. Trained on {budget.graphs:,} graphs of "
        f"{low} to {high} nodes, width {budget.channels}, {budget.epochs} epochs, "
        f"batches of {budget.batch_size}, Adam {budget.learning_rate:g}; the epoch "
        f"with the lowest loss on {budget.validation} more graphs of {low} to {high} "
        f"nodes is tested, on {graphs} graphs. Steps are 6 times the square root "
        f"of the largest number of nodes (sorting: 4, one-step: 1). A graph on which "
        f"states overflow is not solved. {note}"
    )
    validation = f"{low}-{high} (validation)"
    return {
        "columns": ["task: model", "parameters", validation, *sizes],
        "rows": body,
        "caption": caption,
    }


def summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text.

    Args:
        figures (dict): What :func:`run` returned.
    """
    return table_text(figures["table"])


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw the share of solved graphs against the number of nodes, with its standard
    deviation over seeds, and dotted the share of right answers.

    Args:
        path (Path): The PNG file.
        rows (list): Figures of each task and model.
    """
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(4.2 * len(tasks), 4.2), layout="constrained")
    grid = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for ax, task in zip(grid, tasks, strict=True):
        for row in rows:
            if row["task"] == task:
                _curve(ax, row)
        ax.axvspan(*TRAIN_NODES, color="grey", alpha=0.15, label="trained")
        ax.set(title=TASKS[task].title, xscale="log", xlabel="nodes", ylim=(-3, 103))
        ticks = [TRAIN_NODES[1], *(SIZES[size][1] for size in rows[0]["test"])]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.grid(alpha=0.3)
    grid[0].set_ylabel("graphs solved (dotted: answers right), %")
    grid[0].legend(fontsize=8)
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _curve(ax: Any, row: dict[str, Any]) -> None:
    colour = COLOURS[row["model"]]
    nodes = [TRAIN_NODES[1], *(SIZES[size][1] for size in row["test"])]
    solved = [row["validation"], *(test["solved"] for test in row["test"].values())]
    ax.errorbar(
        nodes,
        [100 * value["mean"] for value in solved],
        yerr=[100 * (value["deviation"] or 0.0) for value in solved],
        color=colour,
        marker="o",
        markersize=4,
        capsize=3,
        label=row["model"],
    )
    right = [100 * test["right"]["mean"] for test in row["test"].values()]
    ax.plot(nodes[1:], right, ":", color=colour, linewidth=1)


def _percent(value: dict[str, float | None], deviation: bool = True) -> str:
    mean, spread = value["mean"], value["deviation"]
    assert mean is not None
    text = f"{100 * mean:.1f}"
    return text if spread is None or not deviation else f"{text} ± {100 * spread:.1f}"
