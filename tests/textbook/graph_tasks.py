"""The checks of ``pyg_relational.testing`` on recurrent models that answer for edges or
take the largest message."""

from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_relational.models import RecurrentRelationNetwork
from pyg_relational.ops import fully_connected_edges
from pyg_relational.testing import Part, pair_value


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
