import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data import TemporalGraph, from_snapshots, to_snapshots


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
