import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_relational.data import TemporalGraph, from_dense_series, to_dense_series

SIZES = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=80, deadline=None)
@given(SIZES, st.integers(0, 99))
def test_graphs_hold_what_is_observed(shape, seed):
    torch.manual_seed(seed)
    mask = torch.rand(shape) < 0.4
    x = torch.randn(*shape, 2).where(mask.unsqueeze(-1), torch.nan)
    graphs = from_dense_series(x, mask)
    assert len(graphs) == shape[0]
    for b, graph in enumerate(graphs):
        assert graph.node_id.tolist() == mask[b].any(0).nonzero().flatten().tolist()
        assert graph.mask.any(1).all()
        assert not graph.mask.numel() or graph.mask[:, -1].any()
        again = torch.full_like(x[b], torch.nan)
        again[: graph.x.size(1), graph.node_id] = graph.x.transpose(0, 1)
        assert torch.equal(again.nan_to_num(9), x[b].nan_to_num(9))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4)
)
def test_padding_and_back(sizes):
    frames, nodes = (max(size[i] for size in sizes) for i in (0, 1))
    mask = torch.zeros(len(sizes), frames, nodes, dtype=torch.bool)
    for b, (t, n) in enumerate(sizes):
        mask[b, :t, :n] = True
    x = torch.randn(*mask.shape, 3) * mask.unsqueeze(-1)
    dense, observed = to_dense_series(Batch.from_data_list(from_dense_series(x, mask)))
    # What is padding in every sample is gone.
    frames, nodes = (int(mask.any(0).any(i).sum()) for i in (1, 0))
    assert torch.equal(dense, x[:, :frames, :nodes])
    assert torch.equal(observed, mask[:, :frames, :nodes])


def test_a_frame_between_others_stays_empty():
    x, mask = torch.ones(1, 4, 2, 1), torch.zeros(1, 4, 2, dtype=torch.bool)
    mask[0, 1, 1] = True
    (graph,) = from_dense_series(x, mask)
    assert graph.mask.tolist() == [[False, True]]
    assert graph.node_id.tolist() == [1]


def test_targets_are_split_too():
    x = torch.arange(12.0).view(2, 3, 2, 1)
    y = torch.tensor([4, 5])
    graphs = from_dense_series(x, y=y, u=torch.ones(2, 7), name=["a", "b"])
    batch = Batch.from_data_list(graphs)
    assert batch.y.tolist() == [4, 5]
    assert batch.u.shape == (2, 7)
    assert batch.name == ["a", "b"]
    # Frame by frame in the dense batch, node by node in the graph.
    assert graphs[1].x.flatten(1).tolist() == [[6, 8, 10], [7, 9, 11]]


def test_one_graph_is_a_batch_of_one():
    graph = TemporalGraph(torch.randn(2, 3, 1))
    x, mask = to_dense_series(graph)
    assert torch.equal(x[0], graph.x.transpose(0, 1))
    assert mask.shape == (1, 3, 2)
    assert mask.all()


def test_graphs_without_nodes_have_a_place():
    graphs = [TemporalGraph(torch.ones(n, 2, 1)) for n in (0, 2, 0)]
    x, mask = to_dense_series(Batch.from_data_list(graphs))
    assert mask.sum((1, 2)).tolist() == [0, 4, 0]
    assert x.sum((1, 2, 3)).tolist() == [0, 4, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.ones(2, 3, 1)}, r"\[B, T, N, F\] \(got \[2, 3, 1\]\)"),
        ({"x": [1.0]}, r"\[B, T, N, F\] \(got list\)"),
        (
            {"x": torch.ones(2, 3, 1, 1), "mask": torch.ones(2, 3, 1)},
            r"'mask' must be boolean of shape \[2, 3, 1\] .*float32",
        ),
        (
            {"x": torch.ones(2, 3, 1, 1), "mask": torch.ones(2, 3).bool()},
            r"'mask' must be boolean of shape \[2, 3, 1\] \(got shape \[2, 3\]",
        ),
        (
            {"x": torch.ones(2, 3, 1, 1), "y": torch.ones(3)},
            r"'y' must have one entry for each of 2 samples \(got 3\)",
        ),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        from_dense_series(**given)


def test_a_graph_without_features_is_refused():
    with pytest.raises(ValueError, match="'batch' must have 'x'"):
        to_dense_series(TemporalGraph(y=torch.ones(1)))
