"""Answers of a trained model to single scenes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.files import read_json
from pyg_relational.train.fit import build_module
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.registry import dataset_class
from pyg_relational.train.run_folder import load_model, read_config

INPUT_KEYS = ("objects", "questions")


def answer_probabilities(
    module: RelationalModule, scenes: Sequence[Data], follow_batch: list[str]
) -> list[Tensor]:
    """Return the probability of every answer to every question of each scene.

    Args:
        module (RelationalModule): A trained classifier.
        scenes (Sequence[Data]): The scenes, each with ``y`` of any content.
        follow_batch (list[str]): Attributes that need an assignment to scenes.

    Shapes:
        - output: for each scene :math:`(questions, answers)`.
    """
    batch = Batch.from_data_list(list(scenes), follow_batch=follow_batch)
    module.eval()
    with torch.no_grad():
        output = module(batch.to(module.device))
        output = module.task.answer(output, batch.y)
        probability = output.softmax(dim=-1).cpu()
    return list(probability.split([len(scene.y) for scene in scenes]))


def predict(run: Path, scene_file: Path) -> list[dict[str, Any]]:
    """Answer the questions about a scene with the model of a run.

    Args:
        run (Path): A finished run folder.
        scene_file (Path): A JSON file with ``objects`` and ``questions``, as the
            dataset's ``scene_from_objects`` takes them.

    Returns:
        list[dict]: For each question ``question``, ``answer``, ``probability`` and
        ``probabilities`` of all answers.

    Raises:
        UsageError: If the run is not finished, or the file does not describe a scene.
    """
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
    """Read a scene as the model of a run takes it.

    Args:
        run (Path): A run folder.
        scene_file (Path): A JSON file, as for :func:`predict`.

    Returns:
        tuple: The configuration of the run, the scene and its questions.

    Raises:
        UsageError: If the file does not describe a scene.
    """
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
