import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from pyg_relational.data import from_signal, windows

EDGES = np.array([[0, 1], [1, 2]])
VALUES = [np.arange(6.0).reshape(3, 2) + 10 * t for t in range(4)]
TARGETS = [np.arange(3.0) + 10 * t for t in range(4)]


class Static:
    """What a StaticGraphTemporalSignal has and does."""

    def __init__(self, edge_index, edge_weight, features, targets):
        self.edge_index, self.edge_weight = edge_index, edge_weight
        self.features, self.targets = features, targets

    def edges(self, time):
        return self.edge_index, self.edge_weight

    def __iter__(self):
        self.t = 0
        return self

    def __next__(self):
        if self.t == len(self.features):
            raise StopIteration
        edges, weight = self.edges(self.t)
        x, y = self.features[self.t], self.targets[self.t]
        self.t += 1
        return Data(
            x=torch.FloatTensor(x),
            edge_index=torch.LongTensor(edges),
            edge_attr=None if weight is None else torch.FloatTensor(weight),
            y=None if y is None else torch.FloatTensor(y),
        )


class Dynamic(Static):
    """What a DynamicGraphTemporalSignal has and does."""

    def __init__(self, edge_indices, edge_weights, features, targets):
        self.edge_indices, self.edge_weights = edge_indices, edge_weights
        self.features, self.targets = features, targets

    def edges(self, time):
        return self.edge_indices[time], self.edge_weights[time]


@pytest.fixture(params=["stand-in", "package"])
def signals(request):
    if request.param == "stand-in":
        return Static, Dynamic
    signal = pytest.importorskip(
        "torch_geometric_temporal.signal",
        reason="needs torch-geometric-temporal (see examples/benchmarks/temporal.py)",
    )
    return signal.StaticGraphTemporalSignal, signal.DynamicGraphTemporalSignal


def test_static_signals_have_static_edges(signals):
    graph = from_signal(signals[0](EDGES, np.array([0.5, 2.0]), VALUES, TARGETS))
    assert graph.edge_index.tolist() == EDGES.tolist()
    assert graph.edge_attr.tolist() == [[0.5], [2.0]]
    assert "edge_time" not in graph
    assert graph.x.transpose(0, 1).tolist() == np.stack(VALUES).tolist()
    assert graph.y.t().tolist() == np.stack(TARGETS).tolist()
    assert graph.mask.all()
    assert graph.validate()


def test_dynamic_signals_have_edges_with_times(signals):
    edges = [EDGES[:, :1], EDGES, EDGES[:, :0], EDGES[:, 1:]]
    weights = [np.full(e.shape[1], float(t)) for t, e in enumerate(edges)]
    graph = from_signal(signals[1](edges, weights, VALUES, TARGETS))
    assert graph.edge_time.tolist() == [0, 1, 1, 3]
    assert graph.edge_index.tolist() == [[0, 0, 1, 1], [1, 1, 2, 2]]
    assert graph.edge_attr.flatten().tolist() == [0, 1, 1, 3]


def test_signals_without_weights_or_targets(signals):
    graph = from_signal(signals[0](EDGES, None, VALUES, [None] * 4))
    assert graph.edge_attr is None
    assert graph.y is None


def test_windows_of_a_signal_forecast_its_features(signals):
    graph = from_signal(signals[0](EDGES, None, VALUES, TARGETS))
    first, second = windows(graph, history=2, horizon=1)
    assert first.y.squeeze(1).tolist() == VALUES[2].tolist()
    assert second.y.squeeze(1).tolist() == VALUES[3].tolist()


def test_bad_signals():
    with pytest.raises(ValueError, match="got HeteroData at frame 0"):
        from_signal([HeteroData()])
    with pytest.raises(ValueError, match="'node_id' is needed where snapshots differ"):
        from_signal(Static(EDGES, None, [*VALUES[:3], np.ones((4, 2))], [None] * 4))
    with pytest.raises(ValueError, match="at least one graph"):
        from_signal(Static(EDGES, None, [], []))
