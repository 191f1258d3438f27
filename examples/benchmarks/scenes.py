"""How long converting NetworkX scenes takes, against PyG's `from_networkx`, and whether
the memory of a stream of scenes grows with its length."""

import gc
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx

from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import in_turns, peak_memory
from pyg_relational.data import SceneEncoder

FOLDER = Path("runs/benchmark-scenes")
FLOOR = 5
SECONDS = 120.0  # of the rounds
OBJECTS = 8
NODE_NUMBERS = ("mass", "size", "x", "y")
EDGE_NUMBERS = ("angle", "distance")
NAMES = {
    "from_networkx": "`from_networkx`",
    "exact": "ours, with exact values",
    "features": "ours, features only",
}


def run(
    quick: bool = False,
    repeats: int = 5,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Measures the conversion of 10,000 scenes of 8 objects and 56 relations with
    numeric attributes, on one thread, and the peak memory of streams of 10,000 to
    200,000 such scenes that are made as they are read.

    The features of both ways are compared first. Writes `scenes.json` to
    `runs/benchmark-scenes`.

    Args:
        quick (bool): Few scenes, seconds. (default: `False`)
        repeats (int): Rounds, fewer where they take long. (default: `5`)
        seed (int): Seed of scenes and of the order of methods. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A number is smaller than 1.
    """
    harness.check_at_least(1, repeats=repeats)
    options = {"quick": quick, "repeats": repeats, "seed": seed}
    number, lengths = (200, [500, 2000]) if quick else (10_000, [10_000, 200_000])
    with harness.threads(1):
        # First: what `from_networkx` leaves behind shall not hide growth.
        streams = [_stream(length, seed) for length in lengths]
        seconds = _convert(number, repeats, seed)
        made = harness.made_by(harness.command_line(run, options))
    table = _table(number, seconds, streams, made["command"], made["hardware"])
    figures = {
        "table": table,
        **made,
        "seed": seed,
        "scenes": number,
        "seconds": seconds,
        "streams": streams,
    }
    return harness.write_record(FOLDER, "scenes", figures, record)


def scenes(number: int, seed: int) -> Iterator[nx.DiGraph]:
    """Yield scenes of 8 objects and all relations between them."""
    generator = random.Random(seed)
    for _ in range(number):
        graph = nx.DiGraph()
        for node in range(OBJECTS):
            graph.add_node(node, **{name: generator.random() for name in NODE_NUMBERS})
        for source in range(OBJECTS):
            for target in range(OBJECTS):
                if source != target:
                    values = {name: generator.random() for name in EDGE_NUMBERS}
                    graph.add_edge(source, target, **values)
        yield graph


def _convert(number: int, repeats: int, seed: int) -> dict[str, list[float]]:
    made = list(scenes(number, seed))
    exact = SceneEncoder(standardize=False).fit(made)
    features = SceneEncoder.from_schema(exact.schema)
    features.exact = False

    def theirs() -> list[Data]:
        return [from_networkx(g, [*NODE_NUMBERS], [*EDGE_NUMBERS]) for g in made]

    calls = {
        "from_networkx": theirs,
        "exact": lambda: exact.transform(made),
        "features": lambda: features.transform(made),
    }
    expected = {}
    found = {}
    for name, call in calls.items():
        found[name], expected[name], _ = peak_memory(call, "cpu")
    for name in ("exact", "features"):
        for ours, other in zip(found[name], found["from_networkx"], strict=True):
            _check_equal(ours, other)
    found.clear()
    # A collection walks all the scenes held here, and whichever way is timed when one
    # falls due would pay for it.
    gc.collect()
    gc.disable()
    try:
        return in_turns(calls, expected, "cpu", repeats, SECONDS, random.Random(seed))
    finally:
        gc.enable()


def _check_equal(ours: Data, theirs: Data) -> None:
    for name in ("x", "edge_index", "edge_attr"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)


def _stream(number: int, seed: int) -> dict[str, int]:
    """Converts a stream of scenes, keeping none, and returns its peak memory."""
    encoder = SceneEncoder().fit(scenes(100, seed))

    def convert() -> int:
        return sum(data.num_nodes for data in encoder.stream(scenes(number, seed)))

    nodes, _, peak = peak_memory(convert, "cpu")
    assert nodes == number * OBJECTS
    return {"scenes": number, "peak_bytes": peak.extra, "total_bytes": peak.total}


def _table(
    number: int,
    seconds: dict[str, list[float]],
    streams: list[dict[str, int]],
    command: str,
    kind: dict[str, Any],
) -> dict[str, Any]:
    rows = []
    for name, rounds in seconds.items():
        times = harness.spread(harness.ratios(seconds["from_networkx"], rounds))
        rows.append(
            [
                NAMES[name],
                f"{statistics.median(rounds):,.2f} s",
                "" if name == "from_networkx" else times,
            ]
        )
    memory = " and ".join(
        f"{part['total_bytes'] / 1e6:,.0f} MB for {part['scenes']:,}"
        for part in streams
    )
    return {
        "columns": [f"{number:,} scenes", "seconds", "times faster"],
        "rows": rows,
        "caption": (
            f"Scenes of {OBJECTS} objects and {OBJECTS * (OBJECTS - 1)} relations with "
            f"{len(NODE_NUMBERS)} and {len(EDGE_NUMBERS)} numbers; median [lowest to "
            f"highest] over the rounds of one run on one thread, garbage collection "
            f"paused as `timeit` does, {kind['processor']}; the floor is {FLOOR}. Peak "
            f"memory of the process while a stream of scenes is converted: {memory} "
            f"scenes. `{command}`"
        ),
    }


if __name__ == "__main__":
    harness.main(run)
