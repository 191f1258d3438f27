"""How the answers of a recurrent relation network improve from step to step."""

import statistics
from pathlib import Path
from typing import Any

from pyg_relational._checks import UsageError
from pyg_relational._files import write_atomic, write_json
from pyg_relational.train.fit import build_data, build_module, test
from pyg_relational.train.results import shown, table_text, test_columns
from pyg_relational.train.run_folder import hardware, load_model, read_config, versions

FOLDERS = {False: Path("runs/benchmark-steps"), True: Path("examples/results")}
STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def run(
    runs: str,
    steps: list[int] | None = None,
    data_root: str | None = None,
    record: bool = False,
) -> dict[str, Any]:
    """Tests trained recurrent relation networks with other numbers of steps.

    Writes `steps.json` and `steps.png` to `runs/benchmark-steps`.

    Args:
        runs (str): Run folders, separated by commas; a model with `steps`.
        steps (list[int], optional): Numbers of steps. (default: 1 to 64)
        data_root (str, optional): Folder of the dataset instead of the run's.
            (default: `None`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A run is not finished, its model takes no steps, or a number of
            steps is smaller than 1.
    """
    numbers = steps or list(STEPS)
    if min(numbers) < 1:
        raise UsageError(f"expected --steps of at least 1, got {min(numbers)}")
    scores: dict[str, list[dict[str, Any]]] = {str(number): [] for number in numbers}
    trained = set()
    for name in runs.split(","):
        config, model = read_config(Path(name)), load_model(Path(name))
        if not hasattr(model, "steps"):
            raise UsageError(
                f"'{name}' holds a {type(model).__name__}, which takes no steps; "
                "name runs of a RecurrentRelationNetwork"
            )
        if data_root is not None:
            config["dataset"] = {**config["dataset"], "root": data_root}
        config["accelerator"] = "cpu"
        module = build_module(config, model)
        data = build_data(config, module)
        trained.add(getattr(model, "steps"))  # noqa: B009
        metric = module.task.metric
        for number in numbers:
            setattr(model, "steps", number)  # noqa: B010
            scores[str(number)].append(test(config, module, data))
    kind = hardware()
    command = f"pyg-relational benchmark steps --runs {runs}"
    figures = {
        "table": _table(scores, metric, sorted(trained), command, kind),
        "command": command,
        "versions": versions(),
        "hardware": kind,
        "metric": metric,
        "trained_with": sorted(trained),
        "scores": scores,
    }
    FOLDERS[record].mkdir(parents=True, exist_ok=True)
    write_json(FOLDERS[record] / "steps.json", figures)
    draw(FOLDERS[record] / "steps.png", figures)
    return figures


def summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text."""
    return table_text(figures["table"])


def draw(path: Path, figures: dict[str, Any]) -> None:
    """Draw every score against the number of steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    ax = figure.subplots()
    first = next(iter(figures["scores"].values()))[0]
    for grouping, name in test_columns(first):
        points = [
            (int(number), statistics.mean(run[grouping][name] for run in runs))
            for number, runs in figures["scores"].items()
        ]
        ax.plot(*zip(*points, strict=True), marker="o", label=name)
    for number in figures["trained_with"]:
        ax.axvline(number, color="grey", linestyle=":", label="steps in training")
    ax.set(xlabel="steps", ylabel=figures["metric"], xscale="log", ylim=(0, None))
    ticks = [int(number) for number in figures["scores"]]
    ax.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend()
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _table(
    scores: dict[str, list[dict[str, Any]]],
    metric: str,
    trained: list[int],
    command: str,
    kind: dict[str, Any],
) -> dict[str, Any]:
    runs = next(iter(scores.values()))
    columns = test_columns(runs[0])
    rows = [
        [
            number,
            *(
                shown(
                    statistics.mean(run[grouping][name] for run in measured),
                    metric,
                    grouping,
                )
                for grouping, name in columns
            ),
        ]
        for number, measured in scores.items()
    ]
    return {
        "columns": ["steps", *(name for _, name in columns)],
        "rows": rows,
        "caption": (
            f"Mean {metric} on the test split over {len(runs)} runs trained with "
            f"{', '.join(map(str, trained))} steps; {kind['processor']}. `{command}`"
        ),
    }
