"""`train --devices`."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.train import processes as launch
from pyg_relational.train.processes import must_start, start_processes


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "TORCH_CPP_LOG_LEVEL"):
        # Set first, so that what a test sets is undone.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_processes_are_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [must_start(devices) for devices in (None, 1, 2)] == [False, False, True]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [must_start(devices) for devices in (None, 2)] == [False, False]
    with pytest.raises(UsageError, match="--devices 3: torchrun started 2 processes"):
        must_start(3)


def test_the_command_line_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(launch, "run", started.append)
    argv = ["train", "r", "--set", '{"a": 1}', "--devices", "2"]
    assert start_processes(argv, 2) == 0
    (options,) = started
    assert (options.standalone, options.nproc_per_node) == (True, "2")
    assert (options.module, options.training_script) == (True, "pyg_relational")
    assert options.training_script_args == argv


def train(recipe: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyg_relational", "train", str(recipe)]
    return subprocess.run(
        [*command, "--accelerator", "cpu", *options], capture_output=True, text=True
    )


def figures(folder: Path) -> tuple[list[dict[str, float]], dict[str, Any], set[str]]:
    with (folder / "metrics.csv").open() as file:
        rows = [
            {k: float(v or 0) for k, v in row.items()} for row in csv.DictReader(file)
        ]
    results = json.loads((folder / "results.json").read_text())
    files = {
        str(path.relative_to(folder).with_suffix(""))
        if "tfevents" not in path.name
        else f"{path.parent.relative_to(folder)} events"
        for path in folder.rglob("*")
    }
    return rows, results, files


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one(recipe: Path) -> None:
    folders = [recipe.parent / name for name in ("one", "two")]
    options = [[], ["--devices", "2"]]
    for folder, option in zip(folders, options, strict=True):
        done = train(recipe, "--run-dir", str(folder), *option)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("run folder: ") == 1
        assert done.stdout.count("epoch 2  ") == 2
    (rows, results, files), (others, shared, written) = map(figures, folders)
    assert len(rows) == 2
    for row, other in zip(rows, others, strict=True):
        assert other == pytest.approx(row, abs=1e-5)
    assert written == files
    assert shared["training"]["processes"] == 2
    assert shared["training"]["steps"] == results["training"]["steps"] == 8
    for grouping, values in results["test"].items():
        for name, cell in values.items():
            for key in ("ours", "baseline"):
                found = shared["test"][grouping][name][key]
                assert found == pytest.approx(cell[key], abs=1e-6)
    weights = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in folders
    ]
    for name, weight in weights[0].items():
        assert weights[1][name].allclose(weight, atol=1e-5)

    again = train(recipe, "--run-dir", str(folders[1]), "--devices", "2")
    assert again.returncode == 2
    assert again.stderr.count("already holds a run") == 1
    more = ["--devices", "2", "--resume", "--epochs", "3", "--no-baseline"]
    assert train(recipe, "--run-dir", str(folders[1]), *more).returncode == 0
    rows, results, _ = figures(folders[1])
    assert (len(rows), results["training"]["steps"]) == (3, 12)


@pytest.mark.slow
def test_two_nodes(recipe: Path) -> None:
    def launch(node: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
        command += ["--nproc-per-node", "1", "--node-rank", str(node)]
        command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:29517"]
        command += ["-m", "pyg_relational", "train", str(recipe), "--no-baseline"]
        command += ["--accelerator", "cpu", "--run-dir", str(recipe.parent / "two")]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    nodes = [launch(0), launch(1)]
    printed = [node.communicate(timeout=240) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], printed
    assert sum(out.count("run folder: ") for out, _ in printed) == 1
    one = train(recipe, "--no-baseline", "--run-dir", str(recipe.parent / "one"))
    assert one.returncode == 0
    (rows, results, _), (others, shared, _) = (
        figures(recipe.parent / name) for name in ("one", "two")
    )
    assert shared["training"]["processes"] == 2
    for row, other in zip(rows, others, strict=True):
        assert other == pytest.approx(row, abs=1e-5)
    assert shared["test"]["kind"]["relational"]["ours"] == pytest.approx(
        results["test"]["kind"]["relational"]["ours"], abs=1e-6
    )
