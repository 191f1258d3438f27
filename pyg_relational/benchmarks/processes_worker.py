"""Trains on ragged scenes in each of the processes that `torchrun` starts."""

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from pyg_relational.benchmarks.loader import NODE_NUMBERS, scenes
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

# What is trained, quickly or not.


WARM_UP = 5  # steps that are not timed
BATCH_SIZE = 64
# The last batch of each split is smaller than the others.
SCENES = {"train": 620, "val": 8, "test": 301}
# Objects of a scene, at least and at most.
OBJECTS = {False: (5, 40), True: (1, 6)}
CHANNELS = {False: [64, 64, 64], True: [8, 8]}


class Watch(Callback):
    """Keeps the loss of each step, and the time from the end of the warm-up."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.start = self.stop = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Keep the loss."""
        self.stop = time.perf_counter()
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        if len(self.losses) == WARM_UP:
            self.start = self.stop


def train(steps: int, seed: int, quick: bool) -> dict[str, Any]:
    """Return the losses of all steps, seconds a step and the test scores before
    them."""
    pl.seed_everything(seed, workers=True, verbose=False)
    channels = CHANNELS[quick]
    model = RelationNetwork(NODE_NUMBERS, 2, channels, channels)
    untrained = copy.deepcopy(model.state_dict())
    module = RelationalModule(model, "classification")
    made: Any = _Scenes(seed, quick)
    data = RelationalDataModule(made, "", {}, BATCH_SIZE)
    watch = Watch()
    callbacks = [watch, *[RandomNumbers(seed)] * (world_size() > 1)]
    plain: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with quiet_lightning():
        options = {**plain, "callbacks": callbacks, **trainer_options("cpu")}
        trainer = pl.Trainer(max_steps=steps, limit_val_batches=0, **options)
        trainer.fit(module, data)
        # Equal weights: what differs then is the evaluation.
        model.load_state_dict(untrained)
        tester = pl.Trainer(**plain, **trainer_options("cpu"))
        tester.test(module, data, verbose=False)
    return {
        "losses": watch.losses,
        "seconds": (watch.stop - watch.start) / (steps - WARM_UP),
        "scores": {
            "accuracy": module.scores["all"]["all"],
            "loss": float(tester.callback_metrics["test/loss"]),
        },
    }


class _Scenes:
    """Makes the scenes of a split."""

    def __init__(self, seed: int, quick: bool) -> None:
        self.seed = seed
        self.objects = OBJECTS[quick]

    def __call__(self, root: str, split: str) -> Any:
        seed = 3 * self.seed + [*SCENES].index(split)
        return scenes(SCENES[split], *self.objects, False, seed)


def main() -> None:
    """Train as the command line says; the first process writes what it saw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    for name in ("steps", "seed", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with processes("cpu"):
        found = train(options.steps, options.seed, options.quick)
        if rank() == 0:
            options.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
