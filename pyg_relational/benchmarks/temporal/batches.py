"""One batch of graphs of mixed size and length against a loop over them."""

import random
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_relational.benchmarks.ops.measure import in_turns, seconds
from pyg_relational.benchmarks.temporal.frame_loop import FrameLoop
from pyg_relational.data import TemporalGraph
from pyg_relational.models import SpatioTemporalRelationNetwork

FLOOR = 10
SECONDS = 60.0  # of the rounds of a case
FEATURES, ANSWERS, PRESENT, EDGES = 4, 3, 0.8, 0.3
NODES, FRAMES = (3, 20), (5, 40)
LOOPS = {"layers": "our layers", "textbook": "textbook pairs"}
RELATED = {False: "all pairs of a frame", True: "edges of each frame"}


def measure_batches(
    quick: bool, repeats: int, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measures forward and backward of all graphs, after a comparison of values and
    gradients.

    Args:
        quick (bool): Few graphs, narrow.
        repeats (int): Rounds a case, fewer where they take long.
        seed (int): Seed of graphs, weights and the order of methods.

    Returns:
        The sizes of the graphs, and the cases.
    """
    count, widths = (4, [8]) if quick else (64, [32, 64])
    cases = []
    for edges in RELATED:
        graphs = mixed_graphs(count, edges, seed)
        for width in widths:
            cases.append(_measure(graphs, width, edges, repeats, seed))
    sizes = {
        "graphs": count,
        "nodes": [graph.num_nodes for graph in graphs],
        "frames": [int(graph.num_frames) for graph in graphs],
        "present": sum(int(graph["mask"].sum()) for graph in graphs),
    }
    return sizes, cases


def mixed_graphs(count: int, edges: bool, seed: int) -> list[TemporalGraph]:
    """Returns graphs of 3 to 20 nodes and 5 to 40 frames, a fifth of them absent.

    Args:
        count (int): How many.
        edges (bool): Whether each ordered pair that is present at a frame has an edge
            there with a probability of 0.3; otherwise there are no edges.
        seed (int): The seed.
    """
    generator = torch.Generator().manual_seed(seed)

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    graphs = []
    for _ in range(count):
        nodes, frames = integer(*NODES), integer(*FRAMES)
        mask = torch.rand(nodes, frames, generator=generator) < PRESENT
        x = torch.randn(nodes, frames, FEATURES, generator=generator)
        drawn = torch.rand(frames, nodes, nodes, generator=generator) < EDGES
        # [N, T] -> [T, N, N]: both are there
        together = mask.t().unsqueeze(2) & mask.t().unsqueeze(1)
        time, source, target = (drawn & together).nonzero().unbind(1)
        timed = {"edge_index": torch.stack([source, target]), "edge_time": time}
        graphs.append(TemporalGraph(x, mask, **(timed if edges else {})))
    return graphs


def _measure(
    graphs: list[TemporalGraph], width: int, edges: bool, repeats: int, seed: int
) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = SpatioTemporalRelationNetwork(
        FEATURES, ANSWERS, width, [width, width], (), [width]
    )
    loops = {name: FrameLoop(model, name == "textbook") for name in LOOPS}

    def ours() -> list[Tensor]:
        # From single graphs on: making the batch counts.
        batch = Batch.from_data_list(graphs)
        out = model(
            batch.x,
            batch.mask,
            batch.edge_index,
            batch.get("edge_time"),
            batch=batch.batch,
            batch_size=len(graphs),
        )
        return _with_gradients(out, model.parameters())

    def looped(loop: FrameLoop) -> list[Tensor]:
        out = torch.cat([loop(graph) for graph in graphs])
        return _with_gradients(out, model.parameters())

    calls: dict[str, Callable[[], list[Tensor]]] = {
        name: partial(looped, loop) for name, loop in loops.items()
    }
    for call in calls.values():
        for mine, other in zip(ours(), call(), strict=True):
            scale = float(other.detach().abs().max())
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4 * scale)
    calls["batch"] = ours
    expected = {name: seconds(call, "cpu") for name, call in calls.items()}
    rounds = in_turns(calls, expected, "cpu", repeats, SECONDS, random.Random(seed))
    return {"related": RELATED[edges], "width": width, "seconds": rounds}


def _with_gradients(out: Tensor, weights: Iterable[Tensor]) -> list[Tensor]:
    return [out, *torch.autograd.grad(out.square().sum(), [*weights])]


def batches_table(
    sizes: dict[str, Any],
    cases: list[dict[str, Any]],
    command: str,
    kind: dict[str, Any],
) -> dict[str, Any]:
    """Returns columns, rows and caption.

    Args:
        sizes (dict): The sizes of the graphs.
        cases (list): What was measured.
        command (str): The command that measures it again.
        kind (dict): The hardware.
    """
    rows = []
    for case in cases:
        spent = case["seconds"]
        times = [
            f"{1e3 * statistics.median(spent[name]):,.0f} ms"
            for name in (*LOOPS, "batch")
        ]
        ratios = [_ratio(spent[name], spent["batch"]) for name in LOOPS]
        rows.append([f"{case['related']}, width {case['width']}", *times, *ratios])
    nodes, frames = sizes["nodes"], sizes["frames"]
    return {
        "columns": [
            "related",
            *(f"loop, {text}" for text in LOOPS.values()),
            "one batch",
            *(f"faster than {text}" for text in LOOPS.values()),
        ],
        "rows": rows,
        "caption": (
            f"{sizes['graphs']} graphs of {min(nodes)} to {max(nodes)} nodes and "
            f"{min(frames)} to {max(frames)} frames, {sizes['present']:,} nodes in "
            f"{sum(frames):,} frames; loops over graphs and frames with the weights of "
            f"the model; forward and backward, values and gradients compared; median "
            f"[lowest to highest] over the rounds of one run on {kind['threads']} "
            f"threads, {kind['processor']}; the floor is {FLOOR}. `{command}`"
        ),
    }


def _ratio(loop: list[float], batch: list[float]) -> str:
    """Says how many times slower the loop is, round by round."""
    ratios = [theirs / mine for theirs, mine in zip(loop, batch, strict=True)]
    low, high = min(ratios), max(ratios)
    return f"{statistics.median(ratios):.1f} [{low:.1f} to {high:.1f}] times"
