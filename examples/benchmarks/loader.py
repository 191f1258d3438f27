"""How many graphs a second `StoredLoader` loads, against PyG's `DataLoader`."""

import random
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import in_turns, seconds
from pyg_relational.datasets.base import collate_ragged
from pyg_relational.loader import StoredLoader

FOLDER = Path("runs/benchmark-loader")
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
        UsageError: A number is smaller than 1.
    """
    harness.check_at_least(1, repeats=repeats)
    options = {"quick": quick, "repeats": repeats, "seed": seed}
    number = 640 if quick else 10_000
    with harness.threads(1):
        found = {
            name: _measure(scenes(number, *case, seed), repeats, seed)
            for name, case in CASES.items()
        }
        made = harness.made_by(harness.command_line(run, options))
    figures = {
        "table": _table(number, found, made["command"], made["hardware"]),
        **made,
        "seed": seed,
        "scenes": number,
        "batch_size": BATCH_SIZE,
        "seconds": found,
    }
    return harness.write_record(FOLDER, "loader", figures, record)


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


def check_same_batch(found: Batch, expected: Batch) -> None:
    """Compares all that batches hold, bit by bit: class, attributes and their order,
    number of graphs, slices, increments, and the graphs that come out."""
    _check("class", type(found), type(expected))
    _check_data("batch", found, expected)
    names = {"_num_graphs", "_slice_dict", "_inc_dict", "_num_nodes"}
    for name in sorted(names):
        one, other = found._store.__dict__, expected._store.__dict__
        _check(name, one.get(name), other.get(name))
    for number in range(expected.num_graphs):
        graphs = found.get_example(number), expected.get_example(number)
        _check_data(f"graph {number}", *graphs)


def _check_data(name: str, found: Data, expected: Data) -> None:
    _check(f"class of {name}", type(found), type(expected))
    pairs = [dict(data._store.items()) for data in (found, expected)]
    _check(f"names of {name}", *map(list, pairs))
    _check(name, *pairs)


def _check(name: str, found: Any, expected: Any) -> None:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        _check(f"names of {name}", [*found], [*expected])
        for key, value in expected.items():
            _check(f"'{key}' of {name}", found[key], value)
        return
    same = type(found) is type(expected)
    if same and isinstance(expected, Tensor):
        same = found.dtype == expected.dtype and found.device == expected.device
        same = same and found.shape == expected.shape
        # Whatever is not a number is equal to itself here.
        equal = (found == expected) | ((found != found) & (expected != expected))
        same = same and bool(equal.all())
    elif same:
        same = found == expected
    if not same:
        raise AssertionError(f"{name} differs: expected {expected}, got {found}")


def _table(
    number: int,
    found: dict[str, dict[str, list[float]]],
    command: str,
    kind: dict[str, Any],
) -> dict[str, Any]:
    rows = []
    for name, measured in found.items():
        theirs, ours = measured["DataLoader"], measured["StoredLoader"]
        speeds = [number / statistics.median(rounds) for rounds in (theirs, ours)]
        times = harness.spread(harness.ratios(theirs, ours))
        rows.append([name, *(f"{speed:,.0f}" for speed in speeds), times])
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


if __name__ == "__main__":
    harness.main(run)
