"""Two processes against one."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.train.processes import (
    first_alone,
    pool,
    processes,
    rank,
    world_size,
)

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one process saw, and each of two."""
    folder = tmp_path_factory.mktemp("processes")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node=2", str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    two = [json.loads((folder / f"{n}.json").read_text()) for n in range(2)]
    runpy.run_path(str(SCRIPT))["main"](folder)
    return [json.loads((folder / "0.json").read_text()), *two]


@pytest.mark.parametrize("case", ["graphs", "nodes"])
def test_losses_and_gradients_are_those_of_one_process(
    found: list[dict[str, Any]], case: str
) -> None:
    one, *two = (torch.tensor(each[case]["losses"]) for each in found)
    assert one.numel() == 50
    assert one[-6:].mean() < one[:6].mean() - 0.05
    gradients = [torch.tensor(each[case]["gradients"]) for each in found]
    assert gradients[0].abs().sum(1).min() > 0
    for losses, gradient in zip(two, gradients[1:], strict=True):
        assert losses.allclose(one, rtol=0, atol=1e-5)
        largest = gradients[0].abs().max(dim=1, keepdim=True).values
        assert ((gradient - gradients[0]).abs() <= 1e-5 * largest).all()


@pytest.mark.parametrize("case", ["graphs", "nodes"])
def test_scores_are_those_of_one_process(
    found: list[dict[str, Any]], case: str
) -> None:
    one, *two = (each[case] for each in found)
    for other in two:
        assert len(other["val"]) == len(one["val"]) > 5
        for scores, expected in zip(other["val"], one["val"], strict=True):
            assert scores == pytest.approx(expected, abs=1e-5)
        assert other["test_loss"] == pytest.approx(one["test_loss"], rel=1e-6)
        for grouping, expected in one["test"].items():
            assert other["test"][grouping] == pytest.approx(expected, rel=1e-6)
    if case == "nodes":
        assert set(one["test"]) == {"all", "kind", "sets"}


def test_all_processes_stop_at_once(found: list[dict[str, Any]]) -> None:
    steps = {len(each["early"]["losses"]) for each in found}
    assert len(steps) == 1
    assert max(steps) < 50


def test_random_numbers_of_the_first_are_those_of_one(
    found: list[dict[str, Any]],
) -> None:
    one, first, second = (each["graphs"]["random"] for each in found)
    assert first != second
    assert first == one


def test_each_process_continues_with_its_random_numbers(
    found: list[dict[str, Any]],
) -> None:
    one, first, second = found
    for each in found:
        assert len(each["resumed"]["losses"]) == 30
        assert each["resumed"]["losses"] == each["whole"]["losses"][20:]
        assert each["resumed"]["random"] == each["whole"]["random"]
    assert first["whole"]["losses"] == second["whole"]["losses"]
    # Each process drops other entries than one alone.
    assert first["whole"]["losses"] != one["whole"]["losses"]


def test_a_process_alone_pools_its_own_rows() -> None:
    assert (rank(), world_size()) == (0, 1)
    loss = torch.tensor(2.0, requires_grad=True)
    mean, rows = pool(loss, 3)
    assert (mean.item(), rows.item(), mean.requires_grad) == (2.0, 3, False)
    called: list[int] = []
    first_alone(called.append, 1)
    assert called == [1]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
        # Others set it too; only torchrun's counts.
        with processes("auto"):
            assert world_size() == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused = pytest.raises(UsageError, match=r"2 processes need a GPU each.*finds 1")
    with refused, processes("auto"):
        pass
