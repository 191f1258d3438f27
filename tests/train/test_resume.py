"""A run that was interrupted ends with the numbers of one that was not, to the bit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_relational.train import callbacks as checkpoints
from pyg_relational.train import configure, train
from pyg_relational.train.module import RelationalModule

STEPS = 12  # in three epochs


class Interrupted(Exception):
    pass


@pytest.fixture
def config(recipe: Path) -> dict[str, Any]:
    """A run that draws random numbers for its order, its batches and its layers."""
    config = configure(str(recipe), command="c", baseline=False, epochs=3)
    config["dataset"]["augment"] = ["PermuteColours"]
    config["model"]["args"]["dropout"] = 0.3
    return config


def outcome(folder: Path) -> tuple[bytes, str, dict[str, Any]]:
    results = json.loads((folder / "results.json").read_text())
    del results["training"]["seconds"]
    weights = (folder / "model.safetensors").read_bytes()
    return weights, (folder / "metrics.csv").read_text(), results


def interrupt(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Let training fail before each of the steps, once."""
    left, whole = [*steps], RelationalModule.training_step

    def training_step(module: RelationalModule, batch: Any) -> torch.Tensor:
        if left and module.global_step == left[0]:
            del left[0]
            raise Interrupted
        return whole(module, batch)

    monkeypatch.setattr(RelationalModule, "training_step", training_step)


@pytest.mark.parametrize(
    ("every", "at"),
    [
        ("epoch", (2, 4)),
        ("step", (2, 4)),
        pytest.param("epoch", range(STEPS), marks=pytest.mark.slow),
        pytest.param("step", range(STEPS), marks=pytest.mark.slow),
    ],
)
def test_interrupted_at_any_step(
    every: str,
    at: Sequence[int],
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config["budget"]["save_minutes"] = 0.0
    train(config, tmp_path / "whole")
    expected = outcome(tmp_path / "whole")
    if every == "step":
        monkeypatch.setattr(checkpoints, "STEPS", 1)
    for step in at:
        # Several times in a row: what is continued can be continued again.
        steps = [step, min(step + 1, STEPS - 1)]
        folder = tmp_path / str(step)
        with monkeypatch.context() as patch:
            interrupt(patch, *steps)
            for _ in steps:
                with pytest.raises(Interrupted):
                    train(config, folder, resume=True)
                # Whatever was drawn meanwhile.
                torch.manual_seed(99)
            train(config, folder, resume=True)
        assert outcome(folder) == expected, step


def test_steps_that_are_not_repeated(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config["budget"]["save_minutes"] = 0.0
    monkeypatch.setattr(checkpoints, "STEPS", 2)
    interrupt(monkeypatch, 7)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run")
    seen = []
    step = RelationalModule.training_step

    def counted_step(module: RelationalModule, batch: Any) -> torch.Tensor:
        seen.append(module.global_step)
        return step(module, batch)

    monkeypatch.setattr(RelationalModule, "training_step", counted_step)
    train(config, tmp_path / "run", resume=True)
    # Step 6 was saved in the middle of the second epoch.
    assert seen == [*range(6, STEPS)]
