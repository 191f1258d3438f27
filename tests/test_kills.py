"""Killed at any moment: the next start continues, and the result is the same."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch

from pyg_relational.data.convert import Conversion, convert
from pyg_relational.datasets import MovingShapes, SceneDataset

KILLS = 50
Killed = Callable[[BaseProcess, float], bool]
# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["pyg_relational.data.convert", "pyg_relational.datasets"]
)

pytestmark = pytest.mark.slow


def start(work: Callable[..., Any], *args: Any, **options: Any) -> BaseProcess:
    process = SERVER.Process(target=work, args=args, kwargs=options)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    process.join(120)
    assert process.exitcode == 0


def seconds_of(work: Callable[..., Any], *args: Any, **options: Any) -> float:
    """How long the work takes in a process that nobody kills, the second time."""
    begin = time.perf_counter()
    finish(start(work, *args, **options))
    return time.perf_counter() - begin


def content_of(dataset: MovingShapes) -> dict[str, torch.Tensor]:
    return {k: v for k, v in dataset._data.to_dict().items() if torch.is_tensor(v)}


def test_generation(tmp_path: Path, killed: Killed) -> None:
    options = {"split": "train", "num_train": 1000}
    finish(start(MovingShapes, str(tmp_path / "warm"), **options))
    usual = seconds_of(MovingShapes, str(tmp_path / "whole"), **options)
    expected = content_of(MovingShapes(str(tmp_path / "whole"), **options))
    rng = random.Random(0)
    kills = tries = 0
    while kills < KILLS:
        root = str(tmp_path / str(tries))
        tries += 1
        if not killed(start(MovingShapes, root, **options), rng.uniform(0, usual)):
            continue
        kills += 1
        finish(start(MovingShapes, root, **options))
        found = content_of(MovingShapes(root, **options))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    print(f"\ngeneration: {kills} kills in {tries} starts of {usual:.2f} s, all equal")


def write_scenes(path: Path, number: int) -> None:
    rng = random.Random(1)
    with path.open("w") as file:
        for index in range(number):
            graph = nx.DiGraph(number=index)
            for node in range(rng.randint(1, 6)):
                graph.add_node(node, size=rng.random(), kind=rng.choice("ab"))
            for node in range(graph.number_of_nodes() - 1):
                graph.add_edge(node, node + 1, near=rng.random() < 0.5)
            file.write(json.dumps(nx.node_link_data(graph, edges="edges")) + "\n")


def scenes_of(root: Path) -> list[dict[str, list]]:
    found = []
    for split in ("train", "val", "test"):
        for data in SceneDataset(str(root), split):
            tensors = data.to_dict().items()
            found.append({k: v.tolist() for k, v in tensors if torch.is_tensor(v)})
    return found


def test_conversion(tmp_path: Path, killed: Killed) -> None:
    source = tmp_path / "scenes.jsonl"
    write_scenes(source, 600)
    how = Conversion(shard_size=20)
    finish(start(convert, source, tmp_path / "warm", how))
    usual = seconds_of(convert, source, tmp_path / "whole", how)
    expected = scenes_of(tmp_path / "whole")
    assert len(expected) == 600
    rng = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        root = tmp_path / str(rounds)
        rounds += 1
        # Killed several times in a row, until a start gets to the end.
        while killed(start(convert, source, root, how), rng.uniform(0, usual)):
            kills += 1
        assert scenes_of(root) == expected
    print(f"\nconversion: {kills} kills in {rounds} rounds of {usual:.2f} s, all equal")
