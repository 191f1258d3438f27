"""Training killed at any moment: the next start continues, and ends with the same
numbers as a run that nobody killed."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.train import configure, train

KILLS = 50
Killed = Callable[[BaseProcess, float], bool]
# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pyg_relational.train.fit"])

pytestmark = pytest.mark.slow


def start(config: dict[str, Any], folder: Path) -> BaseProcess:
    process = SERVER.Process(target=train, args=(config, folder, True))
    process.start()
    return process


def outcome(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Weights and curves of both models, to the bit, and every figure but the time."""
    names = ("model.safetensors", "metrics.csv")
    paths = [path / name for path in (folder, folder / "baseline") for name in names]
    results = json.loads((folder / "results.json").read_text())
    for model in (results, results["baseline"]):
        del model["training"]["seconds"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}, results


def test_training(recipe: Path, tmp_path: Path, killed: Killed) -> None:
    # Epochs of 64 steps; checkpoints are saved in the middle of them, too.
    settings = {"budget.batch_size": 1, "budget.save_minutes": 0.0}
    config = configure(str(recipe), command="c", epochs=4, settings=settings)
    config["dataset"]["augment"] = ["PermuteColours"]
    config["model"]["args"]["dropout"] = 0.3
    assert not killed(start(config, tmp_path / "warm"), 120)
    begin = time.perf_counter()
    assert not killed(start(config, tmp_path / "whole"), 120)
    usual = time.perf_counter() - begin
    expected = outcome(tmp_path / "whole")
    rng = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        folder = tmp_path / str(rounds)
        rounds += 1
        # Killed several times in a row, until a start gets to the end.
        while killed(start(config, folder), rng.uniform(0, usual)):
            kills += 1
        assert outcome(folder) == expected
        assert not [*folder.rglob("*.partial")]
    print(f"\ntraining: {kills} kills in {rounds} runs of {usual:.1f} s, all equal")
