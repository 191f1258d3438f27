import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import SimpleConv

from pyg_relational.nn import PairwiseMLP, RelationAggregation
from pyg_relational.ops import fully_connected_edges, ptr_to_batch


def make(reduce: str = "sum", **kwargs) -> RelationAggregation:
    torch.manual_seed(0)
    return RelationAggregation(PairwiseMLP(3, [6, 4], **kwargs), reduce)


def test_repr_and_literal_total():
    aggr = RelationAggregation(PairwiseMLP(1, [1]))
    assert str(aggr) == "RelationAggregation(nn=PairwiseMLP((1, 1), [1], act=relu))"
    with torch.no_grad():
        aggr.nn.lin_r.weight.fill_(1.0)
        aggr.nn.lin_l.weight.fill_(2.0)
        aggr.nn.lin_r.bias.zero_()
    x = torch.tensor([[1.0], [-1.0], [3.0], [2.0]])
    index = torch.tensor([0, 0, 0, 2])
    # First set: rows 10, 6, 15; second: empty; third: relu(2 + 4)
    assert aggr(x, index).flatten().tolist() == [31.0, 0.0, 6.0]


@pytest.mark.parametrize("plain_last", [False, True])
def test_index_and_ptr_agree(plain_last):
    aggr = make(plain_last=plain_last)
    ptr = torch.tensor([0, 4, 4, 7])
    x = torch.randn(7, 3)
    out = aggr(x, ptr=ptr)
    torch.testing.assert_close(aggr(x, ptr_to_batch(ptr), dim_size=3), out)
    for s in range(3):
        alone = aggr(x[ptr[s] : ptr[s + 1]], ptr=torch.tensor([0, ptr[s + 1] - ptr[s]]))
        torch.testing.assert_close(alone[0], out[s])


def test_it_is_an_aggregation_of_pyg():
    conv = SimpleConv(aggr=make())
    x = torch.randn(5, 3)
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 0, 2, 2]])
    out = conv(x, edge_index)
    assert out.shape == (5, 4)
    torch.testing.assert_close(out[0], conv.aggr_module(x[:3])[0])
    torch.testing.assert_close(out[2], conv.aggr_module(x[3:])[0])
    assert not out[1].any()


@pytest.mark.scatter
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_questions_share_their_scene(edges, reduce):
    aggr = make(reduce, u_dim=2, edge_dim=5 if edges else None)
    scenes = []
    for size, questions in ((3, 2), (4, 0), (1, 3)):
        data = Data(x=torch.randn(size, 3), u=torch.randn(questions, 2))
        if edges:
            data.edge_index = fully_connected_edges(ptr=torch.tensor([0, size]))
            data.edge_attr = torch.randn(size**2, 5)
        scenes.append(data)
    loader = DataLoader(scenes, batch_size=3, follow_batch=["u"])
    batch = next(iter(loader))
    out = aggr(
        batch.x,
        batch.batch,
        u=batch.u,
        u_batch=batch.u_batch,
        edge_index=batch.edge_index,
        edge_attr=batch.edge_attr,
    )
    expected = [
        aggr(s.x, u=u[None], edge_index=s.edge_index, edge_attr=s.edge_attr)
        for s in scenes
        for u in s.u
    ]
    torch.testing.assert_close(out, torch.cat(expected))


@pytest.mark.scatter
def test_edges_in_any_order_equal_all_pairs():
    aggr = make(u_dim=2)
    batch = Batch.from_data_list([Data(x=torch.randn(n, 3)) for n in (3, 2)])
    edges = fully_connected_edges(ptr=batch.ptr)
    edges = edges[:, torch.randperm(edges.size(1))]
    u, u_batch = torch.randn(3, 2), torch.tensor([1, 0, 1])
    run = {"u": u, "u_batch": u_batch}
    out = aggr(batch.x, batch.batch, **run)
    given = aggr(batch.x, batch.batch, edge_index=edges, **run)
    torch.testing.assert_close(given, out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(4, 2)}, "'x' must have 3 features"),
        ({"u": torch.zeros(3, 2)}, "'u' must have one row per set .*u_batch"),
        ({"u": None}, "'u' is missing"),
        ({"u_batch": torch.tensor([0])}, "1 entries for 2 rows"),
        ({"u_batch": torch.tensor([0, 2])}, "'u_batch' must name sets 0 to 1"),
        ({"edge_attr": torch.zeros(2, 2)}, "'edge_attr' needs 'edge_index'"),
        ({"x": torch.full((4, 3), float("inf"))}, "'x' must be finite"),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    aggr = make(u_dim=2)
    usual = {
        "x": torch.zeros(4, 3),
        "index": torch.tensor([0, 0, 1, 1]),
        "u": torch.zeros(2, 2),
    }
    with pytest.raises(ValueError, match=message):
        aggr(**(usual | arguments))
