import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data, HeteroData

from pyg_relational.data import (
    TemporalGraph,
    from_networkx_snapshots,
    from_signal,
    from_snapshots,
    to_snapshots,
    windows,
)


def snapshot(ids, edges=(), name="node_id", **further):
    """A snapshot whose features and edge features tell where they come from."""
    ids = torch.tensor(ids, dtype=torch.long)
    index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    attr = 100.0 * ids[index[0]] + ids[index[1]]
    x = torch.stack([ids.float(), torch.ones(ids.numel())], dim=1)
    return Data(
        x=x, edge_index=index, edge_attr=attr.unsqueeze(1), **{name: ids}, **further
    )


@st.composite
def frames_of_ids(draw):
    """For each frame the ids in it, in any order, and edges between their places."""
    frames = []
    for _ in range(draw(st.integers(1, 4))):
        ids = draw(st.lists(st.integers(3, 9), unique=True, max_size=4))
        ends = st.tuples(*[st.integers(0, max(len(ids) - 1, 0))] * 2)
        frames.append((ids, draw(st.lists(ends, max_size=5)) if ids else []))
    return frames


@settings(max_examples=80, deadline=None)
@given(frames_of_ids(), st.sampled_from(["node_id", "n_id"]))
def test_nodes_are_matched_by_id(frames, name):
    graph = from_snapshots([snapshot(*frame, name=name) for frame in frames])
    known = sorted({i for ids, _ in frames for i in ids})
    assert graph.node_id.tolist() == known
    assert graph.mask.tolist() == [[i in ids for ids, _ in frames] for i in known]
    present = torch.stack([graph.node_id.float(), torch.ones(len(known))], dim=1)
    expected = present.unsqueeze(1) * graph.mask.unsqueeze(-1)
    assert torch.equal(graph.x, expected)
    listed = [
        (t, ids[a], ids[b]) for t, (ids, edges) in enumerate(frames) for a, b in edges
    ]
    ends = graph.node_id[graph.edge_index].t().tolist()
    times = graph.edge_time.tolist()
    assert [(t, *pair) for t, pair in zip(times, ends, strict=True)] == listed
    assert graph.edge_attr.flatten().tolist() == [100.0 * a + b for _, a, b in listed]


@settings(max_examples=60, deadline=None)
@given(frames_of_ids())
def test_snapshots_and_back(frames):
    times = torch.arange(len(frames)) * 5
    graph = from_snapshots([snapshot(*frame) for frame in frames], times)
    cut = to_snapshots(graph)
    for made, (ids, edges) in zip(cut, frames, strict=True):
        expected = snapshot(sorted(ids))
        assert torch.equal(made.x, expected.x)
        assert torch.equal(made.node_id, expected.node_id)
        assert made.frame_time.numel() == 1
        ends = [(ids[a], ids[b]) for a, b in edges]
        assert made.node_id[made.edge_index].t().tolist() == [[*pair] for pair in ends]
        assert made.edge_attr.flatten().tolist() == [100.0 * a + b for a, b in ends]
        assert "edge_time" not in made
    again = from_snapshots(cut, [int(made.frame_time) for made in cut])
    for name, value in graph:
        assert torch.equal(again[name], value), name


def test_without_ids_the_order_of_nodes_is_fixed():
    x = torch.arange(6.0).view(3, 2, 1)
    graph = from_snapshots([Data(x=x[t], edge_weight=None) for t in range(3)])
    assert torch.equal(graph.x, x.transpose(0, 1))
    assert graph.mask.all()
    assert graph.node_id.tolist() == [0, 1]
    assert graph.edge_index is None


def test_empty_frames():
    nothing = [Data(), Data(x=torch.empty(0, 2)), Data(num_nodes=0)]
    for empty in nothing:
        ids = {} if "x" not in empty else {"node_id": torch.empty(0).long()}
        for name, value in ids.items():
            empty[name] = value
            empty.edge_index = torch.empty(2, 0).long()
            empty.edge_attr = torch.empty(0, 1)
        graph = from_snapshots([snapshot([4], [(0, 0)]), empty, snapshot([4, 2])])
        assert graph.mask.tolist() == [[False, False, True], [True, False, True]]
        assert graph.edge_time.tolist() == [0]
    cut = to_snapshots(graph)
    assert [made.num_nodes for made in cut] == [1, 0, 2]
    assert cut[1].edge_index.shape == (2, 0)


def test_empty_frames_need_no_ids():
    x = torch.ones(2, 1)
    graph = from_snapshots([Data(x=x), Data(x=x[:0]), Data(x=x)])
    assert graph.mask.tolist() == [[True, False, True]] * 2
    nobody = from_snapshots([Data(x=x[:0])] * 3)
    assert nobody.x.shape == (0, 3, 1)
    with pytest.raises(ValueError, match="got node 0 of 0 at frame 1"):
        from_snapshots([Data(x=x), Data(x=x[:0], edge_index=torch.zeros(2, 1).long())])


