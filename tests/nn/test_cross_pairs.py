import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.nn.pairwise import cross_pairs


@given(st.lists(st.lists(st.integers(0, 1), max_size=5), min_size=1, max_size=4))
def test_pairs_are_those_across_the_sides_of_each_graph(graphs):
    side = torch.tensor([s for graph in graphs for s in graph], dtype=torch.long)
    owner = [number for number, graph in enumerate(graphs) for _ in graph]
    batch = torch.tensor(owner, dtype=torch.long)
    edges = cross_pairs(side, batch, len(graphs)).t().tolist()
    expected = {
        (j, i)
        for i in range(len(owner))
        for j in range(len(owner))
        if owner[i] == owner[j] and side[i] != side[j]
    }
    assert len(edges) == len(expected)
    assert {tuple(edge) for edge in edges} == expected


def test_one_graph_needs_no_batch():
    edges = cross_pairs(torch.tensor([1, 0, 1]))
    assert sorted(edges.t().tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ([0, 2], r"'side' must be 0 or 1 for each object \(got \[0, 2\]\)"),
        ([0.0, 1.0], r"'side' must be a vector of dtype int64 \(got shape \[2\]"),
    ],
)
def test_other_sides_are_refused(side, message):
    with pytest.raises(ValueError, match=message):
        cross_pairs(torch.tensor(side))


def test_graphs_must_be_sorted():
    with pytest.raises(ValueError, match="'batch' must be sorted"):
        cross_pairs(torch.tensor([0, 1, 0]), torch.tensor([1, 0, 1]))
