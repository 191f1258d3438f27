"""Reports that show which pairs decided the answers about a scene."""

import base64
import html
import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure, SubFigure
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.explain import (
    attention_matrix,
    pair_attribution,
    plot_attention,
    plot_scene,
    top_pairs,
)
from pyg_relational.explain.attribution import SumsPairs
from pyg_relational.train.answers import answer_probabilities, read_scene
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import write_atomic
from pyg_relational.train.fit import build_module
from pyg_relational.train.registry import dataset_class
from pyg_relational.train.run_folder import load_model

SUFFIXES = (".html", ".png")
MOVED = "loss of the answer's score"
NOTE = (
    "A pair counts by what the score (logit) of the given answer loses when the pair "
    "is taken out of the model's sum; below zero, it spoke against the answer. Rows of "
    "the matrices are targets, columns are sources."
)


def explain(run: Path, scene_file: Path, output: Path) -> list[dict[str, Any]]:
    """Write a report on which pairs decided the answers about a scene.

    Args:
        run (Path): A finished run folder of a model that sums over pairs.
        scene_file (Path): A JSON file with ``objects`` and ``questions``.
        output (Path): The report, ``.html`` (one file, pictures inside) or ``.png``.

    Returns:
        list[dict]: For each question ``question``, ``answer``, ``probability`` and
        the strongest ``pairs``: target, source, loss of the answer's score.

    Raises:
        UsageError: If the run is not finished, its model does not sum over pairs, the
            file does not describe a scene, or the suffix is another.
    """
    if output.suffix not in SUFFIXES:
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
    attention = _attention(model, batch)
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
        write_atomic(output, lambda partial: partial.write_text(text))
    else:
        _png(output, title, entries, panels, objects)
    return entries


def _attention(model: nn.Module, batch: Data) -> list[Tensor]:
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
