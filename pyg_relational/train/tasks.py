"""What a dataset's ``task`` means: loss, score of a row, and which way is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional

from pyg_relational.train.errors import UsageError, nearest_names


@dataclass(frozen=True)
class Task:
    """Loss and score of one kind of task.

    Args:
        metric (str): Name of the mean score.
        mode (str): ``"max"`` if a larger score is better, else ``"min"``.
        loss (Callable): ``(output, y) -> scalar``.
        score (Callable): ``(output, y) -> [rows]``.
    """

    metric: str
    mode: Literal["max", "min"]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]


TASKS = {
    "classification": Task(
        metric="accuracy",
        mode="max",
        loss=functional.cross_entropy,
        score=lambda output, y: (output.argmax(dim=-1) == y).to(output.dtype),
    ),
    "regression": Task(
        metric="absolute_error",
        mode="min",
        loss=functional.mse_loss,
        score=lambda output, y: (output - y).abs().flatten(1).mean(dim=1),
    ),
}


def task_of(name: str) -> Task:
    """Return the task with this name.

    Raises:
        UsageError: If there is none.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task '{name}'; {nearest_names(name, TASKS)}")
    return TASKS[name]
