"""Every recipe trains in two processes as it does in one. Each process has random
numbers of its own, so those of layers and augmentations are left out."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyg_relational.train.recipe import (
    dataset_class,
    load_recipe,
    recipe_names,
    resolve,
)

pytestmark = pytest.mark.slow

FEW = {"num_train": 60, "num_val": 20, "num_test": 20}


def dropouts(spec: Any, place: str) -> list[str]:
    """The names of all options of dropout, also of models within a model."""
    if not isinstance(spec, dict):
        return [place] if "dropout" in place.rpartition(".")[2] else []
    return [n for key, value in spec.items() for n in dropouts(value, f"{place}.{key}")]


def train(recipe: str, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pyg_relational", "train", recipe]
    config = resolve(load_recipe(recipe))
    known = inspect.signature(dataset_class(config["dataset"]["class"])).parameters
    sizes = {f"dataset.args.{k}": v for k, v in FEW.items() if k in known}
    few = {"budget.batch_size": 7, "optimizer.warmup_steps": 0, "dataset.augment": []}
    for part in ("model", "baseline"):
        few |= dict.fromkeys(dropouts(config[part], part), 0.0)
    done = subprocess.run(
        [
            *(*command, "--run-dir", str(folder), "--max-steps", "3"),
            *("--accelerator", "cpu", "--set", json.dumps(sizes | few)),
            *("--data-root", str(folder.parent / "data"), *options),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if "PYG_RELATIONAL_DATA" in done.stderr and done.returncode == 2:
        pytest.skip(f"{recipe} needs its raw data: {done.stderr.strip()[-200:]}")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    results = json.loads((folder / "results.json").read_text())
    assert results["training"]["steps"] == 3
    return results["test"]["all"]["all"]


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipe(recipe: str, tmp_path: Path) -> None:
    one = train(recipe, tmp_path / "one")
    two = train(recipe, tmp_path / "two", "--devices", "2")
    for model in ("ours", "baseline"):
        assert two[model] == pytest.approx(one[model], rel=1e-4), model
