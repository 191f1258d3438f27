"""One batch of graphs that change over time against loops over graphs and frames, and
against PyTorch Geometric Temporal where that is installed.

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
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import in_turns, seconds
from pyg_relational.data import TemporalGraph
from pyg_relational.datasets import Chickenpox
from pyg_relational.models import SpatioTemporalRelationNetwork
from pyg_relational.train.results import table_text

# Recurrent graph networks of PyTorch Geometric Temporal on the same data.


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
    """Returns the models by name."""
    recurrent = importlib.import_module(f"{PACKAGE}.nn.recurrent")
    return {
        "SpatioTemporalRelationNetwork": Ours(width),
        "GConvGRU": Recurrent(recurrent.GConvGRU(1, width, ORDER), width),
        "DCRNN": Recurrent(recurrent.DCRNN(1, width, ORDER), width),
    }


def measure_peers(data_root: str, seeds: list[int], epochs: int) -> dict[str, Any]:
    """Trains all models on the same batches, epoch by epoch in turns."""
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
    """Returns columns, rows and caption."""
    rows = []
    for name, model in found["models"].items():
        spent, errors = [1e3 * s for s in model["seconds"]], model["test"]
        spread = f" ± {statistics.stdev(errors):.3f}" if len(errors) > 1 else ""
        rows.append(
            [
                name,
                f"{model['weights']:,}",
                f"{harness.spread(spent)} ms",
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


# What people write otherwise: one graph after the other, one frame after the other.


class FrameLoop(nn.Module):
    r"""Computes what a spatio-temporal relation network computes, with its weights, in
    a loop over the frames of a graph.

    A frame is a relation among the nodes that are in it, then one step of the recurrent
    cell for each of them; the readout is that of the model.

    Args:
        model (SpatioTemporalRelationNetwork): A model of one layer of GRUs with a
            readout by attention, which relates by a sum.
        textbook (bool): Whether pairs are related as in a textbook, both ends beside
            each other through an MLP and the messages summed, in place of the model's
            own layer. (default: :obj:`False`)
    """

    def __init__(
        self, model: SpatioTemporalRelationNetwork, textbook: bool = False
    ) -> None:
        super().__init__()
        self.model, self.textbook = model, textbook

    def forward(self, graph: TemporalGraph) -> Tensor:
        r"""Returns the answer for one graph, :math:`[1, C]`."""
        layer: Any = self.model.backbone.layers[0]
        rnn = layer.sequence.rnn
        weights = (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0)
        x, mask = graph.x, graph.mask
        assert x is not None
        assert mask is not None
        state = x.new_zeros(x.size(0), rnn.hidden_size)
        outputs, nodes = [], []
        for step, edges in enumerate(_edges_by_frame(graph, x.size(1))):
            present = mask[:, step].nonzero().flatten()
            if not present.numel():
                continue
            now = x[present, step]
            read = torch.cat([now, self._messages(now, present, edges)], dim=-1)
            h = torch.gru_cell(read, state[present], *weights)
            state = state.index_copy(0, present, h)
            outputs.append(h)
            nodes.append(present)
        owner, order = torch.cat(nodes).sort(stable=True)
        states = torch.cat(outputs)[order]
        assert self.model.attention is not None
        read_out = self.model.attention(states, index=owner, dim_size=x.size(0))
        return self.model.head(read_out.sum(dim=0, keepdim=True))

    def _messages(self, x: Tensor, present: Tensor, edges: Tensor | None) -> Tensor:
        if edges is not None:
            # Places among the nodes of the frame.
            edges = torch.searchsorted(present, edges)
        if not self.textbook:
            layer: Any = self.model.backbone.layers[0]
            return layer.conv(x, edges)
        if edges is None:
            size = x.size(0)
            # [n, F] -> [n, n, 2 * F]: every pair, the one who is told first
            target = x.unsqueeze(1).expand(-1, size, -1)
            source = x.unsqueeze(0).expand(size, -1, -1)
            return self._relate(torch.cat([target, source], dim=-1)).sum(dim=1)
        source, target = edges
        told = self._relate(torch.cat([x[target], x[source]], dim=-1))
        return told.new_zeros(x.size(0), told.size(1)).index_add(0, target, told)

    def _relate(self, pairs: Tensor) -> Tensor:
        layer: Any = self.model.backbone.layers[0]
        g = layer.conv.nn
        weight = torch.cat([g.lin_r.weight, g.lin_l.weight], dim=1)
        out = functional.linear(pairs, weight, g.lin_r.bias).relu()
        for lin in g.lins:
            out = lin(out).relu()
        return out


def _edges_by_frame(graph: TemporalGraph, frames: int) -> Sequence[Tensor | None]:
    if graph.edge_index is None:
        return [None] * frames
    time, order = graph.edge_time.sort(stable=True)
    counts = time.bincount(minlength=frames).tolist()
    parts = graph.edge_index[:, order].split(counts, dim=1)
    return [part.contiguous() for part in parts]


# One batch of graphs of mixed size and length against a loop over them.


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
    gradients."""
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
    """Returns graphs of 3 to 20 nodes and 5 to 40 frames, a fifth of them absent."""
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
    """Returns columns, rows and caption."""
    rows = []
    for case in cases:
        spent = case["seconds"]
        times = [
            f"{1e3 * statistics.median(spent[name]):,.0f} ms"
            for name in (*LOOPS, "batch")
        ]
        ratios = [
            f"{harness.spread(harness.ratios(spent[name], spent['batch']))} times"
            for name in LOOPS
        ]
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


