"""A recipe small enough to train in seconds, and one finished run of it."""

import copy
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import yaml

from pyg_relational.train import configure, train

WIDTHS = {"in_channels": 10, "out_channels": 10, "u_dim": 12, "readout_channels": [8]}
RECIPE = {
    "name": "tiny",
    "description": "A small Sort-of-CLEVR.",
    "dataset": {
        "class": "SortOfCLEVR",
        "root": "unset",
        "follow_batch": ["u"],
        "args": {"num_train": 64, "num_val": 16, "num_test": 16, "num_objects": 3},
    },
    "model": "relation",
    "baseline": "no-pairs",
    "models": {
        "relation": {
            "class": "RelationNetwork",
            "args": {**WIDTHS, "relation_channels": [8]},
        },
        "no-pairs": {"class": "DeepSets", "args": {**WIDTHS, "object_channels": [8]}},
    },
    "representations": {
        "state": {"dataset": {"args": {"representation": "state"}}},
        "pixels": {
            "dataset": {"args": {"representation": "pixels"}},
            "models": {
                "pixel-relation": {
                    "class": "PixelRelationNetwork",
                    "args": {
                        "in_channels": 3,
                        "out_channels": 10,
                        "u_dim": 12,
                        "conv_channels": [2, 2, 2, 2],
                        "relation_channels": [4],
                        "readout_channels": [4],
                    },
                }
            },
        },
    },
    "sizes": {"laptop": {}, "paper": {"budget": {"batch_size": 32}}},
    "optimizer": {
        "class": "AdamW",
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "warmup_steps": 2,
    },
    "budget": {
        "max_epochs": 2,
        "batch_size": 16,
        "validate_every": 1,
        "patience": 10,
    },
    "published": [
        {
            "name": "paper",
            "source": "Santoro et al. 2017",
            "read": True,
            "figures": {"relational": "> 94"},
        }
    ],
}


def write_recipe(folder: Path, **sections: object) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(
        yaml.safe_dump({**copy.deepcopy(RECIPE), **sections}, sort_keys=False)
    )
    return path


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sort-of-clevr")


@pytest.fixture
def recipe(tmp_path: Path, data_root: Path) -> Path:
    dataset = {**RECIPE["dataset"], "root": str(data_root)}
    return write_recipe(tmp_path, dataset=dataset)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Read only: tests that change files work on a copy."""
    folder = tmp_path_factory.mktemp("finished")
    dataset = {**RECIPE["dataset"], "root": str(data_root)}
    path = write_recipe(folder, dataset=dataset)
    config = configure(str(path), command="pyg-relational train tiny.yaml")
    train(config, folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def killed() -> Callable[[BaseProcess, float], bool]:
    """Kills a process after some seconds, and says whether it was still at work."""

    def killed(process: BaseProcess, seconds: float) -> bool:
        process.join(seconds)
        process.kill()
        process.join()
        assert process.exitcode in (0, -9), "a start failed by itself"
        return process.exitcode != 0

    return killed
