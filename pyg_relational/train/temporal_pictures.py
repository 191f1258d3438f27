"""Pictures of what a network makes of a temporal graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.explain import (
    plot_frame_attention,
    plot_interactions,
    plot_trajectories,
)
from pyg_relational.nn.inputs import forward_arguments
from pyg_relational.train.module import RelationalModule


def draw(
    folder: Path, module: RelationalModule, dataset: Any, follow: Sequence[str]
) -> list[Path]:
    """Draw the first of the graphs with the most entities: trajectories for a forecast
    of positions, interactions where pairs are judged, and the weights of frames where
    there is attention over them.

    Args:
        folder (Path): Where the pictures go.
        module (RelationalModule): The trained module.
        dataset (Dataset): Temporal graphs. It may offer ``ANSWERS``,
            ``question_text(row of u)``, ``entity_names(graph)``, ``UNIT`` (of length)
            and ``marked_frames(graph)``: cells of :math:`[N, T]` to mark, and what
            they are.
        follow (Sequence[str]): The dataset's ``follow_batch``.

    Returns:
        list[Path]: The pictures, none if the network has nothing to show.
    """
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
