"""Recurrent graph networks of PyTorch Geometric Temporal on the same data.

Its version 0.56.2 runs beside torch 2.13 and PyG 2.8. It needs torch-sparse to be
imported, which is built against the installed torch, with torch-scatter, by a C++
compiler in some minutes; its other pins are for a version of `decorator` that nothing
here uses.
"""

import copy
import importlib
import random
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import Chickenpox
from pyg_relational.models import SpatioTemporalRelationNetwork

PACKAGE = "torch_geometric_temporal"
WIDTH, ORDER = 32, 2  # ORDER 1 would leave the neighbours out
EPOCHS, BATCH, RATE, DECAY = 60, 8, 3e-3, 1e-2
INSTALL = (
    "pip install setuptools wheel && "
    "pip install --no-build-isolation torch-scatter torch-sparse && "
    "pip install --no-deps torch-geometric-temporal"
)


class Ours(nn.Module):
    """A spatio-temporal relation network that forecasts a value of each node."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = SpatioTemporalRelationNetwork(
            1, 1, width, [width], (), (), output="node", readout="last", aggr="mean"
        )

    def forward(self, batch: Batch) -> Tensor:
        """Returns the forecast of each node, :math:`[N, 1]`."""
        return self.model(
            batch.x,
            batch.mask,
            batch.edge_index,
            batch=batch.batch,
            batch_size=batch.num_graphs,
        )


class Recurrent(nn.Module):
    """A recurrent graph network that reads frame after frame, then a linear layer.

    Args:
        cell (Module): Takes features, edges, weights and the state of each node.
        width (int): The width of the state.
    """

    def __init__(self, cell: nn.Module, width: int) -> None:
        super().__init__()
        self.cell, self.lin = cell, nn.Linear(width, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Returns the forecast of each node, :math:`[N, 1]`."""
        state = batch.x.new_zeros(batch.num_nodes, self.lin.in_features)
        for x in batch.x.unbind(dim=1):
            state = self.cell(x, batch.edge_index, None, state)
        return self.lin(state.relu())


def missing_package() -> str | None:
    """Returns why the package cannot be used and how to install it, if it cannot."""
    try:
        importlib.import_module(f"{PACKAGE}.nn.recurrent")
    except ImportError as error:
        return f"{error}; to install it: {INSTALL}"
    return None


def build_models(width: int) -> dict[str, nn.Module]:
    """Returns the models by name.

    Args:
        width (int): The width of all hidden layers.
    """
    recurrent = importlib.import_module(f"{PACKAGE}.nn.recurrent")
    return {
        "SpatioTemporalRelationNetwork": Ours(width),
        "GConvGRU": Recurrent(recurrent.GConvGRU(1, width, ORDER), width),
        "DCRNN": Recurrent(recurrent.DCRNN(1, width, ORDER), width),
    }


def measure_peers(data_root: str, seeds: list[int], epochs: int) -> dict[str, Any]:
    """Trains all models on the same batches, epoch by epoch in turns.

    Args:
        data_root (str): Folder of the dataset.
        seeds (list[int]): Seeds of weights and of the order of samples.
        epochs (int): Epochs; the weights of the best one in validation are tested.

    Returns:
        dict: `models`, by name the number of weights, the seconds of each epoch and
        the squared error in test of each seed; `samples` of each split.
    """
    splits = {
        name: Chickenpox(data_root, name, window=4) for name in ("train", "val", "test")
    }
    models: dict[str, Any] = {}
    for seed in seeds:
        torch.manual_seed(seed)
        for name, (spent, error, size) in _train(splits, seed, epochs).items():
            empty = {"weights": size, "seconds": [], "test": []}
            found = models.setdefault(name, empty)
            found["seconds"] += spent
            found["test"].append(error)
    return {
        "models": models,
        "samples": {name: len(split) for name, split in splits.items()},
        "seeds": seeds,
        "epochs": epochs,
    }


def _train(
    splits: dict[str, Chickenpox], seed: int, epochs: int
) -> dict[str, tuple[list[float], float, int]]:
    models = build_models(WIDTH)
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
        for name, model in models.items()
    }
    val, test = (
        next(iter(DataLoader(splits[name], batch_size=len(splits[name]))))
        for name in ("val", "test")
    )
    spent: dict[str, list[float]] = {name: [] for name in models}
    best = {name: (float("inf"), copy.deepcopy(m)) for name, m in models.items()}
    turns = random.Random(seed)
    for epoch in range(epochs):
        for name in turns.sample([*models], len(models)):
            # The same order of samples for all.
            torch.manual_seed(1_000 * seed + epoch)
            batches = [*DataLoader(splits["train"], batch_size=BATCH, shuffle=True)]
            spent[name].append(_epoch(models[name], optimizers[name], batches))
            error = _error(models[name], val)
            if error < best[name][0]:
                best[name] = error, copy.deepcopy(models[name])
    return {
        name: (spent[name], _error(best[name][1], test), _size(model))
        for name, model in models.items()
    }


def _epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[Batch]
) -> float:
    """Trains on all batches and returns the seconds."""
    model.train()
    start = time.perf_counter()
    for batch in batches:
        optimizer.zero_grad()
        functional.mse_loss(model(batch), batch.y).backward()
        optimizer.step()
    return time.perf_counter() - start


def _error(model: nn.Module, batch: Batch) -> float:
    model.eval()
    with torch.no_grad():
        return float(functional.mse_loss(model(batch), batch.y))


def _size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def peers_table(
    found: dict[str, Any], command: str, kind: dict[str, Any]
) -> dict[str, Any]:
    """Returns columns, rows and caption.

    Args:
        found (dict): What :func:`measure_peers` returned.
        command (str): The command that measures it again.
        kind (dict): The hardware.
    """
    rows = []
    for name, model in found["models"].items():
        spent, errors = [1e3 * s for s in model["seconds"]], model["test"]
        spread = f" ± {statistics.stdev(errors):.3f}" if len(errors) > 1 else ""
        rows.append(
            [
                name,
                f"{model['weights']:,}",
                f"{statistics.median(spent):,.1f} [{min(spent):,.1f} to "
                f"{max(spent):,.1f}] ms",
                f"{statistics.mean(errors):.3f}{spread}",
            ]
        )
    samples, seeds = found["samples"], ", ".join(map(str, found["seeds"]))
    return {
        "columns": ["model", "weights", "an epoch", "squared error in test"],
        "rows": rows,
        "caption": (
            f"Chickenpox, 4 weeks read and the next one forecast, {samples['train']} "
            f"samples for training, {samples['val']} for validation, "
            f"{samples['test']} for test; width {WIDTH}, {found['epochs']} epochs of "
            f"AdamW with rate {RATE:g}, batches of {BATCH}, the epoch that validates "
            f"best; an epoch of training as median [lowest to highest], the error as "
            f"mean ± standard deviation over seeds {seeds}; GConvGRU and DCRNN of "
            f"PyTorch Geometric Temporal with filters of size {ORDER}; "
            f"{kind['threads']} threads, {kind['processor']}. `{command}`"
        ),
    }
