"""Training and official evaluation of a model on molecules."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from pyg_relational.datasets.ogb_loader import import_ogb
from pyg_relational.loader import graph_loader
from pyg_relational.nn.inputs import forward_arguments
from pyg_relational.train.datamodule import RelationalDataModule

# Metrics of which less is better.
ERRORS = ("rmse",)


class MoleculeModule(pl.LightningModule):
    """Trains a model on the labels that are there, with the loss of OGB's examples, and
    scores each split as a whole by OGB's evaluator.

    Args:
        model (nn.Module): Answers with a row for each molecule.
        dataset (str): Name of the set, as the evaluator knows it.
        task_type (str): `"regression"` or `"binary classification"`.
        eval_metric (str): The metric of the evaluator.
        learning_rate (float): Constant learning rate of Adam.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: str,
        task_type: str,
        eval_metric: str,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.model = model
        self.regression = task_type == "regression"
        self.metric = eval_metric
        self.mode = "min" if eval_metric in ERRORS else "max"
        self.learning_rate = learning_rate
        self.evaluator = import_ogb("ogb.graphproppred").Evaluator(dataset)
        self.answers: list[tuple[Tensor, Tensor]] = []
        self.curve: list[float] = []
        self.score = float("nan")

    def training_step(self, batch: Data) -> Tensor:
        """Return the loss of a batch."""
        out = self.model(**forward_arguments(self.model, batch))
        known = ~batch.y.isnan()
        answers, y = out[known], batch.y[known].to(out.dtype)
        if self.regression:
            value = functional.mse_loss(answers, y)
        else:
            value = functional.binary_cross_entropy_with_logits(answers, y)
        self.log("train/loss", value, batch_size=batch.num_graphs, prog_bar=True)
        return value

    def validation_step(self, batch: Data) -> None:
        """Keep the answers to a batch."""
        self._keep(batch)

    def test_step(self, batch: Data) -> None:
        """Keep the answers to a batch."""
        self._keep(batch)

    def on_validation_epoch_end(self) -> None:
        """Score and log the validation split."""
        self.curve.append(self._evaluate())
        self.log(f"val/{self.metric}", self.curve[-1], prog_bar=True)

    def on_test_epoch_end(self) -> None:
        """Score the split, which `score` then holds."""
        self.score = self._evaluate()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam with a constant learning rate."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is not part of the weights."""
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what is not part of the weights."""
        self.curve = list(checkpoint["curve"])

    def _keep(self, batch: Data) -> None:
        out = self.model(**forward_arguments(self.model, batch))
        self.answers.append((batch.y.cpu(), out.detach().float().cpu()))

    def _evaluate(self) -> float:
        y, out = (torch.cat(rows) for rows in zip(*self.answers, strict=True))
        self.answers = []
        score = self.evaluator.eval({"y_true": y, "y_pred": out})
        return float(score[self.metric])


class MoleculeDataModule(RelationalDataModule):
    """The splits of a set, without a last training batch of a single molecule: batch
    normalisation cannot learn from one row."""

    def train_loader(self) -> DataLoader:
        """Return shuffled batches of the training split."""
        split = self.dataset("train")
        alone = len(split) % self.batch_size == 1
        return graph_loader(split, self.batch_size, shuffle=True, drop_last=alone)
