import pytest
import torch
from torch import Tensor
from torch_geometric.nn import SimpleConv

from pyg_relational.nn import (
    PairwiseMLP,
    RelationAttentionAggregation,
    RelationAttentionConv,
)
from pyg_relational.ops import fully_connected_edges, ptr_to_batch

PTR = torch.tensor([0, 3, 3, 4, 9])
INDEX = ptr_to_batch(PTR)
SCORES = ["additive", "mlp", "dot"]


def make(*args, relation: bool = False, **kwargs) -> RelationAttentionAggregation:
    torch.manual_seed(0)
    g = PairwiseMLP(4, [5, 6], u_dim=kwargs.get("u_dim")) if relation else None
    return RelationAttentionAggregation(4, 3, 2, *args, nn=g, **kwargs).double()


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_repr_and_literal_weights():
    aggr = RelationAttentionAggregation(1, 1)
    with torch.no_grad():
        aggr.attention.score.lin_l.weight.fill_(2.0)
        aggr.attention.score.att_l.fill_(1.0)
        aggr.attention.score.att_r.fill_(0.5)
    # The score of a pair is x_i + 2 x_j, its value 2 x_j; with log 2 and 0 the
    # exponentials of (i, j) are 8, 2; 4, 1: twelve of fifteen hear 2 log 2.
    x = torch.tensor([[2.0], [1.0]]).log()
    expected = torch.tensor([[12 / 15 * 2.0]]) * x[0]
    torch.testing.assert_close(aggr(x), expected)
    out, (edges, alpha) = aggr(x, return_attention_weights=True)
    torch.testing.assert_close(out, expected)
    assert edges.tolist() == [[0, 1, 0, 1], [0, 0, 1, 1]]
    torch.testing.assert_close(15 * alpha.flatten(), torch.tensor([8.0, 2, 4, 1]))
    assert str(aggr) == (
        "RelationAttentionAggregation(RelationAttention((1, 1), 1, heads=1, "
        "score=AdditiveScore((1, 1), 1, heads=1), nn=None))"
    )


@pytest.mark.scatter
@pytest.mark.parametrize("self_pairs", [True, False])
@pytest.mark.parametrize("score", SCORES)
def test_weights_of_all_pairs_of_a_set_sum_to_one(score, self_pairs):
    aggr, x = make(score, self_pairs=self_pairs), normal(9, 4)
    out, (edges, alpha) = aggr(x, INDEX, return_attention_weights=True)
    assert out.shape == (4, 6)
    assert torch.equal(edges, fully_connected_edges(ptr=PTR, self_pairs=self_pairs))
    assert alpha.shape == (edges.size(1), 2)
    assert bool((alpha > 0).all())
    sums = torch.zeros(4, 2).double().index_add(0, INDEX[edges[1]], alpha)
    expected = torch.tensor([1.0, 0.0, float(self_pairs), 1.0]).double()
    torch.testing.assert_close(sums, expected[:, None].expand(-1, 2))
    # Those of an object that is not on its own sum to less.
    rows = torch.zeros(9, 2).double().index_add(0, edges[1], alpha)
    assert bool((rows[INDEX != 2] < 0.999).all())


@pytest.mark.scatter
@pytest.mark.parametrize("self_pairs", [True, False])
@pytest.mark.parametrize("relation", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_listed_pairs_in_any_order_equal_all_pairs(score, relation, self_pairs):
    aggr = make(score, relation=relation, u_dim=2, self_pairs=self_pairs)
    x, u = normal(9, 4), normal(4, 2)
    edges = fully_connected_edges(ptr=PTR, self_pairs=self_pairs)
    edges = edges[:, torch.randperm(edges.size(1))]
    weight, leaves = torch.randn(4, 6).double(), [x, u, *aggr.parameters()]
    results = []
    for arguments in ({}, {"edge_index": edges}, {"return_attention_weights": True}):
        out = aggr(x, INDEX, u=u, **arguments)
        out = out if isinstance(out, Tensor) else out[0]
        results.append([out, *torch.autograd.grad((out * weight).sum(), leaves)])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-10, atol=1e-10)
    for value in results[0]:
        assert bool(value.any())