FOLDER = Path("runs/benchmark-temporal")
ROOT = "datasets/chickenpox"


def run(
    quick: bool = False,
    threads: int | None = None,
    repeats: int = 7,
    seeds: list[int] | None = None,
    epochs: int | None = None,
    data_root: str = ROOT,
    record: bool = False,
) -> dict[str, Any]:
    """Measures graphs that change over time: one batch of mixed graphs against a loop
    over graphs and frames with the same weights, and a training epoch on chickenpox
    beside PyTorch Geometric Temporal.

    Writes `temporal.json` and `temporal-chickenpox.json` to `runs/benchmark-temporal`.
    The second needs a package that is no extra of this one, as it has to be built
    against the installed torch; without it, the run says how to install it.

    Args:
        quick (bool): Few graphs, one seed, two epochs: seconds. (default: `False`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        repeats (int): Rounds a case, fewer where they take long. (default: `7`)
        seeds (list[int], optional): Seeds of the training; the first is that of
            graphs and weights too. (default: 0, 1, 2)
        epochs (int, optional): Epochs of the training. (default: 60)
        data_root (str): Folder of the chickenpox dataset.
            (default: `"datasets/chickenpox"`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures under `temporal` and `chickenpox`, as in the files;
        the latter a text where it was skipped.

    Raises:
        UsageError: A number is too small, or no seed is given.
    """
    options = {"quick": quick, "threads": threads, "repeats": repeats}
    options |= {"seeds": seeds, "epochs": epochs}
    command = harness.command_line(run, options)
    seeds = seeds if seeds is not None else [0] if quick else [0, 1, 2]
    epochs = epochs if epochs is not None else 2 if quick else EPOCHS
    harness.check_at_least(1, repeats=repeats, epochs=epochs, threads=threads)
    if not seeds:
        raise UsageError("expected --seeds with a seed, got none")
    with harness.threads(threads):
        shared = harness.made_by(command)
        sizes, cases = measure_batches(quick, repeats, seeds[0])
        found = _peers(data_root, seeds, epochs)
    kind = shared["hardware"]
    table = batches_table(sizes, cases, command, kind)
    files: dict[str, Any] = {
        "temporal": {"table": table, **shared, "sizes": sizes, "cases": cases}
    }
    if isinstance(found, dict):
        table = peers_table(found, command, kind)
        files["temporal-chickenpox"] = {"table": table, **shared, **found}
    for name, content in files.items():
        harness.write_record(FOLDER, name, content, record)
    return {
        "temporal": files["temporal"],
        "chickenpox": files.get("temporal-chickenpox", found),
    }


def summary(figures: dict[str, Any]) -> str:
    """Return the tables of a run as text, or why one is missing."""
    parts = []
    for name, content in figures.items():
        if isinstance(content, str):
            parts.append(f"{name}: skipped, {content}")
            continue
        parts.append(table_text(content["table"]))
    return "\n\n".join(parts)


def _peers(data_root: str, seeds: list[int], epochs: int) -> dict[str, Any] | str:
    reason = missing_package()
    if reason is not None:
        return reason
    try:
        return measure_peers(data_root, seeds, epochs)
    except OSError as error:
        return f"the dataset cannot be had: {error}"


if __name__ == "__main__":
    harness.main(run, summary)
