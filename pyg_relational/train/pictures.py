"""Pictures of a run: its learning curve, and test scenes with questions and answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyg_relational.train.answers import answer_probabilities
from pyg_relational.train.files import write_atomic
from pyg_relational.train.module import RelationalModule

Curve = list[dict[str, str]]
SCENES = 6
QUESTIONS = 6
RIGHT, WRONG = "#1a7f37", "#cf222e"


def learning_curve(
    path: Path, curves: dict[str, Curve], metric: str, groups: Sequence[str]
) -> None:
    """Draw training loss and validation score against optimiser steps.

    Args:
        path (Path): The PNG file.
        curves (dict[str, list]): Rows of ``metrics.csv`` for each model, ours first.
        metric (str): Name of the score.
        groups (Sequence[str]): Groups to draw a line each for; if empty, the mean over
            all rows is drawn.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(curves.items()):
        style = "-" if number == 0 else "--"
        _line(left, rows, "train/loss", label=name, linestyle=style)
        for colour, group in enumerate(groups or [""]):
            key, label = f"val/{metric}", name
            if group:
                key, label = f"{key}/{group}", f"{name}: {group}"
            _line(right, rows, key, label=label, linestyle=style, color=f"C{colour}")
    left.set(xlabel="optimiser step", ylabel="training loss")
    right.set(xlabel="optimiser step", ylabel=f"validation {metric}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    _save(figure, path)


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


def _line(axes: Axes, rows: Curve, key: str, **style: Any) -> None:
    points = [(int(row["step"]), float(row[key])) for row in rows if row.get(key)]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _save(figure: Figure, path: Path) -> None:
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))
