"""What a dataset's ``task`` means: loss, score of a row, and which way is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pyg_relational.train.errors import UsageError, nearest_names


@dataclass(frozen=True)
class Task:
    """Loss and score of one kind of task.

    A model may answer once, ``[rows, *]``, or after each of its K steps,
    ``[rows, K, *]``: the loss is then the mean over steps, the score that of the last.

    Args:
        metric (str): Name of the mean score.
        mode (str): ``"max"`` if a larger score is better, else ``"min"``.
        classes (bool): Whether an answer has one channel more than ``y``: the scores
            of the classes.
    """

    metric: str
    mode: Literal["max", "min"]
    classes: bool

    def marked(
        self, output: Tensor, y: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the answers and targets that count.

        Args:
            output (torch.Tensor): Answers.
            y (torch.Tensor): Targets.
            mask (torch.Tensor, optional): Which entries of the first dimensions of
                ``y`` count, of type bool; all for ``None``.

        Raises:
            UsageError: If answers, ``y`` and ``mask`` do not fit.
        """
        if mask is None:
            return output, y
        _check_mask(mask, y)
        if self.answer(output, y).shape[: mask.dim()] != mask.shape:
            raise _another_shape(output, y)
        if self._has_steps(output, y):
            # [rows, K, *] -> [K, rows, *] -> [K, marked, *] -> [marked, K, *]
            return output.transpose(0, 1)[:, mask].transpose(0, 1), y[mask]
        return output[mask], y[mask]

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss: cross-entropy, or squared error; 0 without rows.

        Raises:
            UsageError: If answers and ``y`` do not fit.
        """
        if self._has_steps(output, y):
            # [rows, K, *] -> [rows * K, *]
            y = y.repeat_interleave(output.size(1), dim=0)
            output = output.flatten(0, 1)
        if self.classes:
            _check_classes(output, y)
        else:
            _check_values(output, y)
        if y.numel() == 0:
            # The mean of nothing is not a number.
            return output.sum()
        if self.classes:
            return functional.cross_entropy(output, y)
        return functional.mse_loss(output, y)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the score of each element of ``y``, of the last step.

        A displacement is one score for all channels, the last dimension of ``y``.
        """
        output = self.answer(output, y)
        if not self.classes:
            _check_values(output, y)
        return SCORES[self.metric](output, y)

    def answer(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the last answer, one for each row of ``y``."""
        return output[:, -1] if self._has_steps(output, y) else output

    def _has_steps(self, output: Tensor, y: Tensor) -> bool:
        return output.dim() > y.dim() + int(self.classes)


def _check_mask(mask: Tensor, y: Tensor) -> None:
    if mask.dtype != torch.bool or mask.shape != y.shape[: mask.dim()]:
        raise UsageError(
            f"'y_mask' must be of type bool and have the first dimensions of 'y', "
            f"{list(y.shape)}, got {list(mask.shape)} of {mask.dtype}"
        )


def _check_classes(output: Tensor, y: Tensor) -> None:
    largest = int(y.max()) if y.numel() else 0
    if largest >= output.size(-1):
        raise UsageError(
            f"the model scores {output.size(-1)} classes, but 'y' holds class "
            f"{largest}; raise the model's 'out_channels'"
        )


def _check_values(output: Tensor, y: Tensor) -> None:
    if output.shape != y.shape:
        raise _another_shape(output, y)


def _another_shape(output: Tensor, y: Tensor) -> UsageError:
    return UsageError(
        f"the model answers with shape {list(output.shape)}, but 'y' has "
        f"{list(y.shape)}; give them the same shape"
    )


def _is_right(output: Tensor, y: Tensor) -> Tensor:
    return (output.argmax(dim=-1) == y).to(output.dtype)


def _absolute_error(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).abs()


def _squared_error(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).square()


def _displacement(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).norm(dim=-1)


# The scores of answers to `y`, by the name of their mean.
SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": _is_right,
    "absolute_error": _absolute_error,
    "squared_error": _squared_error,
    "displacement": _displacement,
}
TASKS = {
    "classification": Task(metric="accuracy", mode="max", classes=True),
    "regression": Task(metric="absolute_error", mode="min", classes=False),
    "forecast": Task(metric="squared_error", mode="min", classes=False),
    "trajectory": Task(metric="displacement", mode="min", classes=False),
}


def task_of(name: str) -> Task:
    """Return the task with this name.

    Raises:
        UsageError: If there is none.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task '{name}'; {nearest_names(name, TASKS)}")
    return TASKS[name]