def test_frames_without_edges_need_no_width():
    bare = snapshot([1, 2])
    bare.edge_attr = torch.empty(0, 0)
    graph = from_snapshots([bare, snapshot([1, 2], [(0, 1)]), bare])
    assert graph.edge_attr.tolist() == [[102.0]]


def test_weights_are_features_of_edges():
    made = [snapshot([0, 1], [(0, 1)]) for _ in range(2)]
    for part in made:
        del part.edge_attr
        part.edge_weight = torch.tensor([0.5])
    assert from_snapshots(made).edge_attr.tolist() == [[0.5], [0.5]]


def test_targets_of_nodes_are_read():
    made = [snapshot([5, 3], y=torch.tensor([50, 30])), snapshot([3], y=torch.ones(1))]
    graph = from_snapshots(iter(made))
    assert graph.y.tolist() == [[30, 1], [50, 0]]
    cut = to_snapshots(graph, split=["y"])
    assert [part.y.tolist() for part in cut] == [[30, 50], [1]]
    assert "y" not in to_snapshots(graph)[0]
    whole = [snapshot([5, 3], y=torch.ones(1, 4)), snapshot([3], y=torch.ones(1, 4))]
    assert "y" not in from_snapshots(whole)


def test_static_edges_and_attributes_of_nodes_are_cut():
    mask = torch.tensor([[True, True], [True, False], [False, True]])
    graph = TemporalGraph(
        torch.arange(6.0).view(3, 2, 1),
        mask,
        edge_index=torch.tensor([[0, 1, 2], [1, 0, 0]]),
        edge_attr=torch.tensor([[1.0], [2.0], [3.0]]),
        height=torch.tensor([10, 11, 12]),
        node_names=["a", "b", "c"],
        u=torch.ones(1, 5),
    )
    first, second = to_snapshots(graph)
    assert first.edge_index.tolist() == [[0, 1], [1, 0]]
    assert second.edge_index.tolist() == [[1], [0]]
    assert second.edge_attr.tolist() == [[3.0]]
    assert second.x.flatten().tolist() == [1.0, 5.0]
    assert second.height.tolist() == [10, 12]
    assert second.node_names == ["a", "c"]
    assert "u" not in second


PAIR = [snapshot([0, 1], [(0, 1)]), snapshot([0, 1], [(1, 0)])]


def changed(number, **attributes):
    made = [part.clone() for part in PAIR]
    for name, value in attributes.items():
        made[number][name] = value
    return made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one graph .got none"),
        ([Data()], "a graph with 'x' .got none"),
        ([PAIR[0], 3], "'snapshots' must be of .*got int at frame 1"),
        (changed(1, x=None), r"'x' must have shape \[N, F\].*got none at frame 1"),
        (changed(1, x=torch.ones(2)), r"got shape \[2\] at frame 1"),
        (changed(1, x=torch.ones(2, 5)), r"'x' must be as wide.*\[2\] and of \[5\]"),
        (
            changed(0, edge_index=torch.ones(3, 1)),
            r"'edge_index' .*\[3, 1\] at frame 0",
        ),
        (changed(1, edge_index=torch.tensor([[0], [2]])), "got node 2 of 2 at frame 1"),
        (changed(1, edge_index=torch.tensor([[-1], [1]])), "got node -1 of 2 at fr"),
        (changed(1, edge_index=None), "'edge_index' must be in all .*none at frame 1"),
        (changed(0, edge_attr=None), "'edge_attr' must be in all .*none at frame 0"),
        (changed(0, edge_attr=torch.ones(1, 3)), "'edge_attr' must be as wide in all"),
        (changed(1, edge_attr=torch.ones(4, 1)), "each of 1 edges .got 4 at frame 1"),
        (changed(1, node_id=None), "'node_id' must be in all .*none at frame 1"),
        (
            changed(1, node_id=torch.arange(3)),
            r"one id for each of 2 nodes \(got shape",
        ),
        (
            changed(1, node_id=torch.tensor([7, 7])),
            "'node_id' must not repeat in a frame .got id 7 2 times at frame 1",
        ),
        (
            [Data(x=torch.ones(2, 1)), Data(x=torch.ones(3, 1))],
            "'node_id' is needed .*got 2 at frame 0 and 3 at frame 1",
        ),
    ],
)
def test_bad_snapshots(given, message):
    with pytest.raises(ValueError, match=message):
        from_snapshots(given)


def test_frames_out_of_order():
    with pytest.raises(
        ValueError, match=r"frames out of order.*3.0 at frame 1 after 5"
    ):
        from_snapshots(PAIR, [5.0, 3.0])
    with pytest.raises(ValueError, match=r"frames out of order.*at frame 1 after 5"):
        from_snapshots(PAIR, torch.tensor([5, 5]))
    with pytest.raises(ValueError, match=r"one entry for each of 2 frames \(got shape"):
        from_snapshots(PAIR, [1])
    assert from_snapshots(PAIR, [3, 8]).frame_time.tolist() == [3, 8]


