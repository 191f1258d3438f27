"""Benchmarks killed at any moment: the next start continues, and the figures are those
of one that nobody killed."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.benchmarks import graphs

KILLS = 20
Killed = Callable[[BaseProcess, float], bool]
# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pyg_relational.benchmarks.graphs"])

pytestmark = pytest.mark.slow


def start(root: Path) -> BaseProcess:
    options = {"tasks": ["shortest-path"], "models": ["recurrent", "gin"]}
    options |= {"sizes": ["16-32"], "quick": True, "epochs": 8, "root": str(root)}
    process = SERVER.Process(target=graphs.run, kwargs=options)
    process.start()
    return process


def outcome(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("runs/**/graphs-shortest-path*.json")
    runs = json.loads(path.read_text())["runs"]
    for run in runs:
        del run["seconds"]
        for tested in run["test"].values():
            del tested["seconds"]
    return runs


def test_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: Killed
) -> None:
    def inside(name: str) -> Path:
        """Lets children start in a folder of their own."""
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        return tmp_path / name

    root = tmp_path / "data"
    inside("warm")
    assert not killed(start(root), 120)
    whole = inside("whole")
    begin = time.perf_counter()
    assert not killed(start(root), 120)
    usual = time.perf_counter() - begin
    expected = outcome(whole)
    assert [run["settings"]["model"] for run in expected] == ["recurrent", "gin"]
    rng = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        folder = inside(str(rounds))
        rounds += 1
        # Killed several times in a row, until a start gets to the end.
        while killed(start(root), rng.uniform(0, usual)):
            kills += 1
        assert outcome(folder) == expected
    print(f"\nbenchmark: {kills} kills in {rounds} runs of {usual:.1f} s, all equal")
