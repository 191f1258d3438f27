"""Answers of a trained model to inputs of the user, and what decided them.

Some datasets describe a scene with questions in a JSON file (``scene_from_objects``),
whose answers can be explained by pairs; others take texts or names of files
(``data_from_inputs``), whose answer has a picture.
"""

import base64
import html
import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure, SubFigure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational._checks import UsageError, nearest_names
from pyg_relational._files import read_json, write_atomic, write_text
from pyg_relational.explain import (
    attention_matrix,
    pair_attribution,
    plot_attention,
    plot_image_pair,
    plot_scene,
    plot_sentence_pair,
    top_pairs,
)
from pyg_relational.explain.attribution import SumsPairs
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train.fit import build_module
from pyg_relational.train.module import answer_probabilities
from pyg_relational.train.recipe import dataset_class
from pyg_relational.train.run_folder import load_model, read_config

INPUT_KEYS = ("objects", "questions")
REPORT_SUFFIXES = (".html", ".png")
MOVED = "loss of the answer's score"
NOTE = (
    "A pair counts by what the score (logit) of the given answer loses when the pair "
    "is taken out of the model's sum; below zero, it spoke against the answer. Rows of "
    "the matrices are targets, columns are sources."
)
# What draws an answer, by what the dataset says its inputs are.
PICTURES: dict[str, Callable[..., Any]] = {
    "images": plot_image_pair,
    "sentences": plot_sentence_pair,
}
PICTURE_SUFFIXES = (".png", ".svg")


def predict(run: Path, scene_file: Path) -> list[dict[str, Any]]:
    """Answer the questions about a scene with the model of a run."""
    config, scene, questions = read_scene(run, scene_file)
    dataset = dataset_class(config["dataset"]["class"])
    module = build_module(config, load_model(run))
    follow = config["dataset"].get("follow_batch", [])
    (probability,) = answer_probabilities(module, [scene], follow)
    return [
        {
            "question": text,
            "answer": dataset.ANSWERS[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(dataset.ANSWERS, row.tolist(), strict=True)),
        }
        for text, row in zip(questions, probability, strict=True)
    ]


def read_scene(run: Path, scene_file: Path) -> tuple[dict[str, Any], Data, list[str]]:
    """Read a scene as the model of a run takes it."""
    config = read_config(run)
    dataset = dataset_class(config["dataset"]["class"])
    if not hasattr(dataset, "scene_from_objects"):
        raise UsageError(
            f"dataset {dataset.__name__} reads no scenes from files; "
            "use `pyg-relational evaluate` for its test split"
        )
    description = _read_description(scene_file)
    representation = config["representation"]
    try:
        scene = dataset.scene_from_objects(
            **description,
            **({"representation": representation} if representation else {}),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"scene '{scene_file}': {error}") from error
    return config, scene, description["questions"]


def print_answers(
    answers: list[dict[str, Any]], console: Console | None = None
) -> None:
    """Print questions, answers and their probabilities, with the runner-up."""
    table = Table()
    for name in ("question", "answer", "probability", "next best"):
        table.add_column(name, justify="right" if name == "probability" else "left")
    for entry in answers:
        ranked = sorted(entry["probabilities"].items(), key=lambda item: -item[1])
        other, chance = ranked[1]
        table.add_row(
            entry["question"],
            entry["answer"],
            f"{entry['probability']:.1%}",
            f"{other} ({chance:.1%})",
        )
    (console or Console()).print(table)


def _read_description(path: Path) -> dict[str, Any]:
    description = read_json(path)
    if not isinstance(description, dict):
        raise UsageError(f"'{path}' must hold an object with {', '.join(INPUT_KEYS)}")
    for key in description:
        if key not in INPUT_KEYS:
            hint = nearest_names(key, INPUT_KEYS)
            raise UsageError(f"'{path}' has an unknown key '{key}'; {hint}")
    if missing := [key for key in INPUT_KEYS if key not in description]:
        raise UsageError(f"'{path}' lacks {', '.join(missing)}")
    return description


