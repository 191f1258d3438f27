"""What a dataset's ``task`` means: loss, score of a row, and which way is better."""

from dataclasses import dataclass
from typing import Literal

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

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss: cross-entropy, or squared error.

        Raises:
            UsageError: If answers and ``y`` do not fit.
        """
        if self._has_steps(output, y):
            # [rows, K, *] -> [rows * K, *]
            y = y.repeat_interleave(output.size(1), dim=0)
            output = output.flatten(0, 1)
        if self.classes:
            _check_classes(output, y)
            return functional.cross_entropy(output, y)
        _check_values(output, y)
        return functional.mse_loss(output, y)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the score of each element of ``y``, of the last step."""
        output = self.answer(output, y)
        if self.classes:
            return (output.argmax(dim=-1) == y).to(output.dtype)
        _check_values(output, y)
        return (output - y).abs()

    def answer(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the last answer, one for each row of ``y``."""
        return output[:, -1] if self._has_steps(output, y) else output

    def _has_steps(self, output: Tensor, y: Tensor) -> bool:
        return output.dim() > y.dim() + int(self.classes)


def _check_classes(output: Tensor, y: Tensor) -> None:
    largest = int(y.max()) if y.numel() else 0
    if largest >= output.size(-1):
        raise UsageError(
            f"the model scores {output.size(-1)} classes, but 'y' holds class "
            f"{largest}; raise the model's 'out_channels'"
        )


def _check_values(output: Tensor, y: Tensor) -> None:
    if output.shape != y.shape:
        raise UsageError(
            f"the model answers with shape {list(output.shape)}, but 'y' has "
            f"{list(y.shape)}; give them the same shape"
        )


TASKS = {
    "classification": Task(metric="accuracy", mode="max", classes=True),
    "regression": Task(metric="absolute_error", mode="min", classes=False),
}


def task_of(name: str) -> Task:
    """Return the task with this name.

    Raises:
        UsageError: If there is none.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task '{name}'; {nearest_names(name, TASKS)}")
    return TASKS[name]
