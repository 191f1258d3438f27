"""Training of a model on small graphs, and in which order they come."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, WeightedRandomSampler
from torch_geometric.data import Batch

from pyg_relational.benchmarks.graphs.answers import judge, loss
from pyg_relational.benchmarks.graphs.model import build_model
from pyg_relational.benchmarks.graphs.settings import (
    LAST,
    TRAIN_NODES,
    Case,
    step_range,
    steps_for,
)
from pyg_relational.loader import graph_loader
from pyg_relational.train.datamodule import RelationalDataModule

# Lengths with a smaller share of the graphs are drawn as if they had this one, so that
# few graphs are not drawn all the time.
RARE = 0.005


class GraphTaskModule(pl.LightningModule):
    """Trains the last steps of a run of random length, and validates with the steps
    that belong to the largest graph.

    Args:
        case (Case): What to train.
        total (int): Batches in all.
    """

    def __init__(self, case: Case, total: int) -> None:
        super().__init__()
        self.case, self.total = case, total
        self.model = build_model(case.task, case.model, case.budget.channels)
        self.steps = steps_for(case.task, case.model, TRAIN_NODES[1])
        self.judged: list[tuple[float, int, int]] = []
        self.curve: list[dict[str, float]] = []

    def answer(self, batch: Batch, steps: int, last: int) -> Tensor:
        """Return the answers of the last steps."""
        edges = batch.edge_index if "edge_index" in batch else None
        return self.model(batch.x, edges, batch=batch.batch, steps=steps, last=last)

    def training_step(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        low, high = step_range(self.case.task, self.case.model)
        steps = int(torch.randint(low, high + 1, ()))
        out = self.answer(batch, steps, min(LAST, steps))
        value = loss(self.case.task, out, batch)
        self.log("train/loss", value, batch_size=batch.num_graphs, prog_bar=True)
        return value

    def validation_step(self, batch: Batch) -> None:
        """Judge the answers to a batch."""
        out = self.answer(batch, self.steps, 1)
        value = float(loss(self.case.task, out, batch))
        solved = judge(self.case.task, out[:, -1], batch).solved
        self.judged.append((value, int(solved.sum()), batch.num_graphs))

    def on_validation_epoch_end(self) -> None:
        """Log the loss in validation and the share of graphs that are solved."""
        graphs = sum(number for _, _, number in self.judged)
        value = sum(value * number for value, _, number in self.judged) / graphs
        solved = sum(solved for _, solved, _ in self.judged) / graphs
        self.judged = []
        self.curve.append({"loss": value, "solved": solved})
        self.log("val/loss", value)
        self.log("val/solved", solved, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return Adam, whose learning rate falls to 0 in the second half."""
        rate = self.case.budget.learning_rate
        optimizer = torch.optim.Adam(self.parameters(), lr=rate)

        def scale(step: int) -> float:
            return min(1.0, (step + 1) / 100, 2 * (1 - step / self.total))

        schedule = {"scheduler": LambdaLR(optimizer, scale), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is not part of the weights."""
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what is not part of the weights."""
        self.curve = list(checkpoint["curve"])


class EvenLengths(RelationalDataModule):
    """Graphs of which long ways are trained as often as short ones: few small graphs
    have long ones. Validation takes graphs as they come."""

    def train_loader(self) -> DataLoader:
        """Return batches of the training split, drawn with replacement."""
        split = self.dataset("train")
        weights = even_weights(torch.cat([graph.length for graph in split]))
        sampler = WeightedRandomSampler(weights.tolist(), len(split))
        return graph_loader(split, self.batch_size, sampler=sampler)


def even_weights(length: Tensor) -> Tensor:
    """Returns with which weight each graph is drawn, so that all lengths are drawn
    equally often.

    Args:
        length (torch.Tensor): `[B]`, the length of each graph.
    """
    share = length.bincount() / length.numel()
    return 1 / share.clamp_min(RARE)[length]
