"""The one Lightning module that trains every model on every task."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_relational.nn.inputs import forward_arguments
from pyg_relational.train.errors import UsageError
from pyg_relational.train.metrics import SETS, GroupedMean
from pyg_relational.train.processes import pool, world_size
from pyg_relational.train.tasks import task_of

OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


def warmup_cosine(step: int, warmup_steps: int, total_steps: float) -> float:
    """Return the factor of the learning rate at a step: linear rise, cosine fall.

    Args:
        step (int): Number of steps taken so far.
        warmup_steps (int): Steps until the factor is 1.
        total_steps (float): Steps at which the factor is 0.

    Returns:
        float: In ``[0, 1]``.
    """
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
        task (str): ``"classification"``, ``"regression"``, ``"forecast"`` or
            ``"trajectory"``.
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

    Raises:
        UsageError: If the task or the optimiser is unknown, or the batch lacks an
            attribute that the model requires.
    """

    def __init__(
        self,
        model: nn.Module,
        task: str,
        groups: Mapping[str, Sequence[str]] | None = None,
        optimizer: str = "AdamW",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
        warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        if optimizer not in OPTIMIZERS:
            known = ", ".join(sorted(OPTIMIZERS))
            raise UsageError(f"unknown optimizer '{optimizer}'; Known: {known}")
        self.model = model
        self.task = task_of(task)
        self.groups = dict(groups or {})
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = (betas[0], betas[1])
        self.warmup_steps = warmup_steps
        self.inputs = inspect.signature(model.forward).parameters
        self.score = GroupedMean(self.groups)
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
        output, y, _ = self._marked(self(batch), batch)
        loss = self.task.loss(output, y)
        mean, rows = pool(loss, y.size(0))
        self.log("train/loss", mean, batch_size=batch.num_graphs, prog_bar=True)
        return loss * (y.size(0) * world_size() / rows.clamp(min=1))

    def validation_step(self, batch: Data) -> None:
        """Add a batch to the validation loss and scores."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Data) -> None:
        """Add a batch to the test loss and scores."""
        self._evaluate(batch, "test")

    def _evaluate(self, batch: Data, split: str) -> None:
        output, y, indices = self._marked(self(batch), batch)
        loss, rows = pool(self.task.loss(output, y), y.size(0))
        self.log(f"{split}/loss", loss, batch_size=int(rows))
        self.score.update(self.task.score(output, y), indices)

    def score_of(self, output: Tensor, data: Data) -> dict[str, dict[str, float]]:
        """Return the scores of given answers to all rows of a dataset.

        Args:
            output (torch.Tensor): Answers, as the model would give them.
            data (Data): Holds ``y`` and the groups of its rows; ``"sets"`` needs a
                batch.
        """
        metric = GroupedMean(self.groups, sync_on_compute=False)
        output, y, indices = self._marked(output, data)
        metric.update(self.task.score(output, y), indices)
        return metric.compute()

    def _marked(
        self, output: Tensor, data: Data
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The answers and targets that count, and the groups of their scores."""
        mask = data.get("y_mask")
        groups = {
            name: data[f"question_{name}"] for name in self.groups if name != SETS
        }
        if SETS in self.groups and "batch" in data:
            groups[SETS] = _graph_of_scores(data)
        if mask is not None:
            groups = {name: index[mask] for name, index in groups.items()}
        return *self.task.marked(output, data.y, mask), groups

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
        fused = not (clips and self.trainer.precision != "32-true")
        optimizer = OPTIMIZERS[self.optimizer](
            self.parameters(),
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
            fused=fused,
        )
        total = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, self.warmup_steps, total)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


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
