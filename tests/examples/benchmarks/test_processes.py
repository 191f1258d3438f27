import json
import sys
from pathlib import Path
from typing import Any

import processes
import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, int], dict[str, Any]]:
    """What the trainings of a round find; nothing is trained."""
    scores = {"accuracy": 0.5, "loss": 0.7}
    each = {
        (1, 1): {"losses": [0.7, 0.6], "seconds": 0.4, "scores": scores},
        (1, 2): {"losses": [0.7, 0.6], "seconds": 0.3, "scores": scores},
        (2, 1): {"losses": [0.7, 0.600002], "seconds": 0.2, "scores": scores},
    }
    monkeypatch.setattr(processes, "_train", lambda *case: each[case[:2]])
    return each


def test_figures_are_compared_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[Any, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = processes.run(quick=True, repeats=2, seed=1)
    path = tmp_path / "runs/benchmark-processes/processes.json"
    assert json.loads(path.read_text()) == figures
    assert figures["table"]["rows"] == [
        ["1 process, 1 thread", "400.0", "1.00 [1.00 to 1.00]"],
        ["1 process, 2 threads", "300.0", "1.33 [1.33 to 1.33]"],
        ["2 processes, 1 thread each", "200.0", "2.00 [2.00 to 2.00]"],
    ]
    assert figures["largest_differences"]["losses"] == pytest.approx(2e-6)
    assert figures["command"].endswith("processes.py --quick --repeats 2 --seed 1")
    assert "by at most 2.0e-06; test scores" in table_summary(figures)


@pytest.mark.parametrize("what", ["losses", "scores"])
def test_a_difference_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[Any, Any], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    other = {"losses": [0.7, 0.60002], "scores": {"accuracy": 0.5, "loss": 0.70001}}
    found[2, 1][what] = other[what]
    with pytest.raises(AssertionError, match="two processes differ from one"):
        processes.run(repeats=1)
    assert not (tmp_path / "runs").exists()


def test_the_worker_writes_what_it_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    path = tmp_path / "found.json"
    options = ["--steps=6", "--seed=0", f"--threads={before}", "--quick"]
    monkeypatch.setattr(sys, "argv", ["worker", str(path), *options])
    processes.work()
    found = json.loads(path.read_text())
    assert len(found["losses"]) == 6
    assert found["seconds"] > 0
    assert 0 < found["scores"]["accuracy"] < 1


def test_numbers_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="--repeats of at least 1"):
        processes.run(repeats=0)
    with pytest.raises(UsageError, match="--steps of at least 6, got 5"):
        processes.run(steps=5)
