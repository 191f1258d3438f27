"""The one Lightning module that trains every model on every task."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch, Data
from torch_geometric.utils import scatter
from torchmetrics import Metric

from pyg_relational._checks import UsageError, nearest_names
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train.processes import pool, world_size

# The grouping of graphs whose rows are all right.
SETS = "sets"


class GroupedMean(Metric):
    """Mean of a score over all rows and within each group of each grouping.

    .. math::
        m_g = \\frac{1}{|R_g|} \\sum_{r \\in R_g} s_r

    Args:
        groups (Mapping[str, Sequence[str]]): Names of the groups of each grouping, such
            as ``{"kind": ("non-relational", "relational")}``.
        **kwargs (optional): Arguments of :class:`torchmetrics.Metric`. Sums and counts
            are added over processes unless ``sync_on_compute=False``.

    Shapes:
        - **score** :math:`(R, *)`, **indices**: for each grouping of the same shape,
          in ``range(len(groups[grouping]))``; groupings without indices are left out
          of an update. The indices of ``"sets"``, whose only group holds the share of
          graphs with a score of 1 in every row, are the numbers of the graphs; a graph
          is in one update alone.
        - :meth:`compute`: a dictionary ``{"all": {"all": m}, grouping: {group: m}}`` of
          floats; groups without rows are left out.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, groups: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = {"all": ("all",), **{k: tuple(v) for k, v in groups.items()}}
        size = sum(len(names) for names in self.groups.values())
        # Sums of many numbers shall not depend on their order.
        zeros = torch.zeros(size, dtype=torch.float64)
        self.add_state("total", zeros, dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")

    def update(self, score: Tensor, indices: Mapping[str, Tensor]) -> None:
        """Add the scores of a batch to their groups."""
        score = score.detach().to(self.total.dtype)
        everything = torch.zeros_like(score, dtype=torch.long)
        groups = {name: index for name, index in indices.items() if name != SETS}
        self._add(score, {"all": everything, **groups})
        if SETS in indices:
            solved = _solved(score.flatten(), indices[SETS].flatten())
            self._add(solved, {SETS: torch.zeros_like(solved, dtype=torch.long)})

    def _add(self, score: Tensor, indices: Mapping[str, Tensor]) -> None:
        offset = 0
        for grouping, names in self.groups.items():
            if grouping in indices:
                index = (indices[grouping] + offset).flatten()
                self.total.index_add_(0, index, score.flatten())
                self.count.index_add_(0, index, torch.ones_like(score).flatten())
            offset += len(names)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return the mean score of every group that has rows."""
        means = iter((self.total / self.count).tolist())
        result = {
            grouping: {name: next(means) for name in names}
            for grouping, names in self.groups.items()
        }
        return {
            grouping: {name: mean for name, mean in values.items() if mean == mean}
            for grouping, values in result.items()
        }


def _solved(score: Tensor, graph: Tensor) -> Tensor:
    """Of each graph with a score, 1 if all its scores are."""
    rows = graph.bincount()
    wrong = scatter(1 - score, graph, dim_size=rows.numel())
    return (wrong[rows > 0] == 0).to(score.dtype)


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

    def read(self, output: Tensor, data: Data) -> Tensor:
        """Return what is scored of a model's output; it may need the batch."""
        return output

    def marked(
        self, output: Tensor, y: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the answers and targets that count."""
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
        """Return the mean loss: cross-entropy, or squared error; 0 without rows."""
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
    """Return the task with this name."""
    if name not in TASKS:
        raise UsageError(f"unknown task '{name}'; {nearest_names(name, TASKS)}")
    return TASKS[name]


OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


def warmup_cosine(step: int, warmup_steps: int, total_steps: float) -> float:
    """Return the factor of the learning rate at a step: linear rise, cosine fall."""
    rise = min(1.0, (step + 1) / max(1, warmup_steps))
    done = min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps))
    return rise * 0.5 * (1 + math.cos(math.pi * done))


class RelationalModule(pl.LightningModule):
    """Trains a model that answers the rows of ``y`` from the attributes of a batch.

    The model is called with those attributes of the batch that its ``forward`` names
    (``batch_size`` is the number of graphs), so a new model or dataset needs no new
    training code. If the batch holds ``y_mask``, only the rows that it marks count, in
    the loss and in every score.

    Args:
        model (nn.Module): Any model whose output has one row for each row of ``y``.
        task (str or Task): ``"classification"``, ``"regression"``, ``"forecast"``,
            ``"trajectory"``, or a task of another kind.
        groups (Mapping[str, Sequence[str]], optional): Groupings of the rows; the batch
            holds the group of each score in ``question_<grouping>``. The grouping
            ``"sets"`` holds the share of graphs whose rows are all right; rows are
            those of ``edge_label_index`` if there are as many, else nodes or graphs.
            (default: ``None``)
        optimizer (str): ``"Adam"`` or ``"AdamW"``. (default: ``"AdamW"``)
        learning_rate (float): Learning rate after the warm-up. (default: ``1e-3``)
        weight_decay (float): Weight decay. (default: ``0.0``)
        betas (Sequence[float]): Decay of the running mean and square of gradients.
            (default: ``(0.9, 0.999)``)
        warmup_steps (int): Steps of linear warm-up, before a cosine that ends at zero
            with the budget. (default: ``0``)
        schedule (Callable, optional): Factor of the learning rate, given ``step`` and
            ``total_steps``, in place of warm-up and cosine. (default: ``None``)
        fused (bool): Whether the optimiser is one kernel, where Lightning allows it.
            (default: ``True``)

    Raises:
        UsageError: If the task or the optimiser is unknown, or the batch lacks an
            attribute that the model requires.
    """

    def __init__(
        self,
        model: nn.Module,
        task: str | Task,
        groups: Mapping[str, Sequence[str]] | None = None,
        optimizer: str = "AdamW",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
        warmup_steps: int = 0,
        schedule: Callable[..., float] | None = None,
        fused: bool = True,
    ) -> None:
        super().__init__()
        if optimizer not in OPTIMIZERS:
            known = ", ".join(sorted(OPTIMIZERS))
            raise UsageError(f"unknown optimizer '{optimizer}'; Known: {known}")
        self.model = model
        self.task = task_of(task) if isinstance(task, str) else task
        self.groups = dict(groups or {})
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = (betas[0], betas[1])
        self.schedule = schedule or partial(warmup_cosine, warmup_steps=warmup_steps)
        self.fused = fused
        self.inputs = inspect.signature(model.forward).parameters
        self.score: Metric = GroupedMean(self.groups)
        self.scores: dict[str, dict[str, float]] = {}

    def forward(self, batch: Data) -> Tensor:
        """Return the model's output, one row for each row of ``y``."""
        arguments = forward_arguments(self.model, batch)
        for name, parameter in self.inputs.items():
            needed = parameter.default is inspect.Parameter.empty
            if needed and name not in arguments:
                raise UsageError(
                    f"{type(self.model).__name__} needs '{name}', but the dataset's "
                    f"scenes hold {', '.join(batch.keys())}; choose a model for this "
                    "representation, or another --representation"
                )
        try:
            return self.model(**arguments)
        except ValueError as error:
            name = type(self.model).__name__
            raise UsageError(f"model {name} refused the batch: {error}") from error

    def training_step(self, batch: Data) -> Tensor:
        """Return the loss of a batch, or of a part of it: weighted by rows, so that the
        mean of its gradients over processes is the gradient of the batch."""
        output, y, _ = _marked(self.task, self.groups, self(batch), batch)
        loss = self.task.loss(output, y)
        mean, rows = pool(loss, y.size(0))
        self.log("train/loss", mean, batch_size=batch.num_graphs, prog_bar=True)
        return loss * (y.size(0) * world_size() / rows.clamp(min=1))

    def validation_step(self, batch: Data) -> Tensor:
        """Add a batch to the validation loss and scores."""
        return self._evaluate(batch, "val")

    def test_step(self, batch: Data) -> Tensor:
        """Add a batch to the test loss and scores."""
        return self._evaluate(batch, "test")

    def _evaluate(self, batch: Data, split: str) -> Tensor:
        output, y, indices = _marked(self.task, self.groups, self(batch), batch)
        loss, rows = pool(self.task.loss(output, y), y.size(0))
        self.log(f"{split}/loss", loss, batch_size=int(rows))
        self.score.update(self.task.score(output, y), indices)
        return loss

    def on_validation_epoch_end(self) -> None:
        """Log the validation score of every group."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the test score of every group, and keep them in ``scores``."""
        self._log_scores("test")

    def _log_scores(self, split: str) -> None:
        self.scores = self.score.compute()
        self.score.reset()
        for grouping, values in self.scores.items():
            for name, value in values.items():
                suffix = "" if grouping == "all" else f"/{name}"
                main = grouping == "all"
                self.log(f"{split}/{self.task.metric}{suffix}", value, prog_bar=main)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, which advances at every step."""
        # Lightning clips no gradients of fused optimizers under mixed precision.
        clips = self.trainer.gradient_clip_val is not None
        fused = self.fused and not (clips and self.trainer.precision != "32-true")
        optimizer = OPTIMIZERS[self.optimizer](
            self.parameters(),
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
            fused=fused,
        )
        total = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule(step, total_steps=total)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def answer_probabilities(
    module: RelationalModule, scenes: Sequence[Data], follow_batch: list[str]
) -> list[Tensor]:
    """Return the probability of every answer to every question of each scene."""
    batch = Batch.from_data_list(list(scenes), follow_batch=follow_batch)
    module.eval()
    with torch.no_grad():
        output = module(batch.to(module.device))
        output = module.task.answer(output, batch.y)
        probability = output.softmax(dim=-1).cpu()
    return list(probability.split([len(scene.y) for scene in scenes]))


def score_of(
    task: Task, groups: Mapping[str, Sequence[str]], output: Tensor, data: Data
) -> dict[str, dict[str, float]]:
    """Return the scores of given answers to all rows of a dataset."""
    metric = GroupedMean(groups, sync_on_compute=False)
    output, y, indices = _marked(task, groups, output, data)
    metric.update(task.score(output, y), indices)
    return metric.compute()


def _marked(
    task: Task, groups: Mapping[str, Sequence[str]], output: Tensor, data: Data
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The answers and targets that count, and the groups of their scores."""
    mask = data.get("y_mask")
    indices = {name: data[f"question_{name}"] for name in groups if name != SETS}
    if SETS in groups and "batch" in data:
        indices[SETS] = _graph_of_scores(data)
    if mask is not None:
        indices = {name: index[mask] for name, index in indices.items()}
    output = task.read(output, data)
    return *task.marked(output, data.y, mask), indices


def _graph_of_scores(batch: Data) -> Tensor:
    """The graph that each element of ``y`` belongs to."""
    rows, pairs = batch.y.size(0), batch.get("edge_label_index")
    if pairs is not None and rows == pairs.size(1):
        graph = batch.batch[pairs[0]]
    elif rows == batch.batch.numel():
        graph = batch.batch
    elif rows == batch.num_graphs:
        graph = torch.arange(rows, device=batch.y.device)
    else:
        raise UsageError(
            f"the grouping '{SETS}' needs a row of 'y' for each pair, node or graph of "
            f"a batch, got {rows} rows for {batch.batch.numel()} nodes of "
            f"{batch.num_graphs} graphs"
        )
    # [R] -> [R, *]
    return graph.view(-1, *(1,) * (batch.y.dim() - 1)).expand_as(batch.y)
