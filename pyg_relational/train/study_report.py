"""What a study found: a table, the best options as a file, and a picture."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pyg_relational.train.files import write_atomic
from pyg_relational.train.registry import allowed_modules
from pyg_relational.train.search_space import Choices, Distribution, Range, short
from pyg_relational.train.study import Study, failure
from pyg_relational.train.tune_plan import Plan

SHOWN = 4
COLUMNS = 3


def report(plan: Plan, recipe: str, console: Console | None = None) -> bool:
    """Print what a study found; write ``best.yaml`` and ``study.png`` beside it.

    Args:
        plan (Plan): What the study did.
        recipe (str): Name or file of the recipe, for the command to copy.
        console (Console, optional): Where to print. (default: standard output)

    Returns:
        bool: Whether a trial has a score.
    """
    console = console or Console()
    say: Callable[[str], None] = lambda text: console.print(  # noqa: E731
        text, markup=False, highlight=False, soft_wrap=True
    )
    study = plan.study()
    try:
        finished, ranking = study.finished(), study.ranking()
        pruned = sum(trial.state is TrialState.PRUNED for trial in finished)
        failed = [trial for trial in finished if failure(trial) is not None]
        say(
            f"{len(finished)} of {plan.trials} trials: {len(ranking)} complete, "
            f"{pruned} pruned, {len(failed)} failed"
        )
        for trial in failed[:3]:
            say(f"trial {trial.number} failed: {failure(trial)}")
        if finished:
            picture(plan.folder / "study.png", study, plan.task.metric)
        if not ranking:
            return False
        best, score = ranking[0], f"val/{plan.task.metric}"
        console.print(_table(study, ranking[:SHOWN], score))
        path = plan.folder / "best.yaml"
        write_best(path, plan, study.settings(best), f"{score} {best.value:.4f}")
        say(f"best trial: {best.number}, {score} {best.value:.4f}")
        allowed = "".join(f" --allow {module}" for module in allowed_modules())
        say(f"train it: pyg-relational train {recipe} --config {path}{allowed}")
        say(f"picture: {plan.folder / 'study.png'}")
        return True
    finally:
        study.close()


def write_best(
    path: Path, plan: Plan, settings: dict[str, Any], remark: str = ""
) -> None:
    """Write options that ``pyg-relational train RECIPE --config`` takes.

    Args:
        path (Path): The YAML file.
        plan (Plan): What the study did.
        settings (dict): The values that were found.
        remark (str): A comment. (default: ``""``)
    """
    options = {k: v for k, v in plan.options.items() if v is not None}
    options["set"] = {**options.get("set", {}), **settings}
    text = f"# {plan.config['recipe']}, {plan.config['model_name']}: {remark}\n"
    text += yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    write_atomic(path, lambda partial: partial.write_text(text))


def picture(path: Path, study: Study, metric: str) -> None:
    """Draw the scores of the trials in their order, and against each option.

    Args:
        path (Path): The PNG file.
        study (Study): The study.
        metric (str): Name of the score.
    """
    trials, names = study.finished(), list(study.space)
    rows = math.ceil((len(names) + 1) / COLUMNS)
    columns = min(COLUMNS, len(names) + 1)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    _history(axes[0], trials, study.mode)
    axes[0].set(ylabel=f"val/{metric}")
    for name, panel in zip(names, axes[1:], strict=False):
        _slice(panel, name, study.space[name], trials)
    for panel in axes[len(names) + 1 :]:
        panel.axis("off")
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _table(study: Study, trials: list[FrozenTrial], score: str) -> Table:
    # A column for each trial: many options side by side would not fit 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("trial", no_wrap=True)
    for trial in trials:
        table.add_column(str(trial.number), justify="right", overflow="fold")
    table.add_row(score, *[f"{trial.value:.4f}" for trial in trials])
    settings = [study.settings(trial) for trial in trials]
    for name in study.space:
        table.add_row(name, *[short(found[name]) for found in settings])
    return table


def _history(axes: Axes, trials: list[FrozenTrial], mode: str) -> None:
    best: list[float] = []
    better = max if mode == "max" else min
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    for trial in complete:
        value = float(trial.value or 0.0)
        best.append(better([*best[-1:], value]))
    numbers = [trial.number for trial in complete]
    axes.plot(numbers, best, drawstyle="steps-post", color="C1", label="best so far")
    _points(axes, trials, [float(trial.number) for trial in trials])
    axes.set(xlabel="trial")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _slice(
    axes: Axes, name: str, distribution: Distribution, trials: list[FrozenTrial]
) -> None:
    trials = [trial for trial in trials if name in trial.params]
    values = [distribution.decode(trial.params[name]) for trial in trials]
    if isinstance(distribution, Choices):
        values = [float(distribution.choices.index(value)) for value in values]
        labels = [short(choice) for choice in distribution.choices]
        axes.set_xticks(range(len(labels)), labels, fontsize=8)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif isinstance(distribution, Range) and distribution.log:
        axes.set_xscale("log")
        # A narrow range would label every tick, one over the other, or none.
        axes.xaxis.set_minor_formatter(NullFormatter())
        ends = [distribution.low, distribution.high]
        axes.set_xticks(ends, [short(end) for end in ends])
    _points(axes, trials, values)
    axes.set(xlabel=name)
    axes.grid(alpha=0.3)


def _points(axes: Axes, trials: list[FrozenTrial], places: list[float]) -> None:
    for state, marker, colour in (
        (TrialState.COMPLETE, "o", "C0"),
        (TrialState.PRUNED, "x", "0.6"),
    ):
        points = [
            (place, trial.value)
            for place, trial in zip(places, trials, strict=True)
            if trial.state is state and trial.value is not None
        ]
        if points:
            label = state.name.lower()
            axes.scatter(
                *zip(*points, strict=True), marker=marker, color=colour, label=label
            )
