"""Networks over edges: steps, outputs and bad input."""

import pytest
import torch
from textbook.graph_tasks import NETWORK, edges_of, naive_network, network
from textbook.graphs import EDGES
from torch_geometric.nn import LSTMAggregation

from pyg_relational.models import GraphNetwork, GraphRelationNetwork
from pyg_relational.nn import GraphNetworkBlock, GraphRelationConv
from pyg_relational.testing import Part

# They go through scatter and softmax, which torch-scatter replaces where installed.
pytestmark = pytest.mark.scatter


def test_all_pairs_are_answered_in_the_order_of_targets() -> None:
    part = NETWORK(lambda: network(output="edge"), "pair")
    module, data = part.module(), part.batch()
    out = module(data.x, batch=data.batch)
    torch.testing.assert_close(out, naive_network(module, data), rtol=1e-9, atol=1e-9)
    listed = module(data.x, edges_of(data), batch=data.batch)
    torch.testing.assert_close(out, listed, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("output", ["node", "edge", "set"])
@pytest.mark.parametrize("model", ["gru", "lstm", "graph"])
def test_last_steps_are_the_end_of_all(model: str, output: str) -> None:
    torch.manual_seed(0)
    if model == "graph":
        module = GraphNetwork(5, 2, 4, 3, [6], output, edge_dim=2, aggr="max").double()
    else:
        module = network(output=output, edge_dim=2, cell=model).double()
    data = Part(lambda: module, "node", edge_dim=2).batch()
    arguments = (data.x, data.edge_index, data.edge_attr)
    every = module(*arguments, batch=data.batch, steps=5)
    few = module(*arguments, batch=data.batch, steps=5, last=2)
    assert torch.equal(few, every[:, 3:])
    assert not torch.equal(every[:, 3], every[:, 4])
    for last in (0, 6):
        with pytest.raises(ValueError, match="'last' must be from 1 to the numb"):
            module(*arguments, batch=data.batch, steps=5, last=last)


def test_edges_in_any_order_are_sorted_for_aggregations_that_need_it() -> None:
    """Those of the contract come sorted by target, and stay as they are."""
    torch.manual_seed(0)
    block = GraphNetworkBlock(5, 4, 6, 2, 3, LSTMAggregation(4, 4)).double()
    data = Part(lambda: block, "node", u_dim=3, edge_dim=2).batch()
    edges, attr = data.edge_index, data.edge_attr
    # The edges of a target keep their order, which this aggregation heeds.
    order = edges[1].argsort(stable=True, descending=True)
    x, e, _ = block(data.x, edges, attr, data.u, data.batch)
    turned = block(data.x, edges[:, order], attr[order], data.u, data.batch)
    torch.testing.assert_close(turned[0], x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(turned[1], e[order], rtol=1e-9, atol=1e-9)


def test_more_steps_go_on_where_fewer_end() -> None:
    module = GraphNetwork(5, 2, 4, steps=2, edge_dim=2).double()
    data = EDGES(lambda: module, "node").batch()
    arguments = (data.x, data.edge_index, data.edge_attr)
    few = module(*arguments, batch=data.batch)
    many = module(*arguments, batch=data.batch, steps=4)
    assert torch.equal(many[:, :2], few)


@pytest.mark.parametrize(
    "build",
    [
        lambda: GraphRelationNetwork(5, 2, output="edge"),
        lambda: GraphNetwork(5, 2, output="pair"),
    ],
)
def test_an_unknown_output_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match="'output' must be one of"):
        build()


def test_bad_input_is_refused() -> None:
    x = torch.randn(3, 5)
    edge_index = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="'num_layers' must be at least 1"):
        GraphRelationNetwork(5, 2, num_layers=0)
    with pytest.raises(ValueError, match="'steps' must be at least 1"):
        GraphNetwork(5, 2, steps=0)
    conv = GraphRelationConv(5, 4, edge_dim=2)
    with pytest.raises(ValueError, match="'edge_attr' is missing"):
        conv(x, edge_index)
    with pytest.raises(ValueError, match="'edge_attr' must have one row"):
        conv(x, edge_index, torch.randn(3, 2))
    with pytest.raises(ValueError, match="'edge_attr' needs 'edge_index'"):
        conv(x, edge_attr=torch.randn(2, 2))
    with pytest.raises(ValueError, match="'x' must have 5 features"):
        conv(x[:, :3], edge_index, torch.randn(2, 2))
    with pytest.raises(ValueError, match="'edge_index' is missing"):
        GraphRelationConv((5, 5), 4)((x, x[:2]))
    with pytest.raises(ValueError, match="'u' must have one row per set"):
        GraphNetwork(5, 2, u_dim=3)(x, edge_index, u=torch.randn(2, 3))


def test_sources_and_targets_may_differ() -> None:
    conv = GraphRelationConv((3, 5), 4)
    source, target = torch.randn(6, 3), torch.randn(2, 5)
    edge_index = torch.tensor([[5, 4, 0], [0, 0, 1]])
    m = torch.stack([conv.lin(source[5] + source[4]), conv.lin(source[0])])
    expected = conv.gru(m, conv.lin_root(target))
    torch.testing.assert_close(conv((source, target), edge_index), expected)


@pytest.mark.parametrize("aggr", ["mean", "max", "median", "softmax", "lstm"])
def test_a_block_takes_any_aggregation(aggr: str) -> None:
    kwargs = {"in_channels": 4, "out_channels": 4} if aggr == "lstm" else {}
    if kwargs:
        block = GraphNetworkBlock(5, 4, 6, 2, 3, LSTMAggregation(**kwargs))
    else:
        block = GraphNetworkBlock(5, 4, 6, 2, 3, aggr)
    part = EDGES(lambda: block, "node", u_dim=3)
    x, e, u = block.double()(
        *(part.batch()[k] for k in ("x", "edge_index", "edge_attr", "u", "batch"))
    )
    assert all(bool(out.isfinite().all()) for out in (x, e, u))
