"""Trains and tests models on ragged graphs, alone or in several processes, and writes
what each process saw. `test_processes.py` runs it."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_relational.loader import in_memory
from pyg_relational.models import RelationNetwork
from pyg_relational.train.callbacks import quiet_lightning
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.processes import (
    RandomNumbers,
    processes,
    rank,
    trainer_options,
    world_size,
)

STEPS = 50
SAVED = 20  # In the middle of an epoch of six.
# The last batch of each split has one graph: one of two processes has no part of it.
GRAPHS = {"train": 41, "val": 17, "test": 9}
BATCH = 8


class StepsOfNodes(nn.Module):
    """Answers for every node after each of three steps. One part of it is for graphs
    of more than a node alone."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(dropout)
        self.others = nn.Linear(4, 4)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        steps = []
        for _ in range(3):
            x = self.dropout(torch.tanh(self.linear(x)))
            if batch_size < x.size(0):
                total = x.new_zeros(batch_size, 4).index_add(0, batch, self.others(x))
                x = x + total[batch]
            steps.append(self.out(x))
        return torch.stack(steps, dim=1)


def graphs(split: str) -> list[Data]:
    generator = torch.Generator().manual_seed(len(split))
    found = []
    for number in range(GRAPHS[split]):
        size = int(torch.randint(1, 10, (1,), generator=generator))
        x = torch.randn(size, 4, generator=generator)
        nodes = (x.sum(1) > x.sum()).long() + (x[:, 0] > 0)
        data = Data(x=x, y=x.max(0).values[:1].view(1, 1), y_nodes=nodes)
        # Graphs without a marked row, and a whole part without one.
        data.mask = (torch.rand(size, generator=generator) < 0.6) & (number % 4 > 0)
        data.kind = (x[:, 1] > 0).long()
        found.append(data)
    return found


class Ragged:
    """Makes the datasets: of graphs, or of nodes that are marked."""

    def __init__(self, nodes: bool) -> None:
        self.nodes = nodes

    def __call__(self, root: str, split: str) -> Any:
        found = []
        for data in graphs(split):
            if self.nodes:
                groups = {"question_kind": data.kind}
                row = Data(x=data.x, y=data.y_nodes, y_mask=data.mask, **groups)
            else:
                row = Data(x=data.x, y=data.y)
            found.append(row)
        return in_memory(found)


class Watch(pl.Callback):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[float] = []
        self.gradients: list[list[float]] = []
        self.scores: list[dict[str, float]] = []
        self.random: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, _: Any) -> None:
        parts = [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
            for p in module.parameters()
        ]
        if len(self.gradients) < 2 * -(-GRAPHS["train"] // BATCH):
            self.gradients.append(torch.cat(parts).tolist())

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        if trainer.global_step == SAVED:
            trainer.save_checkpoint(self.path)

    def on_train_end(self, *_: Any) -> None:
        self.random = torch.rand(2).tolist()

    def on_validation_end(self, trainer: Any, *_: Any) -> None:
        logged = trainer.callback_metrics.items()
        self.scores.append({k: float(v) for k, v in logged if k.startswith("val/")})


def train(
    path: Path,
    nodes: bool,
    stop_early: bool = False,
    dropout: float = 0.0,
    resume: bool = False,
) -> dict[str, Any]:
    pl.seed_everything(5, workers=True, verbose=False)
    if nodes:
        groups = {"kind": ("a", "b"), "sets": ("solved",)}
        model, task = StepsOfNodes(dropout), "classification"
    else:
        groups, task = {}, "regression"
        model = RelationNetwork(4, 1, relation_channels=[8], readout_channels=[8])
    untrained = copy.deepcopy(model.state_dict())
    module = RelationalModule(model, task, groups, learning_rate=0.01)
    data = RelationalDataModule(Ragged(nodes), "", {}, BATCH)
    watch = Watch(path)
    callbacks = [watch, *[RandomNumbers(5)] * (world_size() > 1)]
    if stop_early:
        callbacks.append(EarlyStopping("val/loss", patience=0, min_delta=0.1))
    quiet = {"logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    quiet["accelerator"] = "cpu"
    with quiet_lightning():
        trainer = pl.Trainer(
            max_steps=STEPS,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            **quiet,
            **trainer_options("cpu"),
        )
        trainer.fit(module, data, ckpt_path=str(path) if resume else None)
        # Equal weights: what differs then is the evaluation.
        model.load_state_dict(untrained)
        tester = pl.Trainer(**quiet, **trainer_options("cpu"))
        tester.test(module, data, verbose=False)
    return {
        "losses": watch.losses,
        "gradients": watch.gradients,
        "val": watch.scores,
        "test": module.scores,
        "test_loss": float(tester.callback_metrics["test/loss"]),
        "random": watch.random,
    }


CASES = {
    "graphs": {"nodes": False},
    "nodes": {"nodes": True},
    "early": {"nodes": False, "stop_early": True},
    "whole": {"nodes": True, "dropout": 0.5},
    "resumed": {"nodes": True, "dropout": 0.5, "resume": True},
}


def main(folder: Path) -> None:
    with processes("cpu"):
        found = {}
        for name, options in CASES.items():
            saved = "whole" if name == "resumed" else name
            path = folder / f"{saved}-of-{world_size()}.ckpt"
            found[name] = train(path, **options)
        (folder / f"{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
