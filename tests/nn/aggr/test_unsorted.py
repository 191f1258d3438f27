"""Aggregations take rows whose sets are scattered, as convolutions leave them."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, GIN, GraphSAGE

from pyg_relational.nn import (
    PairwiseMLP,
    RelationAggregation,
    RelationAttentionAggregation,
    StepAttention,
)

AGGREGATIONS = {
    "relation": lambda: RelationAggregation(PairwiseMLP(4, [6, 4], plain_last=True)),
    "attention": lambda: RelationAttentionAggregation(4, 2, 2),
    "steps": lambda: StepAttention(4),
}


@pytest.fixture(params=AGGREGATIONS)
def aggr(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return AGGREGATIONS[request.param]().double()


def test_the_order_of_rows_does_not_matter(aggr: nn.Module) -> None:
    x = torch.randn(7, 4, dtype=torch.float64)
    index = torch.tensor([0, 0, 0, 2, 2, 3, 3])
    order = torch.tensor([5, 0, 3, 6, 1, 4, 2])
    mixed = aggr(x[order], index[order], dim_size=5)
    torch.testing.assert_close(mixed, aggr(x, index, dim_size=5))


@pytest.mark.parametrize("name", ["attention", "steps"])
def test_weights_belong_to_the_rows_as_given(name: str) -> None:
    torch.manual_seed(0)
    aggr = AGGREGATIONS[name]().double()
    x = torch.randn(5, 4, dtype=torch.float64)
    index = torch.tensor([0, 0, 1, 1, 1])
    order = torch.tensor([3, 0, 4, 1, 2])
    _, (pairs, alpha) = aggr(x, index, return_attention_weights=True)
    _, (moved, beta) = aggr(x[order], index[order], return_attention_weights=True)

    def dense(pairs: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        out = alpha.new_zeros(5, 5, *alpha.shape[1:])
        return out.index_put((pairs[0], pairs[1]), alpha)

    expected = dense(pairs, alpha)[order]
    expected = expected[:, order] if name == "attention" else expected
    torch.testing.assert_close(dense(moved, beta), expected)


def test_given_pairs_are_those_of_the_rows_as_given() -> None:
    aggr = RelationAggregation(PairwiseMLP(4, [6, 4])).double()
    x = torch.randn(4, 4, dtype=torch.float64)
    index = torch.tensor([1, 0, 1, 0])
    pairs = torch.tensor([[0, 1], [2, 3]])
    out = aggr(x, index, edge_index=pairs)
    expected = torch.stack([aggr.nn(x[3:4], x[1:2])[0], aggr.nn(x[2:3], x[0:1])[0]])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("model", [GCN, GIN, GraphSAGE])
def test_pyg_models_take_it_with_edges_in_any_order(
    aggr: nn.Module, model: type
) -> None:
    net = model(4, 4, 2, aggr=aggr, act="tanh").double()
    x = torch.randn(9, 4, dtype=torch.float64)
    edge_index = torch.randint(0, 9, (2, 30))
    order = torch.randperm(30)
    out = net(x, edge_index)
    torch.testing.assert_close(net(x, edge_index[:, order]), out)
    assert not torch.allclose(net(x, edge_index[:, :15]), out)
