"""Answers of a trained model to inputs of the user, such as two images."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.nn.inputs import forward_arguments
from pyg_relational.train.answers import answer_probabilities, predict, print_answers
from pyg_relational.train.errors import UsageError
from pyg_relational.train.fit import build_module
from pyg_relational.train.registry import dataset_class
from pyg_relational.train.run_folder import load_model, read_config

# What draws an answer, by what the dataset says its inputs are.
PICTURES = {
    "images": ("image_pair_plot", "plot_image_pair"),
    "sentences": ("sentence_pair_plot", "plot_sentence_pair"),
}
SUFFIXES = (".png", ".svg")


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
    """Answer inputs of the user, print the answer, draw it if asked.

    Args:
        run (Path): A finished run folder.
        inputs (Sequence[str]): What the dataset's ``data_from_inputs`` takes, or a
            JSON file with a scene.
        picture (Path, optional): A PNG or SVG file.

    Raises:
        OSError: If an input cannot be read or the picture cannot be written.
        UsageError: If the run is not finished, or the inputs do not fit it.
    """
    if picture is not None and picture.suffix.lower() not in SUFFIXES:
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
    """Answer inputs of the user with the model of a run.

    Args:
        run (Path): A finished run folder.
        inputs (Sequence[str]): What the dataset's ``data_from_inputs`` takes.

    Raises:
        OSError: If an input cannot be read.
        UsageError: If the run is not finished, or the inputs do not fit it.
    """
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
    """Write a picture of inputs and answer.

    Args:
        prediction (Prediction): The answer.
        path (Path): A PNG or SVG file.

    Raises:
        OSError: If the file cannot be written.
    """
    module, name = PICTURES[prediction.kind]
    draw: Callable[..., Any] = getattr(
        import_module(f"pyg_relational.explain.{module}"), name
    )
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
