"""A million scenes: generated, stored, and trained on for an epoch."""

import random
import statistics
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from loader import check_same_batch
from pytorch_lightning.callbacks import Callback
from torch_geometric.loader import DataLoader

from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import in_turns, seconds
from pyg_relational.datasets import SortOfCLEVROnDisk
from pyg_relational.loader import StoredLoader
from pyg_relational.train import configure
from pyg_relational.train.callbacks import quiet_lightning
from pyg_relational.train.fit import fit_weights
from pyg_relational.train.run_folder import prepare


class Memory:
    """Samples the memory that belongs to these processes alone, while it is open.

    Pages of files that the system keeps, such as those of a dataset, are not counted.

    Args:
        interval (float): Seconds between samples.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        # Of each sample: when it was taken, and the bytes.
        self.samples: list[tuple[float, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def within(self, start: float, stop: float) -> dict[str, int]:
        """Return the bytes after 10, 50 and 100 percent of a span of time, and the most
        within it."""
        found = {
            f"at {share} %": self._nearest(start + share / 100 * (stop - start))
            for share in (10, 50, 100)
        }
        inside = [used for moment, used in self.samples if start <= moment <= stop]
        return {**found, "highest": max([*inside, *found.values()])}

    def _nearest(self, moment: float) -> int:
        return min(self.samples, key=lambda sample: abs(sample[0] - moment))[1]

    def _sample(self) -> None:
        while True:
            self.samples.append((time.perf_counter(), used_bytes()))
            if self._done.wait(self.interval):
                return


def used_bytes() -> int:
    """Return the bytes that this process and those it started use alone."""
    this = psutil.Process()
    total = 0
    for process in [this, *this.children(recursive=True)]:
        try:
            total += process.memory_full_info().uss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # It has ended meanwhile.
            continue
    return total


PLACE = Path("runs/benchmark-on-disk")
SCENES = 1_000_000
VALIDATION = 2_000
QUICK = 2_000
CHUNK = {False: 10_000, True: 500}
INTERVAL = {False: 0.5, True: 0.02}  # seconds between samples of memory
BATCH_SIZE = 64
LOADED = 20_000  # scenes of a round of the loaders
ROUNDS = 5
SECONDS = 60.0  # of all rounds
# What training does not read.
UNREAD = ["position", "shape_id", "pair"]
MOMENTS = ("at 10 %", "at 50 %", "at 100 %", "highest")


def run(
    quick: bool = False,
    scenes: int = SCENES,
    workers: int = 2,
    max_steps: int | None = None,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Generates Sort-of-CLEVR scenes on disk and trains the laptop model of its recipe
    on them for an epoch, watching the memory of all processes.

    The scenes are deleted in the end; a million takes about 2.4 GB. Writes
    `on-disk.json` to `runs/benchmark-on-disk`.

    Args:
        quick (bool): Few scenes, seconds. (default: `False`)
        scenes (int): Scenes to generate. (default: `1000000`)
        workers (int): Processes that generate. (default: `2`)
        max_steps (int, optional): Steps of the epoch at most. (default: `None`)
        seed (int): Seed of scenes, weights and batches. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        AssertionError: A batch differs from PyG's.
        UsageError: A number is too small.
    """
    harness.check_at_least(BATCH_SIZE, scenes=scenes)
    harness.check_at_least(1, workers=workers, max_steps=max_steps)
    options: dict[str, Any] = {"quick": quick, "scenes": scenes, "workers": workers}
    options |= {"max_steps": max_steps, "seed": seed}
    command = harness.command_line(run, options)
    number = min(scenes, QUICK) if quick else scenes
    config = _configure(number, workers, max_steps, seed, quick, command)
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        config["dataset"]["root"] = f"{folder}/data"
        generation, dataset = _generate(config["dataset"], INTERVAL[quick])
        epoch = _train(config, Path(folder) / "run", INTERVAL[quick])
        loading = _load(dataset, seed)
    figures = {
        **harness.made_by(command),
        "seed": seed,
        "scenes": number,
        "generation": generation,
        "epoch": epoch,
        "loading": loading,
    }
    figures = {"table": _table(figures), **figures}
    return harness.write_record(PLACE, "on-disk", figures, record)


