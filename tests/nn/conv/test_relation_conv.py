import pytest
import torch
from torch_geometric import EdgeIndex

from pyg_relational.nn import PairwiseMLP, RelationConv
from pyg_relational.ops import fully_connected_edges, ptr_to_batch


def sums() -> PairwiseMLP:
    """A relation that is simply relu(x_i + 2 x_j)."""
    g = PairwiseMLP(1, [1])
    with torch.no_grad():
        g.lin_r.weight.fill_(1.0)
        g.lin_l.weight.fill_(2.0)
        g.lin_r.bias.zero_()
    return g


def literal(conv: RelationConv) -> RelationConv:
    conv.nn.load_state_dict(sums().state_dict())
    return conv


def test_a_literal_set():
    conv = literal(RelationConv(sums()))
    assert str(conv) == "RelationConv(nn=PairwiseMLP((1, 1), [1], act=relu))"
    x = torch.tensor([[1.0], [-1.0], [3.0]])
    # Rows: relu(1 + 2), relu(1 - 2), relu(1 + 6); relu(-1 + 2), 0, 5; 5, 1, 9
    assert conv(x).flatten().tolist() == [10.0, 6.0, 15.0]
    alone = literal(RelationConv(sums(), self_pairs=False))
    assert alone(x).flatten().tolist() == [7.0, 6.0, 6.0]


@pytest.mark.scatter
def test_the_same_whichever_way_the_graph_is_given():
    torch.manual_seed(0)
    conv = RelationConv(PairwiseMLP(4, [8, 3], u_dim=2))
    ptr = torch.tensor([0, 3, 4, 9])
    x, batch, u = torch.randn(9, 4), ptr_to_batch(ptr), torch.randn(3, 2)
    edges = fully_connected_edges(ptr=ptr)
    out = conv(x, u=u, batch=batch)
    torch.testing.assert_close(conv(x, edges, u=u, batch=batch), out)
    index = EdgeIndex(edges, sparse_size=(9, 9), sort_order="col")
    torch.testing.assert_close(conv(x, index, u=u, batch=batch), out)
    shuffled = edges[:, torch.randperm(edges.size(1))]
    torch.testing.assert_close(conv(x, shuffled, u=u, batch=batch), out)


@pytest.mark.scatter
def test_sources_and_targets_may_differ():
    torch.manual_seed(0)
    conv = RelationConv(PairwiseMLP((2, 3), [8, 4], plain_last=True), aggr="mean")
    x_source, x_target = torch.randn(5, 2), torch.randn(3, 3)
    batch = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 1])
    out = conv((x_source, x_target), batch=batch, batch_size=2)
    pairs = [(j, i) for i in range(3) for j in range(5) if batch[0][j] == batch[1][i]]
    edges = torch.tensor(pairs).t()
    torch.testing.assert_close(conv((x_source, x_target), edges), out)


@pytest.mark.scatter
@pytest.mark.parametrize("aggr", ["sum", "mean", "max", "min"])
def test_all_pairs_equal_complete_edges(aggr):
    torch.manual_seed(0)
    ptr = torch.tensor([0, 4, 4, 7])
    x, batch = torch.randn(7, 3), ptr_to_batch(ptr)
    for channels, plain_last in (([6], False), ([6, 2], True), ([6, 5, 2], True)):
        conv = RelationConv(PairwiseMLP(3, channels, plain_last=plain_last), aggr)
        edges = conv(x, fully_connected_edges(ptr=ptr))
        torch.testing.assert_close(conv(x, batch=batch, batch_size=3), edges)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(3, 5)}, "'x' must have 4 features"),
        ({"x": torch.full((3, 4), float("nan"))}, "'x' must be finite"),
        ({"x": torch.zeros(3, 4).long()}, "'x' must be floating point"),
        ({"batch": torch.tensor([1, 0, 1])}, "'batch' must be sorted"),
        ({"batch": torch.tensor([0, 1])}, "each of the 3 rows"),
        ({"edge_attr": torch.zeros(3, 1)}, "'edge_attr' needs 'edge_index'"),
        ({"batch_size": 2}, "'batch' is missing"),
        ({"u": torch.zeros(2, 2)}, "'batch' is missing; 'batch_size=2'"),
        (
            {"u": torch.zeros(2, 2), "batch": torch.tensor([0, 1, 2])},
            "'batch' names set 2, but 'batch_size' is 2",
        ),
        ({"u": None}, "'u' is missing"),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    conv = RelationConv(PairwiseMLP(4, [8, 3], u_dim=2))
    arguments = {"x": torch.zeros(3, 4), "u": torch.zeros(1, 2)} | arguments
    with pytest.raises(ValueError, match=message):
        conv(**arguments)


def test_a_relation_with_edge_features_needs_edges():
    conv = RelationConv(PairwiseMLP(4, [8], edge_dim=2))
    with pytest.raises(ValueError, match="'edge_attr' is missing"):
        conv(torch.zeros(3, 4))