@pytest.mark.parametrize("relation", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_a_set_without_pairs_gives_zeros(score, relation):
    aggr = make(score, relation=relation, self_pairs=False)
    x = normal(9, 4)
    for arguments in ({}, {"return_attention_weights": True}):
        out = aggr(x, INDEX, dim_size=6, **arguments)
        out = out if isinstance(out, Tensor) else out[0]
        # Set 1 has no object, set 2 one, and sets 4 and 5 are not named.
        assert out.any(dim=1).tolist() == [True, False, False, True, False, False]
        (grad,) = torch.autograd.grad(out.sum(), x)
        assert bool(grad.isfinite().all())
        assert grad.any(dim=1).tolist() == [True] * 3 + [False] + [True] * 5
    edges = torch.tensor([[5, 4], [4, 8]])
    out = aggr(x, INDEX, dim_size=6, edge_index=edges)
    assert out.any(dim=1).tolist() == [False, False, False, True, False, False]
    nothing = aggr(x[:0], ptr=torch.tensor([0, 0, 0]))
    assert nothing.shape == (2, 6)
    assert not nothing.any()


@pytest.mark.parametrize("relation", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_an_object_on_its_own_hears_itself(score, relation):
    """There is one pair, so no score matters."""
    aggr, x = make(score, relation=relation), normal(1, 4)
    attention = aggr.attention
    conv = RelationAttentionConv(4, 3, 2, score, attention.nn, bias=False).double()
    conv.attention = attention
    torch.testing.assert_close(aggr(x), conv(x))
    assert bool(aggr(x).any())


def test_index_and_ptr_agree():
    aggr, x = make("mlp", relation=True), normal(9, 4)
    out = aggr(x, ptr=PTR)
    torch.testing.assert_close(aggr(x, INDEX, dim_size=4), out)
    assert torch.equal(aggr(x, INDEX), out)
    for s in (0, 2, 3):
        alone = aggr(x[PTR[s] : PTR[s + 1]])
        torch.testing.assert_close(alone[0], out[s])


@pytest.mark.parametrize("relation", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_it_is_an_aggregation_of_pyg(score, relation):
    conv, x = SimpleConv(aggr=make(score, relation=relation)), normal(5, 4)
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 0, 2, 2]])
    out = conv(x, edge_index)
    assert out.shape == (5, 6)
    torch.testing.assert_close(out[0], conv.aggr_module(x[:3])[0])
    torch.testing.assert_close(out[2], conv.aggr_module(x[3:])[0])
    assert not out[[1, 3, 4]].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(4, 2)}, "'x' must have 4 features"),
        ({"x": torch.full((4, 4), float("inf"))}, "'x' must be finite"),
        ({"x": torch.zeros(4, 4).long()}, "'x' must be floating point"),
        ({"u": None}, "'u' is missing"),
        ({"u": torch.zeros(2, 3)}, "'u' must have 2 features"),
        (
            {"u": torch.zeros(3, 2)},
            r"'u' must have one row per set \(got 3 rows for 2 sets\)",
        ),
        ({"u": torch.zeros(1, 2)}, "'u' must have one row per set .got 1 rows"),
        ({"index": None}, r"'u' must have one row per set \(got 2 rows for 1 sets\)"),
        ({"edge_attr": torch.zeros(2, 2)}, "'edge_attr' needs 'edge_index'"),
        (
            {"edge_attr": torch.zeros(1, 3), "edge_index": torch.zeros(2, 1).long()},
            "'edge_attr' was given .*pass 'edge_dim=3'",
        ),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    aggr = RelationAttentionAggregation(4, 3, u_dim=2)
    usual = {
        "x": torch.zeros(4, 4),
        "index": torch.tensor([0, 0, 1, 1]),
        "u": torch.zeros(2, 2),
    }
    with pytest.raises(ValueError, match=message):
        aggr(**(usual | arguments))


@pytest.mark.parametrize("relation", [False, True])
def test_edge_features_need_edges(relation):
    g = PairwiseMLP(4, [6], edge_dim=2) if relation else None
    aggr = RelationAttentionAggregation(4, 3, 2, nn=g, edge_dim=2)
    edges = torch.tensor([[0, 1], [1, 0]])
    for arguments in ({}, {"return_attention_weights": True}, {"edge_index": edges}):
        with pytest.raises(ValueError, match=r"'edge_attr' is missing.*'edge_dim=2'"):
            aggr(torch.zeros(3, 4), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "dots"}, r"'score' must be .*did you mean 'dot'"),
        ({"heads": 0}, "'heads' must be at least 1"),
        ({"nn": PairwiseMLP(4, [5])}, r"'nn' must have 'out_channels=6'.*got 5"),
        ({"nn": PairwiseMLP(4, [6]), "u_dim": 2}, "'nn' must have 'u_dim=2'"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        RelationAttentionAggregation(4, 3, **{"heads": 2, **options})