def test_bad_graphs_to_cut():
    graph = from_snapshots(PAIR)
    with pytest.raises(ValueError, match=r"got a batch\); use 'batch.to_data_list"):
        to_snapshots(Batch.from_data_list([graph]))
    with pytest.raises(ValueError, match="'graph' must have 'x'"):
        to_snapshots(TemporalGraph())
    with pytest.raises(ValueError, match=r"'y' must have shape.*\[2, 2\].*got None"):
        to_snapshots(graph, split=["y"])
    graph.y = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"'y' must have shape.*got \[2, 3\]"):
        to_snapshots(graph, split=["y"])


def frame(nodes, edges=(), kind=nx.Graph):
    graph = kind()
    for name, x in nodes.items():
        graph.add_node(name, x=x, colour=[0.0, 1.0])
    for source, target, weight in edges:
        graph.add_edge(source, target, weight=weight)
    return graph


FRAMES = [
    frame({"ann": 1, ("b", 2): 2}, [("ann", ("b", 2), 0.5)]),
    nx.Graph(),
    frame({7: 3, "ann": 4}, [(7, "ann", 1.5), (7, 7, 2.5)]),
]


def test_nodes_come_and_go_by_name():
    graph = from_networkx_snapshots(FRAMES, ["x", "colour"], ["weight"], [0, 5, 6])
    assert graph.node_names == ["ann", ("b", 2), 7]
    assert graph.node_id.tolist() == [0, 1, 2]
    assert graph.mask.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert graph.x[..., 0].tolist() == [[1, 0, 4], [2, 0, 0], [0, 0, 3]]
    assert graph.x[2, 2].tolist() == [3, 0, 1]
    assert graph.x.dtype == torch.get_default_dtype()
    assert graph.frame_time.tolist() == [0, 5, 6]
    edges = zip(graph.edge_time.tolist(), graph.edge_index.t().tolist(), strict=True)
    assert [(time, *pair) for time, pair in edges] == [
        (0, 0, 1),
        (0, 1, 0),
        (2, 2, 0),
        (2, 0, 2),
        (2, 2, 2),
    ]
    assert graph.edge_attr.flatten().tolist() == [0.5, 0.5, 1.5, 1.5, 2.5]
    assert Batch.from_data_list([graph, graph])[1].node_names == graph.node_names
    assert graph.subgraph(torch.tensor([2])).node_names == [7]


def test_directions_and_parallel_edges_are_kept():
    nodes = {"a": 1.0, "b": 2.0}
    way = [("b", "a", 1.0)]
    directed = from_networkx_snapshots([frame(nodes, way, nx.DiGraph)], ["x"])
    assert directed.edge_index.tolist() == [[1], [0]]
    assert "edge_attr" not in directed
    many = frame(nodes, [*way, *way], nx.MultiDiGraph)
    assert from_networkx_snapshots([many], ["x"]).edge_index.tolist() == [
        [1, 1],
        [0, 0],
    ]


def test_nodes_without_attributes_or_edges():
    graph = from_networkx_snapshots([frame({"a": 1})], [], ["weight"])
    assert graph.x.shape == (1, 1, 0)
    assert graph.edge_index.shape == (2, 0)
    assert graph.mask.all()


@pytest.mark.parametrize(
    ("graphs", "attrs", "message"),
    [
        ([nx.Graph()], ["x"], "a graph with nodes .got none"),
        ([], ["x"], "a graph with nodes .got none"),
        (
            FRAMES,
            ["height"],
            "node 'ann' of frame 0 must have the attribute 'height' .got 'x', 'colour'",
        ),
        ([frame({"a": "red"})], ["x"], "'x' of node 'a' of frame 0 .*got 'red'"),
        ([frame({"a": {}})], ["x"], "'x' of node 'a' of frame 0 must be a number"),
        ([frame({"a": 1, "b": np.ones(2)})], ["x"], "'node_attrs' .*1 and 2 numbers"),
        ([frame({"a": 1}), frame({"a": [1, 2]})], ["x"], "'x' must be as wide in all"),
    ],
)
def test_bad_graphs(graphs, attrs, message):
    with pytest.raises(ValueError, match=message):
        from_networkx_snapshots(graphs, attrs)


def test_bad_edges_and_times():
    with pytest.raises(ValueError, match=r"edge \('ann', \('b', 2\)\) of frame 0 must"):
        from_networkx_snapshots(FRAMES, ["x"], ["length"])
    with pytest.raises(ValueError, match="frames out of order"):
        from_networkx_snapshots(FRAMES, ["x"], times=[0, 2, 1])


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
