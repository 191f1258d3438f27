"""Tuning that is killed at any moment ends with the trials and the scores of a study
that nobody killed: a trial that was killed begins anew, from its seed."""

import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.train import configure
from pyg_relational.train.tune import MAX_RETRIES, Plan, tune

KILLS = 20
SEARCH = {
    "optimizer.learning_rate": {"low": 1.0e-3, "high": 1.0e-1, "log": True},
    "model.args.relation_channels": {"choices": [[4], [8, 8]]},
}
Killed = Callable[[BaseProcess, float], bool]
# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pyg_relational.train.tune", "pyg_relational.datasets"])

pytestmark = pytest.mark.slow


def plan_of(recipe: Path, folder: Path) -> Plan:
    config = configure(str(recipe), command="c", baseline=False, epochs=2)
    searched = {**config, "search": SEARCH}
    return Plan(searched, folder, 3, "random", "none", threads=1)


def start(plan: Plan) -> BaseProcess:
    process = SERVER.Process(target=tune, args=(plan,))
    process.start()
    return process


def finish(plan: Plan) -> float:
    """Returns how long it takes."""
    begin, process = time.perf_counter(), start(plan)
    process.join(120)
    assert process.exitcode == 0
    return time.perf_counter() - begin


def scores(plan: Plan) -> list[tuple[dict[str, Any], float | None, list[float]]]:
    """The values of each trial, its score, and those of its epochs."""
    study = plan.study()
    try:
        found = [
            (study.settings(trial), trial.value, [*trial.intermediate_values.values()])
            for trial in study.finished()
        ]
    finally:
        study.close()
    return sorted(found, key=lambda trial: trial[0]["optimizer.learning_rate"])


def test_tuning(tmp_path: Path, recipe: Path, killed: Killed) -> None:
    finish(plan_of(recipe, tmp_path / "warm"))
    whole = plan_of(recipe, tmp_path / "whole")
    usual = finish(whole)
    expected = scores(whole)
    assert len(expected) == 3
    rng = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        plan = plan_of(recipe, tmp_path / str(rounds))
        rounds += 1
        # One kill more of the same trial, and it would be given up.
        times = 0
        while times < MAX_RETRIES and killed(start(plan), rng.uniform(0, usual)):
            times += 1
        kills += times
        finish(plan)
        assert scores(plan) == expected
    print(f"\ntuning: {kills} kills in {rounds} rounds of {usual:.2f} s, all equal")
