"""How the answers of a recurrent relation network improve from step to step."""

import statistics
from pathlib import Path
from typing import Any

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.train.fit import build_data, build_module, test
from pyg_relational.train.results import shown, test_columns
from pyg_relational.train.run_folder import load_model, read_config

FOLDER = Path("runs/benchmark-steps")
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
    harness.check_at_least(1, steps=min(numbers))
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
    command = harness.command_line(run, {"runs": runs, "steps": steps})
    made = harness.made_by(command)
    figures = {
        "table": _table(scores, metric, sorted(trained), command, made["hardware"]),
        **made,
        "metric": metric,
        "trained_with": sorted(trained),
        "scores": scores,
    }
    return harness.write_record(FOLDER, "steps", figures, record, draw(figures))


def draw(figures: dict[str, Any]) -> Any:
    """Return a picture of every score against the number of steps."""
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
    return figure


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


if __name__ == "__main__":
    harness.main(run)
