import json
from pathlib import Path

import pytest
import steps
import yaml

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.train import configure, train

RECIPE = {
    "name": "tiny-sudoku",
    "description": "A small Sudoku.",
    "dataset": {
        "class": "Sudoku",
        "root": "unset",
        "args": {"num_train": 400, "num_val": 8, "num_test": 40},
    },
    "model": "recurrent",
    "models": {
        "recurrent": {
            "class": "RecurrentRelationNetwork",
            "args": {
                "in_channels": 13,
                "out_channels": 4,
                "hidden_channels": 8,
                "object_channels": [8],
                "relation_channels": [8, 8],
                "readout_channels": [],
                "steps": 2,
            },
        }
    },
    "sizes": {"laptop": {}},
    "optimizer": {
        "class": "AdamW",
        "learning_rate": 0.02,
        "weight_decay": 0.0,
        "warmup_steps": 2,
        "gradient_clip": 1.0,
    },
    "budget": {"max_epochs": 2, "batch_size": 16, "validate_every": 1, "patience": 5},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sudoku")
    dataset = {**RECIPE["dataset"], "root": str(folder / "data")}
    path = folder / "tiny-sudoku.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "dataset": dataset}))
    train(configure(str(path), command="pyg-relational train tiny"), folder / "run")
    return folder / "run"


def test_scores_are_those_of_the_run_at_its_own_steps(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = steps.run(str(run), [1, 2, 5])
    results = json.loads((run / "results.json").read_text())["test"]
    (own,) = figures["scores"]["2"]
    assert own["all"]["all"] == pytest.approx(results["all"]["all"]["ours"])
    assert own["sets"]["solved"] == pytest.approx(results["sets"]["solved"]["ours"])
    assert figures["scores"]["1"] != figures["scores"]["5"]
    assert figures["trained_with"] == [2]
    written = tmp_path / "runs/benchmark-steps"
    assert (written / "steps.png").read_bytes()[:4] == b"\x89PNG"
    assert [row[0] for row in figures["table"]["rows"]] == ["1", "2", "5"]
    assert "solved" in table_summary(figures)


def test_models_without_steps_are_refused(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="RelationNetwork, which takes no steps"):
        steps.run(str(finished_run))


def test_no_steps_are_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="--steps of at least 1, got 0"):
        steps.run(str(run), [0])
