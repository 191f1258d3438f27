"""How many graphs a second `StoredLoader` loads, against PyG's `DataLoader`."""

import random
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from pyg_relational._files import write_json
from pyg_relational.benchmarks.harness import in_turns, seconds
from pyg_relational.datasets.base import collate_ragged
from pyg_relational.loader import StoredLoader
from pyg_relational.loader.compare import check_same_batch
from pyg_relational.train.results import table_text
from pyg_relational.train.run_folder import hardware, versions

FOLDERS = {False: Path("runs/benchmark-loader"), True: Path("examples/results")}
FLOOR = 10
SECONDS = 120.0  # of the rounds of a case
OBJECTS = 8
BATCH_SIZE = 64
NODE_NUMBERS = 4
EDGE_NUMBERS = 2
# Objects of a scene, at least and at most, and whether they have relations.
CASES = {
    "8 objects": (OBJECTS, OBJECTS, False),
    "8 objects, 56 relations": (OBJECTS, OBJECTS, True),
    "3 to 13 objects": (3, 13, False),
    "3 to 13 objects, all relations": (3, 13, True),
}


def run(
    quick: bool = False,
    repeats: int = 5,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Measures how long both loaders take for the batches of 64 of 10,000 scenes, in
    one random order, on one thread: scenes of 8 objects with and without relations
    between all of them, and of 3 to 13 objects.

    Every batch of both is compared first, which also fills the cache of single graphs
    that PyG's datasets keep. Writes `loader.json` to `runs/benchmark-loader`.

    Args:
        quick (bool): Few scenes, seconds. (default: `False`)
        repeats (int): Rounds, fewer where they take long. (default: `5`)
        seed (int): Seed of scenes and of the order of methods. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        AssertionError: A batch differs from PyG's.
        ValueError: A number is smaller than 1.
    """
    if repeats < 1:
        raise ValueError(f"expected --repeats of at least 1, got {repeats}")
    number = 640 if quick else 10_000
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {
            name: _measure(scenes(number, *case, seed), repeats, seed)
            for name, case in CASES.items()
        }
        kind = hardware()
    finally:
        torch.set_num_threads(before)
    chosen = [f"--repeats {repeats}"] * (repeats != 5) + [f"--seed {seed}"] * bool(seed)
    command = " ".join(
        ["pyg-relational benchmark loader", *["--quick"] * quick, *chosen]
    )
    figures = {
        "table": _table(number, found, command, kind),
        "command": command,
        "versions": versions(),
        "hardware": kind,
        "seed": seed,
        "scenes": number,
        "batch_size": BATCH_SIZE,
        "seconds": found,
    }
    FOLDERS[record].mkdir(parents=True, exist_ok=True)
    write_json(FOLDERS[record] / "loader.json", figures)
    return figures


def summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text."""
    return table_text(figures["table"])


def scenes(
    number: int, fewest: int, most: int, relations: bool, seed: int
) -> InMemoryDataset:
    """Return scenes with numbers for every object and relation, and a label."""
    generator = torch.Generator().manual_seed(seed)
    objects = torch.randint(fewest, most + 1, (number,), generator=generator)
    rows: dict[str, Tensor] = {
        "x": torch.rand(int(objects.sum()), NODE_NUMBERS, generator=generator),
        "y": torch.randint(2, (number,), generator=generator),
    }
    counts = {"x": objects, "y": torch.ones_like(objects)}
    if relations:
        pairs = {n: _pairs(n) for n in range(fewest, most + 1)}
        edges = torch.cat([pairs[n] for n in objects.tolist()], dim=1)
        rows["edge_index"] = edges
        rows["edge_attr"] = torch.rand(edges.size(1), EDGE_NUMBERS, generator=generator)
        counts["edge_index"] = counts["edge_attr"] = objects * (objects - 1)
    return _Scenes(*collate_ragged(rows, counts))


class _Scenes(InMemoryDataset):
    def __init__(self, data: Data, slices: dict[str, Tensor]) -> None:
        super().__init__()
        self._data, self.slices = data, slices


def _pairs(objects: int) -> Tensor:
    every = torch.cartesian_prod(torch.arange(objects), torch.arange(objects)).t()
    return every[:, every[0] != every[1]]


def _measure(
    dataset: InMemoryDataset, repeats: int, seed: int
) -> dict[str, list[float]]:
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    batches = [part.tolist() for part in order.split(BATCH_SIZE)]
    theirs = DataLoader(dataset, batch_sampler=batches)
    ours = StoredLoader(dataset, batch_sampler=batches)
    for found, expected in zip(ours, theirs, strict=True):
        check_same_batch(found, expected)
    calls = {
        "DataLoader": lambda: sum(batch.num_graphs for batch in theirs),
        "StoredLoader": lambda: sum(batch.num_graphs for batch in ours),
    }
    expected_seconds = {name: seconds(call, "cpu") for name, call in calls.items()}
    generator = random.Random(seed)
    return in_turns(calls, expected_seconds, "cpu", repeats, SECONDS, generator)


def _table(
    number: int,
    found: dict[str, dict[str, list[float]]],
    command: str,
    kind: dict[str, Any],
) -> dict[str, Any]:
    rows = []
    for name, measured in found.items():
        theirs, ours = measured["DataLoader"], measured["StoredLoader"]
        ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
        speeds = [number / statistics.median(rounds) for rounds in (theirs, ours)]
        times = f"{statistics.median(ratios):.1f} [{min(ratios):.1f} to "
        rows.append(
            [name, *(f"{speed:,.0f}" for speed in speeds), f"{times}{max(ratios):.1f}]"]
        )
    return {
        "columns": ["graphs a second", "PyG's `DataLoader`", "ours", "times faster"],
        "rows": rows,
        "caption": (
            f"{number:,} scenes in batches of {BATCH_SIZE} in one random order; "
            f"objects have {NODE_NUMBERS} numbers, relations {EDGE_NUMBERS}. Median "
            f"[lowest to highest] over the rounds of one run on one thread, "
            f"{kind['processor']}; the floor for {OBJECTS} objects is {FLOOR}. All "
            f"batches were compared and are identical. `{command}`"
        ),
    }
