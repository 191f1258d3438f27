"""Pictures of a run: its learning curve, its test scores against a number, test scenes
with questions and answers, and what a network makes of a temporal graph.

A dataset asks for them: its ``AXES`` names the groupings whose groups are numbers, and
says what each counts, ``{"length": "relations in the chain"}``; ``scene_image`` draws a
scene, and temporal graphs are drawn by what is asked of them.
"""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational._files import read_json, write_atomic
from pyg_relational.explain import (
    plot_frame_attention,
    plot_interactions,
    plot_trajectories,
)
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train.callbacks import Rows
from pyg_relational.train.module import RelationalModule, answer_probabilities
from pyg_relational.train.recipe import dataset_class

# Of each model, of each of its runs: the score of every group.
Measured = dict[str, list[dict[str, float]]]
# Groups that a legend has room for.
NAMED = 6
SCENES = 6
QUESTIONS = 6
RIGHT, WRONG = "#1a7f37", "#cf222e"
# What records of one picture have in common.
SHARED = ("recipe", "size", "representation", "metric")


def learning_curve(
    path: Path, curves: dict[str, Rows], metric: str, groups: Sequence[str]
) -> None:
    """Draw training loss and validation score against optimiser steps."""
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

    Lines are means over runs; from two runs on, bands show the standard deviation."""
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
    """Return number, mean score over runs and standard deviation of each group."""
    points = []
    for name in sorted(runs[0], key=int):
        scores = [run[name] for run in runs if run.get(name) is not None]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        points.append((int(name), statistics.mean(scores), spread))
    return points


def scenes(
    path: Path, module: RelationalModule, dataset: Any, follow: list[str]
) -> None:
    """Draw scenes with questions, right answers and the model's answers."""
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


def draw_run(folder: Path, results: dict[str, Any]) -> list[Path]:
    """Draw the scores of a run and its baseline."""
    baseline = results["baseline"] and results["baseline"]["model"]
    content = {**results, "baseline": baseline, "runs": [results]}
    return _draw_scores(folder, "", [content])


def draw_records(path: Path) -> list[Path]:
    """Draw what a record and its further models have recorded, ``NAME.json`` and
    ``NAME-<model>.json``, as ``NAME-<grouping>.png``."""
    stems = sorted(file.stem for file in path.parent.glob("*.json"))
    name = min(
        (stem for stem in stems if f"{path.stem}-".startswith(f"{stem}-")), key=len
    )
    files = [name, *(stem for stem in stems if stem.startswith(f"{name}-"))]
    records = [read_json(path.with_name(f"{stem}.json")) for stem in files]
    first = records[0]
    same = [
        record
        for record in records
        if "runs" in record and all(record[key] == first.get(key) for key in SHARED)
    ]
    return _draw_scores(path.parent, f"{name}-", same)


def _draw_scores(
    folder: Path, prefix: str, records: list[dict[str, Any]]
) -> list[Path]:
    if not records:
        return []
    first, made = records[0], []
    dataset = dataset_class(first["settings"]["dataset"]["class"])
    for grouping, axis in getattr(dataset, "AXES", {}).items():
        path = folder / f"{prefix}{grouping}.png"
        measured = measured_scores(records, grouping)
        score_curves(path, measured, first["metric"], axis)
        made.append(path)
    return made


def measured_scores(records: Iterable[dict[str, Any]], grouping: str) -> Measured:
    """Return the scores of every model, baseline and reference of some records.

    Models of ours come first; of a baseline that several records have, those of the
    first are taken."""
    ours: Measured = {}
    others: Measured = {}
    for record in records:
        tests = [run["test"][grouping] for run in record["runs"]]
        cells = [{name: cell["ours"] for name, cell in test.items()} for test in tests]
        ours[record["model"]] = cells
        if record["baseline"]:
            others.setdefault(
                record["baseline"],
                [{k: cell["baseline"] for k, cell in test.items()} for test in tests],
            )
        references = next(iter(tests[0].values()))["references"]
        for reference in references:
            others.setdefault(
                reference,
                [
                    {k: cell["references"][reference] for k, cell in test.items()}
                    for test in tests
                ],
            )
    return ours | {name: runs for name, runs in others.items() if name not in ours}


def draw_temporal(
    folder: Path, module: RelationalModule, dataset: Any, follow: Sequence[str]
) -> list[Path]:
    """Draw the first of the graphs with the most entities: trajectories for a forecast
    of positions, interactions where pairs are judged, and the weights of frames where
    there is attention over them."""
    graph = max((dataset[index] for index in range(len(dataset))), key=_entities)
    batch = Batch.from_data_list([graph], follow_batch=list(follow))
    module.eval()
    with torch.no_grad():
        output = module(batch.to(module.device)).cpu()
        weights = _frame_weights(module, batch)
    made = []
    if module.task.metric in ("displacement", "squared_error") and output.size(-1) > 1:
        made.append(_trajectories(folder, dataset, graph, output))
    if "edge_label_index" in graph and module.task.classes and output.size(-1) == 2:
        made.append(_interactions(folder, graph, output))
    if weights is not None:
        made.append(_attention(folder, dataset, graph, output, weights))
    return made


def _entities(graph: Data) -> int:
    """How many entities count for the score."""
    mask = graph.get("y_mask")
    return int(graph.num_nodes if mask is None else mask.any(dim=-1).sum())


def _trajectories(folder: Path, dataset: Any, graph: Data, output: Tensor) -> Path:
    path = folder / "trajectories.png"
    plot_trajectories(
        graph.x[..., :2],
        graph.y[..., :2],
        output[..., :2],
        history_mask=graph.mask,
        future_mask=graph.get("y_mask"),
        unit=getattr(dataset, "UNIT", None),
        path=path,
    )
    return path


def _interactions(folder: Path, graph: Data, output: Tensor) -> Path:
    path = folder / "interactions.png"
    plot_interactions(
        output.softmax(dim=-1)[:, 1],
        graph.y,
        graph.x[:, -1, :2],
        edge_index=graph.edge_label_index,
        path=path,
    )
    return path


def _attention(
    folder: Path, dataset: Any, graph: Data, output: Tensor, weights: Tensor
) -> Path:
    path = folder / "frame-attention.png"
    names = getattr(dataset, "entity_names", lambda graph: None)(graph)
    marks = getattr(dataset, "marked_frames", lambda graph: None)(graph)
    options = {} if marks is None else {"marked": marks[0], "marked_name": marks[1]}
    plot_frame_attention(
        weights,
        graph.mask,
        names,
        title=_question(dataset, graph, output),
        path=path,
        **options,
    )
    return path


def _question(dataset: Any, graph: Data, output: Tensor) -> str | None:
    """What is asked of a graph and what the network answers."""
    if not hasattr(dataset, "question_text") or not hasattr(dataset, "ANSWERS"):
        return None
    probability, answer = output[0].softmax(dim=-1).max(dim=-1)
    return (
        f"{dataset.question_text(graph.u[0])} {dataset.ANSWERS[int(answer)]} "
        f"({float(probability):.0%}); right is {dataset.ANSWERS[int(graph.y[0])]}"
    )


def _frame_weights(module: RelationalModule, batch: Data) -> Tensor | None:
    """The weight of each frame of each entity, :math:`[N, T]`."""
    if getattr(module.model, "attention", None) is None:
        return None
    arguments = forward_arguments(module.model, batch)
    _, (index, alpha) = module.model(**arguments, return_attention_weights=True)
    weights = alpha.new_zeros(batch.mask.shape)
    weights[index[1], index[0]] = alpha
    return weights.cpu()
