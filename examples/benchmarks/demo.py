"""How long the demo takes with `StoredLoader`, and with PyG's `DataLoader`."""

import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch_geometric.loader import DataLoader

from pyg_relational.benchmarks import harness
from pyg_relational.loader import graph_loader
from pyg_relational.train import configure, datamodule, train
from pyg_relational.train.recipe import dataset_class

FOLDER = Path("runs/benchmark-demo")
RECIPE = "sort-of-clevr"
LOADERS = {"PyG's `DataLoader`": DataLoader, "ours": graph_loader}


def run(
    epochs: int = 36,
    seed: int = 0,
    record: bool = False,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains and tests the demo, a relation network and its baseline on Sort-of-CLEVR,
    once with each loader. The data are generated before.

    Writes `demo.json` to `runs/benchmark-demo`.

    Args:
        epochs (int): Epochs of each training, no fewer because of the time. (default:
            `36`)
        seed (int): Seed of weights and batches. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)
        settings (dict, optional): Further options of the recipe by name.
            (default: `None`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: `epochs` is smaller than 1.
    """
    harness.check_at_least(1, epochs=epochs)
    command = harness.command_line(run, {"epochs": epochs, "seed": seed})
    settings = {**(settings or {}), "budget.max_minutes": None}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        config = configure(
            RECIPE, command=command, seed=seed, epochs=epochs, settings=settings
        )
        _prepare(config)
        for number, (name, loader) in enumerate(LOADERS.items()):
            with patch.object(datamodule, "graph_loader", loader):
                start = time.perf_counter()
                results = train(config, Path(folder, str(number)))
                seconds = time.perf_counter() - start
            found[name] = {
                "seconds": round(seconds, 1),
                "training": results["training"],
                "baseline": results["baseline"]["training"],
                "test": results["test"]["all"]["all"],
            }
    made = harness.made_by(command)
    table = _table(found, epochs, seed, command, made["hardware"])
    figures = {"table": table, **made, "seed": seed, "found": found}
    return harness.write_record(FOLDER, "demo", figures, record)


def _prepare(config: dict[str, Any]) -> None:
    spec = config["dataset"]
    for split in datamodule.SPLITS:
        dataset_class(spec["class"])(spec["root"], split=split, **spec["args"])


def _table(
    found: dict[str, Any], epochs: int, seed: int, command: str, kind: dict[str, Any]
) -> dict[str, Any]:
    slow = found[next(iter(found))]["seconds"]
    rows = [
        [
            name,
            f"{each['seconds']:,.0f}",
            f"{each['training']['seconds']:,.0f}",
            f"{each['baseline']['seconds']:,.0f}",
            f"{100 * each['test']['ours']:.2f}",
            f"{slow / each['seconds']:.2f}",
        ]
        for name, each in found.items()
    ]
    threads = torch.get_num_threads()
    return {
        "columns": [
            "the demo with",
            "seconds in all",
            "training the network",
            "training the baseline",
            "% right",
            "times faster",
        ],
        "rows": rows,
        "caption": (
            f"Training of {epochs} epochs of both models and their tests, seed {seed}, "
            f"{threads} threads, {kind['processor']}, one run of each. `{command}`"
        ),
    }


if __name__ == "__main__":
    harness.main(run)