class Watch(Callback):
    """Keeps when the steps of an epoch began and ended, and the scenes they saw."""

    def __init__(self) -> None:
        self.start = self.stop = 0.0
        self.scenes = 0

    def on_train_batch_start(self, *args: Any) -> None:
        """Keep when the first step began."""
        self.start = self.start or time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Keep when the last step ended."""
        self.stop = time.perf_counter()
        self.scenes += batch.num_graphs


def _configure(
    scenes: int,
    workers: int,
    max_steps: int | None,
    seed: int,
    quick: bool,
    command: str,
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "dataset.args.num_train": scenes,
        "dataset.args.num_val": min(scenes, VALIDATION),
        "dataset.args.seed": seed,
        "budget.max_epochs": 1,
        "budget.validate_every": 1,
        "budget.max_minutes": None,
        "budget.max_steps": max_steps,
    }
    config = configure(
        "sort-of-clevr",
        command=command,
        representation="state",
        seed=seed,
        accelerator="cpu",
        baseline=False,
        settings=settings,
    )
    config["dataset"]["class"] = SortOfCLEVROnDisk.__name__
    config["dataset"]["args"] |= {"chunk_size": CHUNK[quick], "workers": workers}
    return config


def _generate(
    spec: dict[str, Any], interval: float
) -> tuple[dict[str, Any], SortOfCLEVROnDisk]:
    with Memory(interval) as memory:
        start = time.perf_counter()
        dataset = SortOfCLEVROnDisk(spec["root"], "train", **spec["args"])
        stop = time.perf_counter()
    found = {
        "scenes": len(dataset),
        "bytes": Path(dataset.processed_paths[0]).stat().st_size,
        "seconds": stop - start,
        "memory": memory.within(start, stop),
    }
    return found, dataset


def _train(config: dict[str, Any], folder: Path, interval: float) -> dict[str, Any]:
    watch = Watch()
    prepare(folder, config, resume=False, overwrite=False)
    with quiet_lightning(), Memory(interval) as memory:
        fitted = fit_weights(config, folder, [watch])
    metric = f"val/{fitted.module.task.metric}"
    return {
        "scenes": watch.scenes,
        "seconds": watch.stop - watch.start,
        "memory": memory.within(watch.start, watch.stop),
        "samples": [
            [round(moment - watch.start, 1), used]
            for moment, used in memory.samples[:: max(1, len(memory.samples) // 100)]
        ],
        metric: float(fitted.trainer.callback_metrics[metric]),
    }


def _load(dataset: SortOfCLEVROnDisk, seed: int) -> dict[str, Any]:
    """Returns the seconds of rounds in which both loaders load the same batches."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    batches = [part.tolist() for part in order[:LOADED].split(BATCH_SIZE)]
    options: Any = {"follow_batch": ["u"], "exclude_keys": UNREAD}
    theirs = DataLoader(dataset, batch_sampler=batches, **options)
    ours = StoredLoader(dataset, batch_sampler=batches, **options)
    for found, expected in zip(ours, theirs, strict=True):
        check_same_batch(found, expected)
    calls = {
        "DataLoader": lambda: sum(batch.num_graphs for batch in theirs),
        "StoredLoader": lambda: sum(batch.num_graphs for batch in ours),
    }
    expected_seconds = {name: seconds(call, "cpu") for name, call in calls.items()}
    generator = random.Random(seed)
    rounds = in_turns(calls, expected_seconds, "cpu", ROUNDS, SECONDS, generator)
    return {"scenes": sum(map(len, batches)), "seconds": rounds}


def _table(figures: dict[str, Any]) -> dict[str, Any]:
    parts = [figures["generation"], figures["epoch"]]
    growth = [part["memory"]["at 100 %"] - part["memory"]["at 10 %"] for part in parts]
    rates = [f"{part['scenes'] / part['seconds']:,.0f}" for part in parts]
    rows = [
        ["scenes", *(f"{part['scenes']:,}" for part in parts)],
        ["seconds", *(f"{part['seconds']:,.1f}" for part in parts)],
        ["scenes a second", *rates],
        *(
            [f"MB of memory {name}", *(_megabytes(p["memory"][name]) for p in parts)]
            for name in MOMENTS
        ),
        ["growth from 10 to 100 %, MB", *map(_megabytes, growth)],
    ]
    loading = figures["loading"]
    medians = {
        name: loading["scenes"] / statistics.median(rounds)
        for name, rounds in loading["seconds"].items()
    }
    theirs, ours = medians["DataLoader"], medians["StoredLoader"]
    score = next(v for k, v in figures["epoch"].items() if k.startswith("val/"))
    return {
        "columns": ["", "generation", "epoch"],
        "rows": rows,
        "caption": (
            f"State Sort-of-CLEVR on disk, {figures['generation']['bytes'] / 1e6:,.0f} "
            f"MB; the model of the demo. After the epoch {100 * score:.1f} % of the "
            f"validation answers are right. Memory is what belongs to the processes "
            f"alone. In batches of {BATCH_SIZE} in a random order, without training, "
            f"PyG's `DataLoader` loads {theirs:,.0f} of these scenes a second and ours "
            f"{ours:,.0f}, {ours / theirs:.1f} times as many; the batches were "
            f"compared and are identical. {figures['hardware']['processor']}, "
            f"{figures['hardware']['threads']} threads. `{figures['command']}`"
        ),
    }


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f}"


if __name__ == "__main__":
    harness.main(run)
