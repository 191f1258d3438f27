"""Killed while a dataset on disk is generated: the next start continues."""

import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyg_relational.datasets import SortOfCLEVROnDisk

KILLS = 50
SCENES = {"num_train": 4000, "chunk_size": 100}
Killed = Callable[[BaseProcess, float], bool]
# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pyg_relational.datasets"])

pytestmark = pytest.mark.slow


def start(root: Path, **options: Any) -> BaseProcess:
    process = SERVER.Process(
        target=SortOfCLEVROnDisk, args=(str(root),), kwargs=SCENES | options
    )
    process.start()
    return process


def database(root: Path) -> Path:
    return Path(SortOfCLEVROnDisk(str(root), **SCENES).processed_paths[0])


def chunks(root: Path) -> int:
    """How many chunks are stored."""
    if [*(root / "processed").glob("*.db")]:
        # Killed after the last one, on its way out.
        return SCENES["num_train"] // SCENES["chunk_size"]
    for path in (root / "processed").glob(".*.partial"):
        connection = sqlite3.connect(path)
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        query = "SELECT COUNT(*) FROM chunks"
        count = ("chunks",) in tables and connection.execute(query).fetchone()[0]
        connection.close()
        return int(count)
    return 0


def test_generation(tmp_path: Path, killed: Killed) -> None:
    start(tmp_path / "warm").join(120)
    begin = time.perf_counter()
    start(tmp_path / "whole").join(120)
    usual = time.perf_counter() - begin
    expected = database(tmp_path / "whole").read_bytes()
    rng = random.Random(0)
    kills = rounds = within = 0
    while kills < KILLS:
        root = tmp_path / str(rounds)
        rounds += 1
        before = 0
        # Killed several times in a row, until a start gets to the end.
        while killed(start(root), rng.uniform(0, usual)):
            kills += 1
            found = chunks(root)
            assert found >= before
            within += found > before
            before = found
        assert database(root).read_bytes() == expected
    assert within > KILLS // 4
    print(f"\n{kills} kills in {rounds} rounds of {usual:.2f} s, {within} went on")


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    expected = database(tmp_path / "whole").read_bytes()
    root = tmp_path / "killed"
    process = start(root, num_train=10**8, workers=2)
    wait_for(lambda: chunks(root) > 2, 120)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.join()
    wait_for(lambda: not any(child.is_running() for child in children), 30)
    # Other files of the folder are not touched.
    assert database(root).read_bytes() == expected