def explain(run: Path, scene_file: Path, output: Path) -> list[dict[str, Any]]:
    """Write a report on which pairs decided the answers about a scene."""
    if output.suffix not in REPORT_SUFFIXES:
        raise UsageError(f"expected --output to end with .html or .png, got '{output}'")
    config, scene, questions = read_scene(run, scene_file)
    dataset = dataset_class(config["dataset"]["class"])
    model = load_model(run)
    if not isinstance(model, SumsPairs) or not hasattr(dataset, "scene_objects"):
        raise UsageError(
            f"'{run}' holds a {type(model).__name__}, whose pairs cannot be told "
            f"apart; train --representation state --model relation or attention"
        )
    follow = config["dataset"].get("follow_batch", [])
    batch = Batch.from_data_list([scene], follow_batch=follow)
    (probability,) = answer_probabilities(build_module(config, model), [scene], follow)
    moved = pair_attribution(model, batch)
    attention = _attended(model, batch)
    objects = dataset.scene_objects(scene)
    entries = [
        {
            "question": text,
            "answer": dataset.ANSWERS[int(row.argmax())],
            "probability": float(row.max()),
            "pairs": top_pairs(matrix, 3, objects["names"]),
        }
        for text, row, matrix in zip(questions, probability, moved, strict=True)
    ]
    panels = [moved, attention] if attention else [moved]
    title = f"{type(model).__name__}: {run.name}, {scene_file.name}"
    if output.suffix == ".html":
        text = _html(title, entries, panels, objects)
        write_text(output, text)
    else:
        _png(output, title, entries, panels, objects)
    return entries


def _attended(model: nn.Module, batch: Data) -> list[Tensor]:
    """The attention of each question, the mean over heads; none without attention."""
    try:
        layers = attention_matrix(model, batch)
    except ValueError:
        return []
    first = next(iter(layers.values()))
    # [K, n, n] -> [n, n]
    return [matrix.mean(0) for matrix in first]


def _draw(
    figure: Figure | SubFigure,
    entry: dict[str, Any],
    matrices: list[Tensor],
    objects: dict[str, Any],
) -> None:
    """One row: the scene with its strongest pairs, then the matrices."""
    axes = figure.subplots(
        1, 1 + len(matrices), width_ratios=[1, *[1.25] * len(matrices)]
    )
    plot_scene(weights=matrices[0], ax=axes[0], max_pairs=4, **objects)
    names = (MOVED, "attention weight, mean of heads")
    for ax, matrix, name in zip(axes[1:], matrices, names, strict=False):
        plot_attention(matrix, objects["names"], ax=ax, value_name=name)
    text = f"{entry['question']}: {entry['answer']} ({entry['probability']:.0%})"
    figure.suptitle(text.replace("_", " "), fontsize=12)


def _size(panels: int) -> tuple[float, float]:
    return 5.2 * (1 + panels), 4.6


def _png(
    path: Path,
    title: str,
    entries: list[dict[str, Any]],
    panels: list[list[Tensor]],
    objects: dict[str, Any],
) -> None:
    width, height = _size(len(panels))
    figure = Figure(figsize=(width, height * len(entries)), layout="constrained")
    figure.suptitle(title)
    rows = figure.subfigures(len(entries), 1, squeeze=False)[:, 0]
    for q, (row, entry) in enumerate(zip(rows, entries, strict=True)):
        _draw(row, entry, [matrices[q] for matrices in panels], objects)
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=90))


def _html(
    title: str,
    entries: list[dict[str, Any]],
    panels: list[list[Tensor]],
    objects: dict[str, Any],
) -> str:
    parts = []
    for q, entry in enumerate(entries):
        figure = Figure(figsize=_size(len(panels)), layout="constrained")
        _draw(figure, entry, [matrices[q] for matrices in panels], objects)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90)
        picture = base64.b64encode(buffer.getvalue()).decode()
        pairs = "".join(
            f"<li>{html.escape(f'{target} with {source}')}: {value:.3f}</li>"
            for target, source, value in entry["pairs"]
        )
        question = html.escape(entry["question"].replace("_", " "))
        answer = html.escape(entry["answer"])
        parts.append(
            f"<h2>{question}: {answer} ({entry['probability']:.1%})</h2>"
            f"<ol>{pairs}</ol>"
            f'<img alt="{question}" src="data:image/png;base64,{picture}">'
        )
    heading = html.escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{heading}</title><style>body{{font-family:sans-serif;margin:2em}}"
        "img{max-width:100%}</style></head>"
        f"<body><h1>{heading}</h1><p>{html.escape(NOTE)}</p>{''.join(parts)}"
        "</body></html>\n"
    )


