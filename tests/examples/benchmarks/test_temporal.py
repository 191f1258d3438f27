import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import temporal
import torch
from temporal import FrameLoop
from torch import nn
from torch_geometric.data import Batch

from pyg_relational._checks import UsageError
from pyg_relational.data import TemporalGraph
from pyg_relational.models import SpatioTemporalRelationNetwork


class Cell(nn.Module):
    """Takes and gives what a recurrent graph cell of the other package does."""

    def __init__(self, in_channels: int, out_channels: int, order: int) -> None:
        super().__init__()
        assert order == 2
        self.cell = nn.GRUCell(in_channels, out_channels)

    def forward(self, x, edge_index, edge_weight=None, state=None):
        assert edge_index.max() < len(x)
        return self.cell(x, state)


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, temporal.PACKAGE, None)


@pytest.fixture
def with_package(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"{temporal.PACKAGE}.nn.recurrent")
    module.GConvGRU = module.DCRNN = Cell
    for name in (temporal.PACKAGE, f"{temporal.PACKAGE}.nn"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def chickenpox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A root with 60 weeks of three counties, each the mean of the week before."""
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    values = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    content = {
        "edges": [[0, 1], [1, 0], [2, 2]],
        "node_ids": {"a": 0, "b": 1, "c": 2},
        "FX": values.tolist(),
    }
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/chickenpox.json").write_text(json.dumps(content))
    return str(tmp_path / "data")


def model(width: int = 5) -> SpatioTemporalRelationNetwork:
    torch.manual_seed(0)
    return SpatioTemporalRelationNetwork(4, 3, width, [6, 5], (), [7]).double()


@pytest.mark.parametrize("edges", [False, True])
def test_the_loop_computes_the_same(edges: bool) -> None:
    graphs = [
        graph.apply(lambda v: v.double() if v.is_floating_point() else v)
        for graph in temporal.mixed_graphs(5, edges, seed=1)
    ]
    if not edges:  # An empty frame, and a node that is never there.
        mask = torch.tensor([[True, False, True], [False, False, False]])
        graphs.append(TemporalGraph(torch.randn(2, 3, 4).double(), mask))
    net, batch = model(), Batch.from_data_list(graphs)
    together = net(
        batch.x,
        batch.mask,
        batch.edge_index,
        batch.get("edge_time"),
        batch=batch.batch,
        batch_size=len(graphs),
    )
    expected = temporal._with_gradients(together, net.parameters())
    for textbook in (False, True):
        loop = FrameLoop(net, textbook)
        apart = torch.cat([loop(graph) for graph in graphs])
        found = temporal._with_gradients(apart, net.parameters())
        for mine, other in zip(expected, found, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_graphs_are_mixed_and_right() -> None:
    graphs = temporal.mixed_graphs(30, True, seed=0)
    for name, (low, high) in (("node_id", (3, 20)), ("frame", (5, 40))):
        sizes = {
            g.num_nodes if name == "node_id" else int(g.num_frames) for g in graphs
        }
        assert len(sizes) > 5
        assert min(sizes) >= low
        assert max(sizes) <= high
    assert all(graph.validate() for graph in graphs)
    assert 0.7 < torch.cat([graph.mask_steps for graph in graphs]).float().mean() < 0.9


def test_quick_run_compares_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_package: None
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = temporal.run(quick=True, repeats=1)
    folder = tmp_path / "runs/benchmark-temporal"
    written = json.loads((folder / "temporal.json").read_text())
    assert written == json.loads(json.dumps(figures["temporal"]))
    assert not (folder / "temporal-chickenpox.json").exists()
    assert [(c["related"], c["width"]) for c in written["cases"]] == [
        ("all pairs of a frame", 8),
        ("edges of each frame", 8),
    ]
    assert written["command"].endswith("temporal.py --quick --repeats 1")
    text = temporal.summary(figures)
    assert re.search("faster than our layers +faster than textbook pairs", text)
    assert "chickenpox: skipped" in text
    assert "pip install --no-deps torch-geometric-temporal" in text


def test_a_wrong_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FrameLoop._messages
    monkeypatch.setattr(FrameLoop, "_messages", lambda *a: right(*a) + 0.01)
    with pytest.raises(AssertionError):
        temporal.measure_batches(quick=True, repeats=1, seed=0)


def test_models_are_trained_on_the_same_batches(
    chickenpox: str, with_package: None
) -> None:
    found = temporal.measure_peers(chickenpox, [0, 1], epochs=2)
    assert found["samples"] == {"train": 8, "val": 3, "test": 45}
    ours, *others = found["models"].values()
    # The stand-ins are one model, seen twice from different weights.
    assert [len(model["seconds"]) for model in (ours, *others)] == [4, 4, 4]
    assert all(0 < error < 5 for model in (ours, *others) for error in model["test"])
    again = temporal.measure_peers(chickenpox, [1], epochs=2)
    for name, model_ in found["models"].items():
        assert again["models"][name]["test"] == model_["test"][1:]
    table = temporal.peers_table(found, "command", {"threads": 1, "processor": "cpu"})
    assert [row[0] for row in table["rows"]] == [
        "SpatioTemporalRelationNetwork",
        "GConvGRU",
        "DCRNN",
    ]
    assert all("±" in row[3] for row in table["rows"])
    assert "seeds 0, 1; " in table["caption"]


def test_training_keeps_the_epoch_that_validates_best(
    chickenpox: str, with_package: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: dict[int, list[list[int]]] = {}

    def grow_older(model: nn.Module, optimizer: object, parts: list[Batch]) -> float:
        model.age = getattr(model, "age", 0) + 1
        weeks = torch.cat([batch.week for batch in parts]).tolist()
        orders.setdefault(model.age, []).append(weeks)
        return 0.5

    def error(model: nn.Module, batch: Batch) -> float:
        # In validation, the second of four epochs is best.
        return abs(model.age - 2.0) if batch.num_graphs == 3 else float(model.age)

    monkeypatch.setattr(temporal, "_epoch", grow_older)
    monkeypatch.setattr(temporal, "_error", error)
    names = ("train", "val", "test")
    splits = {name: temporal.Chickenpox(chickenpox, name) for name in names}
    trained = temporal._train(splits, seed=0, epochs=4)
    for spent, tested, _ in trained.values():
        assert spent == [0.5] * 4
        assert tested == 2.0
    first, second, *_ = orders.values()
    assert first == first[:1] * 3
    assert second == second[:1] * 3
    assert first != second
    size = sum(p.numel() for p in temporal.Ours(temporal.WIDTH).parameters())
    assert trained["SpatioTemporalRelationNetwork"][2] == size


def test_both_parts_are_written_and_shown(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chickenpox: str,
    with_package: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = temporal.run(
        quick=True, repeats=1, seeds=[3], epochs=1, data_root=chickenpox
    )
    path = tmp_path / "runs/benchmark-temporal/temporal-chickenpox.json"
    written = json.loads(path.read_text())
    assert written == json.loads(json.dumps(figures["chickenpox"]))
    assert written["command"].endswith("--quick --repeats 1 --seeds 3 --epochs 1")
    assert written["seeds"] == [3]
    assert "GConvGRU  " in temporal.summary(figures)


def test_without_the_file_the_rest_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_package: None
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(temporal, "Chickenpox", refuse)
    monkeypatch.chdir(tmp_path)
    figures = temporal.run(quick=True, repeats=1)
    assert figures["chickenpox"] == "the dataset cannot be had: no network"


@pytest.mark.parametrize(
    "options", [{"repeats": 0}, {"epochs": 0}, {"threads": 0}, {"seeds": []}]
)
def test_numbers_too_small_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"expected --{next(iter(options))} "):
        temporal.run(**options)
