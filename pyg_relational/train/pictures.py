"""Pictures of a run: its learning curve, its test scores against a number, and test
scenes with questions and answers."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyg_relational.train.answers import answer_probabilities
from pyg_relational.train.files import write_atomic
from pyg_relational.train.logs import Rows
from pyg_relational.train.module import RelationalModule

# Of each model, of each of its runs: the score of every group.
Measured = dict[str, list[dict[str, float]]]
# Groups that a legend has room for.
NAMED = 6
SCENES = 6
QUESTIONS = 6
RIGHT, WRONG = "#1a7f37", "#cf222e"


def learning_curve(
    path: Path, curves: dict[str, Rows], metric: str, groups: Sequence[str]
) -> None:
    """Draw training loss and validation score against optimiser steps.

    Args:
        path (Path): The PNG file.
        curves (dict[str, list]): Rows of ``metrics.csv`` for each model, ours first.
        metric (str): Name of the score.
        groups (Sequence[str]): Groups to draw a line each for; if there are none or
            many, the mean over all rows is drawn.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(curves.items()):
        style = "-" if number == 0 else "--"
        _line(left, rows, "train/loss", label=name, linestyle=style)
        key = f"val/{metric}"
        if 0 < len(groups) <= NAMED:
            for colour, group in enumerate(groups):
                named = {"label": f"{name}: {group}", "color": f"C{colour}"}
                _line(right, rows, f"{key}/{group}", linestyle=style, **named)
            continue
        for group in groups:
            look: dict[str, Any] = {"color": f"C{number}", "alpha": 0.2}
            _line(right, rows, f"{key}/{group}", linewidth=0.8, **look)
        _line(right, rows, key, label=name, linestyle=style, color=f"C{number}")
    left.set(xlabel="optimiser step", ylabel="training loss")
    right.set(xlabel="optimiser step", ylabel=f"validation {metric}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    _save(figure, path)


def score_curves(path: Path, measured: Measured, metric: str, axis: str) -> None:
    """Draw the test scores of models against the number that groups are named by.

    Lines are means over runs; from two runs on, bands show the standard deviation.

    Args:
        path (Path): The PNG file.
        measured (dict): Of each model a list over runs of ``{group: score}``.
        metric (str): Name of the score.
        axis (str): What the numbers count.
    """
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    numbers: set[int] = set()
    for position, (name, runs) in enumerate(measured.items()):
        colour, style = f"C{position}", "-" if position == 0 else "--"
        x, mean, spread = zip(*curve_points(runs), strict=True)
        numbers |= {*x}
        axes.plot(x, mean, style, color=colour, marker="o", markersize=4, label=name)
        low = [m - s for m, s in zip(mean, spread, strict=True)]
        high = [m + s for m, s in zip(mean, spread, strict=True)]
        if len(runs) > 1:
            axes.fill_between(x, low, high, alpha=0.15, color=colour, lw=0)
    axes.set(xlabel=axis, ylabel=f"test {metric.replace('_', ' ')}")
    axes.set_xticks(sorted(numbers))
    if metric == "accuracy":
        axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    _save(figure, path)


def curve_points(runs: list[dict[str, float]]) -> list[tuple[int, float, float]]:
    """Return number, mean score over runs and standard deviation of each group.

    Args:
        runs (list): Of each run ``{group: score}``, groups named by numbers.
    """
    points = []
    for name in sorted(runs[0], key=int):
        scores = [run[name] for run in runs if run.get(name) is not None]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        points.append((int(name), statistics.mean(scores), spread))
    return points


def scenes(
    path: Path, module: RelationalModule, dataset: Any, follow: list[str]
) -> None:
    """Draw scenes with questions, right answers and the model's answers.

    Args:
        path (Path): The PNG file.
        module (RelationalModule): The trained module.
        dataset (Dataset): Offers ``ANSWERS``, ``scene_image(scene)`` and
            ``question_text(row of u)``.
        follow (list[str]): The dataset's ``follow_batch``.
    """
    shown = [dataset[index] for index in range(min(SCENES, len(dataset)))]
    answers = answer_probabilities(module, shown, follow)
    figure = Figure(figsize=(15, 2.6 * ((len(shown) + 1) // 2)), layout="constrained")
    grid = figure.subplots(
        (len(shown) + 1) // 2, 4, squeeze=False, width_ratios=[2, 3] * 2
    )
    for axes in grid.flat:
        axes.axis("off")
    panels = grid.reshape(-1, 2)
    for (image, text), scene, probability in zip(panels, shown, answers, strict=False):
        image.imshow(dataset.scene_image(scene).permute(1, 2, 0).numpy())
        image.axis("on")
        image.set(xticks=[], yticks=[])
        _write(text, 0, ("question", "answer", "predicted"), "black")
        rows = torch.linspace(0, len(scene.y) - 1, min(QUESTIONS, len(scene.y)))
        for line, row in enumerate(rows.round().long().unique().tolist(), start=1):
            answer = dataset.ANSWERS[int(scene.y[row])]
            given = dataset.ANSWERS[int(probability[row].argmax())]
            question = dataset.question_text(scene.u[row]).replace("_", " ")
            colour = RIGHT if given == answer else WRONG
            _write(text, line, (question, answer, given), colour)
    _save(figure, path)


def _write(axes: Axes, line: int, cells: tuple[str, str, str], colour: str) -> None:
    for column, cell in zip((0.0, 0.56, 0.78), cells, strict=True):
        height = 0.94 - 0.14 * line
        axes.text(column, height, cell, color=colour, fontsize=12, va="center")


def _line(axes: Axes, rows: Rows, key: str, **style: Any) -> None:
    points = [(row["step"], row[key]) for row in rows if key in row]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _save(figure: Figure, path: Path) -> None:
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))
