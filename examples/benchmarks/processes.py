"""The losses and the speed of two processes against those of one."""

import argparse
import copy
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from loader import NODE_NUMBERS, scenes
from pytorch_lightning.callbacks import Callback

from pyg_relational.benchmarks import harness
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

FOLDER = Path("runs/benchmark-processes")
LIMIT = 1e-5  # of the difference between losses
SCORE_LIMIT = 1e-6
# Processes, and threads of each.
CASES = {
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 1),
}
ALONE, _, SHARED = CASES
WARM_UP = 5  # steps that are not timed
BATCH_SIZE = 64
# The last batch of each split is smaller than the others.
SCENES = {"train": 620, "val": 8, "test": 301}
# Objects of a scene, at least and at most.
OBJECTS = {False: (5, 40), True: (1, 6)}
CHANNELS = {False: [64, 64, 64], True: [8, 8]}


def run(
    quick: bool = False,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Trains a relation network on ragged scenes in one process and in two that share
    each batch, and compares losses, test scores and time.

    Every round starts each case anew, in a new order. Writes `processes.json` to
    `runs/benchmark-processes`.

    Args:
        quick (bool): A small model on small scenes. (default: `False`)
        steps (int): Steps of the optimiser. (default: `50`)
        repeats (int): Rounds. (default: `5`)
        seed (int): Seed of scenes, weights and the order of cases. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        AssertionError: Losses or scores of one process and of two differ.
        UsageError: A number is too small.
    """
    harness.check_at_least(1, repeats=repeats)
    harness.check_at_least(WARM_UP + 1, steps=steps)
    options = {"quick": quick, "steps": steps, "repeats": repeats, "seed": seed}
    generator = random.Random(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CASES}
    for _ in range(repeats):
        for name in generator.sample([*CASES], len(CASES)):
            found[name].append(_train(*CASES[name], steps, seed, quick))
    differences = _differences(found)
    figures = {
        **harness.made_by(harness.command_line(run, options)),
        "seed": seed,
        "steps": steps,
        "largest_differences": differences,
        "seconds": {
            name: [each["seconds"] for each in rounds] for name, rounds in found.items()
        },
        "losses": {name: found[name][0]["losses"] for name in (ALONE, SHARED)},
    }
    figures = {"table": _table(figures, *OBJECTS[quick]), **figures}
    return harness.write_record(FOLDER, "processes", figures, record)


def _train(
    number: int, threads: int, steps: int, seed: int, quick: bool
) -> dict[str, Any]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += [f"--nproc-per-node={number}", __file__]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        options = [f"--steps={steps}", f"--seed={seed}", f"--threads={threads}"]
        command = [*launcher, str(output), *options, *["--quick"] * quick]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{number} processes failed:\n{done.stderr}")
        return dict(json.loads(output.read_text()))


def _differences(found: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """The largest ones between two processes and one, in all rounds."""
    pairs = [*zip(found[ALONE], found[SHARED], strict=True)]
    losses = max(
        abs(a - b)
        for one, two in pairs
        for a, b in zip(one["losses"], two["losses"], strict=True)
    )
    scores = max(
        abs(one["scores"][name] - two["scores"][name])
        for one, two in pairs
        for name in one["scores"]
    )
    if losses > LIMIT or scores > SCORE_LIMIT:
        raise AssertionError(
            f"two processes differ from one by {losses:.1e} in losses (at most "
            f"{LIMIT:.0e}) and {scores:.1e} in test scores (at most {SCORE_LIMIT:.0e})"
        )
    return {"losses": losses, "scores": scores}


def _table(figures: dict[str, Any], fewest: int, most: int) -> dict[str, Any]:
    seconds, differences = figures["seconds"], figures["largest_differences"]
    rows = []
    for name, rounds in seconds.items():
        times = harness.spread(harness.ratios(seconds[ALONE], rounds), 2)
        rows.append(
            [
                name,
                f"{1000 * statistics.median(rounds):,.1f}",
                times,
            ]
        )
    return {
        "columns": ["", "milliseconds a step", "times faster"],
        "rows": rows,
        "caption": (
            f"A relation network on scenes of {fewest} to {most} objects, "
            f"{BATCH_SIZE} a batch; median [lowest to highest] over rounds, "
            f"{figures['hardware']['processor']}. Over {figures['steps']} steps the "
            f"losses of two processes differ from those of one by at most "
            f"{differences['losses']:.1e}; test scores of equal weights differ by "
            f"{differences['scores']:.1e}. `{figures['command']}`"
        ),
    }


# What each of the processes does that `torchrun` starts.


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


def work() -> None:
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
    if "LOCAL_RANK" in os.environ:
        work()
    else:
        harness.main(run)
