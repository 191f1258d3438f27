"""The checks of ``pyg_relational.testing`` on recurrent models that answer for edges or
take the largest message."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn import LSTMAggregation

from pyg_relational.models import GraphNetwork, RecurrentRelationNetwork
from pyg_relational.nn import GraphNetworkBlock
from pyg_relational.ops import fully_connected_edges
from pyg_relational.testing import CHECKS, Part, pair_value

pytestmark = pytest.mark.scatter


def edges_of(data: Batch) -> Tensor:
    if "edge_index" in data:
        return data.edge_index
    return fully_connected_edges(ptr=data.ptr)


def naive_network(module: RecurrentRelationNetwork, data: Batch) -> Tensor:
    """Message by message; a node without neighbours hears zeros."""
    attr = data.edge_attr if "edge_index" in data else None
    edges = edges_of(data).t().tolist()
    z = [module.lin_state(module.encoder.mlp(row[None]))[0] for row in data.x]
    cell, h, steps = module.unroll.cell, z, []
    for _ in range(module.steps):
        heard: list[list[Tensor]] = [[] for _ in h]
        for k, (j, i) in enumerate(edges):
            said = pair_value(
                cell.conv.nn, h[i], h[j], None if attr is None else attr[k]
            )
            heard[i].append(said)
        zeros = data.x.new_zeros(cell.conv.nn.out_channels)
        m = [torch.stack(rows).amax(dim=0) if rows else zeros for rows in heard]
        h = [
            cell.cell(torch.cat([z[i], m[i]])[None], h[i][None])[0]
            for i in range(len(h))
        ]
        rows = h
        if module.output == "edge":
            rows = [torch.cat([h[i], h[j]]) for j, i in edges]
        steps.append(torch.stack([module.head(row[None])[0] for row in rows]))
    return torch.stack(steps, dim=1)


def network(**kwargs: object) -> RecurrentRelationNetwork:
    options = {"steps": 2, "cell": "gru", "aggr": "max", **kwargs}
    return RecurrentRelationNetwork(5, 3, 4, [6, 6], [7], [8], **options)


NETWORK = partial(Part, naive=naive_network)
PARTS = {
    "max": NETWORK(network, "node"),
    "max-edges": NETWORK(lambda: network(edge_dim=2), "node", edge_dim=2),
    "edge": NETWORK(lambda: network(output="edge", edge_dim=2), "pair", edge_dim=2),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("part", PARTS)
def test_contract(part: str, check: str) -> None:
    CHECKS[check](PARTS[part])


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
    """Those of the checks above come sorted by target, and stay as they are."""
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