@dataclass(frozen=True)
class Prediction:
    """The answer of a model to inputs of the user.

    Args:
        inputs (list[str]): The inputs.
        probabilities (dict[str, float]): The probability of every answer.
        data (Data): The inputs as the model takes them.
        kind (str): What the inputs are, a key of ``PICTURES``.
        attention (tuple, optional): Index and weights, of a model that returns them.
    """

    inputs: list[str]
    probabilities: dict[str, float]
    data: Data
    kind: str
    attention: tuple[Tensor, Tensor] | None = None

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


def run_prediction(run: Path, inputs: Sequence[str], picture: Path | None) -> None:
    """Answer inputs of the user, print the answer, draw it if asked."""
    if picture is not None and picture.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"expected --picture to end with .png or .svg, got {picture}")
    config = read_config(run)
    if not hasattr(dataset_class(config["dataset"]["class"]), "data_from_inputs"):
        if len(inputs) != 1:
            raise UsageError(
                f"the run '{run}' answers one JSON file with a scene, got "
                f"{len(inputs)} inputs"
            )
        if picture is not None:
            raise UsageError(
                "there is no --picture of the answers about a scene; use "
                "`pyg-relational explain`"
            )
        print_answers(predict(run, Path(inputs[0])))
        return
    prediction = predict_inputs(run, inputs)
    print_prediction(prediction)
    if picture is not None:
        draw_prediction(prediction, picture)
        print(f"picture: {picture}")


def predict_inputs(run: Path, inputs: Sequence[str]) -> Prediction:
    """Answer inputs of the user with the model of a run."""
    config = read_config(run)
    spec = config["dataset"]
    dataset = dataset_class(spec["class"])
    model = load_model(run)
    try:
        data = dataset.data_from_inputs(list(inputs), root=spec["root"], **spec["args"])
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    module = build_module(config, model)
    follow = spec.get("follow_batch", [])
    (probability,) = answer_probabilities(module, [data], follow)
    return Prediction(
        inputs=list(inputs),
        probabilities=dict(zip(dataset.ANSWERS, probability[0].tolist(), strict=True)),
        data=data,
        kind=dataset.INPUTS,
        attention=_attention(model, data, follow),
    )


def print_prediction(prediction: Prediction, console: Console | None = None) -> None:
    """Print the answer, and the probabilities of all answers as bars."""
    console = console or Console()
    console.print(f"answer: {prediction.answer}", highlight=False, markup=False)
    table = Table()
    table.add_column("answer")
    table.add_column("probability", justify="right")
    table.add_column("")
    for name, probability in prediction.probabilities.items():
        table.add_row(name, f"{probability:.1%}", "█" * round(20 * probability))
    console.print(table)


def draw_prediction(prediction: Prediction, path: Path) -> None:
    """Write a picture of inputs and answer."""
    draw = PICTURES[prediction.kind]
    details = {"data": prediction.data, "attention": prediction.attention}
    taken = inspect.signature(draw).parameters
    draw(
        prediction.inputs,
        prediction.probabilities,
        path=path,
        **{name: value for name, value in details.items() if name in taken},
    )


def _attention(
    model: nn.Module, data: Data, follow: list[str]
) -> tuple[Tensor, Tensor] | None:
    """What a model with attention looked at."""
    if "return_attention_weights" not in inspect.signature(model.forward).parameters:
        return None
    batch = Batch.from_data_list([data], follow_batch=follow)
    arguments = forward_arguments(model, batch)
    with torch.no_grad():
        _, attention = model(**arguments, return_attention_weights=True)
    index, weights = attention
    return index, weights
