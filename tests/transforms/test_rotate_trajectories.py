import math

import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.transforms import RotateTrajectories


def graph(nodes, frames, generator):
    x = torch.randn(nodes, frames, 4, generator=generator, dtype=torch.double)
    mask = torch.rand(nodes, frames, generator=generator) < 0.7
    y = torch.randn(nodes, 3, 2, generator=generator, dtype=torch.double)
    return TemporalGraph(x, mask, y=y, y_mask=mask[:, :1].expand(-1, 3).contiguous())


def turn_of(before, after):
    """The angle by which the first pair of `before` was turned."""
    (a, b), (c, d) = before.view(-1, 2)[0].tolist(), after.view(-1, 2)[0].tolist()
    return math.atan2(d, c) - math.atan2(b, a)


@given_by(st.integers(0, 2**31), st.lists(st.integers(1, 5), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_each_graph_is_turned_as_a_whole(seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    graphs = [graph(1 + n % 3, n, generator) for n in lengths]
    batch = Batch.from_data_list(graphs)
    turned = RotateTrajectories()(batch).to_data_list()
    angles = []
    for before, after in zip(graphs, turned, strict=True):
        angle = turn_of(before.y, after.y)
        angles.append(angle % (2 * math.pi))
        cos, sin = math.cos(angle), math.sin(angle)
        rotation = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.double)
        for name in ("x", "y"):
            pairs = before[name].unflatten(-1, (-1, 2))
            expected = torch.einsum("ij,ntkj->ntki", rotation, pairs).flatten(-2)
            torch.testing.assert_close(after[name], expected)
        assert after.mask.equal(before.mask)
        assert after.y_mask.equal(before.y_mask)
        assert after.node_id.equal(before.node_id)
    assert len({round(angle, 9) for angle in angles}) == len(graphs)


def test_all_angles_are_as_likely():
    torch.manual_seed(0)
    x = torch.tensor([[[1.0, 0.0]]])
    batch = Batch.from_data_list([TemporalGraph(x)] * 4000)
    turned = RotateTrajectories()(batch).x[:, 0]
    counts = torch.histc(torch.atan2(turned[:, 1], turned[:, 0]), 8, -math.pi, math.pi)
    assert (counts / 500 - 1).abs().max() < 0.15


def test_single_graphs_and_their_originals():
    single = graph(3, 4, torch.Generator().manual_seed(0))
    x, y = single.x.clone(), single.y.clone()
    turned = RotateTrajectories()(single)
    assert single.x.equal(x)
    assert single.y.equal(y)
    assert not turned.x.isclose(x).any()
    # Distances stay.
    torch.testing.assert_close(turned.x[..., :2].norm(dim=-1), x[..., :2].norm(dim=-1))
    without = RotateTrajectories()(TemporalGraph(x))
    assert "y" not in without


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(y=torch.zeros(2, 2)), "'x' must be there to be turned .*got y"),
        (TemporalGraph(torch.zeros(2, 3, 3)), r"'x' must hold pairs .*got \[2, 3, 3\]"),
        (
            TemporalGraph(torch.zeros(2, 3, 2), y=torch.zeros(1, 2)),
            r"'y' must hold pairs of coordinates for each of 2 nodes \(got \[1, 2\]",
        ),
        (
            TemporalGraph(torch.zeros(2, 3, 2), y=torch.zeros(2, dtype=torch.long)),
            "'y' must hold pairs .*int64",
        ),
    ],
)
def test_wrong_data_is_explained(data, message):
    with pytest.raises(ValueError, match=message):
        RotateTrajectories()(data)
    assert str(RotateTrajectories()) == "RotateTrajectories()"
