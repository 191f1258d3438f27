"""The checks of ``pyg_relational.testing`` on layers and models of given edges."""

from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.models import GraphNetwork, GraphRelationNetwork
from pyg_relational.nn import GraphNetworkBlock, GraphRelationConv
from pyg_relational.ops import fully_connected_edges
from pyg_relational.testing import Part
from pyg_relational.testing.naive import pair_value


def edges_of(data: Data) -> list[list[int]]:
    if "edge_index" in data:
        return data.edge_index.t().tolist()
    return fully_connected_edges(ptr=data.ptr).t().tolist()


def naive_conv(conv: GraphRelationConv, data: Data, x: Tensor | None = None) -> Tensor:
    x = data.x if x is None else x
    rows = []
    for i in range(len(x)):
        m = x.new_zeros(conv.out_channels)
        for k, (j, end) in enumerate(edges_of(data)):
            if end == i:
                m = m + conv.lin.weight @ x[j]
                if conv.lin_edge is not None:
                    m = m + conv.lin_edge.weight @ data.edge_attr[k]
        state = x[i] if conv.lin_root is None else conv.lin_root(x[i])
        rows.append(conv.gru(m[None], state[None])[0])
    return torch.stack(rows)


def naive_relation_network(model: GraphRelationNetwork, data: Batch) -> Tensor:
    h = data.x
    if "u" in data:
        h = torch.cat([h, data.u[data.batch]], dim=1)
    h = model.encoder.mlp(h)
    for conv in model.convs:
        h = naive_conv(conv, data, h)
    if model.output == "node":
        return model.readout(h)
    sums = [h[data.batch == s].sum(0) for s in range(data.num_graphs)]
    return model.readout(torch.stack(sums))


def naive_block(
    block: GraphNetworkBlock,
    x: Tensor,
    edges: list,
    edge_attr: Tensor,
    u: Tensor,
    batch: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """A block edge by edge, node by node, graph by graph; sums."""
    said = [
        pair_value(block.edge, x[i], x[j], e, u[batch[i]])
        for (j, i), e in zip(edges, edge_attr, strict=True)
    ]
    zeros = x.new_zeros(block.out_channels)
    nodes = []
    for i in range(len(x)):
        heard = sum(
            (e for e, (_, end) in zip(said, edges, strict=True) if end == i), zeros
        )
        nodes.append(block.node(torch.cat([x[i], heard, u[batch[i]]])[None])[0])
    graphs = []
    for s in range(len(u)):
        own = (e for e, (_, i) in zip(said, edges, strict=True) if batch[i] == s)
        members = (h for h, b in zip(nodes, batch, strict=True) if b == s)
        row = torch.cat([sum(own, zeros), sum(members, zeros), u[s]])
        graphs.append(block.graph(row[None])[0])
    return torch.stack(nodes), torch.stack(said), torch.stack(graphs)


def run_block(block: GraphNetworkBlock, data: Batch) -> Tensor:
    """All three results, as columns of the nodes."""
    x, e, u = block(data.x, data.edge_index, data.edge_attr, data.u, data.batch)
    return join(x, e, u, data)


def join(x: Tensor, e: Tensor, u: Tensor, data: Batch) -> Tensor:
    into = x.new_zeros(len(x), e.size(1)).index_add(0, data.edge_index[1], e)
    return torch.cat([x, into, u[data.batch]], dim=1)


def naive_joined(block: GraphNetworkBlock, data: Batch) -> Tensor:
    arguments = (data.x, edges_of(data), data.edge_attr, data.u, data.batch)
    return join(*naive_block(block, *arguments), data)


def naive_network(model: GraphNetwork, data: Batch) -> Tensor:
    edges, width = edges_of(data), model.hidden_channels
    x = model.encode_node(data.x)
    e = model.encode_edge(data.edge_attr) if model.encode_edge else x[:0]
    u = model.encode_graph(data.u) if model.encode_graph else x[:0]
    state = [x.new_zeros(n, width) for n in (len(x), len(edges), data.num_graphs)]
    given = [x, e if model.encode_edge else None, u if model.encode_graph else None]
    answers = []
    for _ in range(model.steps):
        both = [
            s if g is None else torch.cat([g, s], dim=1)
            for g, s in zip(given, state, strict=True)
        ]
        state = list(naive_block(model.block, both[0], edges, *both[1:], data.batch))
        place = ("node", "edge", "set").index(model.output)
        answers.append(model.head(state[place]))
    return torch.stack(answers, dim=1)


EDGES = partial(Part, edges=True, edge_dim=2)
CONV = partial(Part, output="node", naive=naive_conv)
PARTS = {
    "conv": CONV(lambda: GraphRelationConv(5, 4, edge_dim=2), edges=True, edge_dim=2),
    "conv-same-width": CONV(lambda: GraphRelationConv(5, 5), edges=True),
    "conv-all-pairs": CONV(lambda: GraphRelationConv(5, 4)),
    "block": EDGES(
        lambda: GraphNetworkBlock(5, 4, 6, 2, 3),
        "node",
        u_dim=3,
        naive=naive_joined,
        call=run_block,
        compiles=False,
    ),
    "GraphRelationNetwork": EDGES(
        lambda: GraphRelationNetwork(5, 2, 4, 2, [6], [7], edge_dim=2, u_dim=3),
        "set",
        u_dim=3,
        naive=naive_relation_network,
    ),
    "GraphRelationNetwork-node": Part(
        lambda: GraphRelationNetwork(5, 2, 4, 2, output="node"),
        "node",
        naive=naive_relation_network,
    ),
    "GraphNetwork": EDGES(
        lambda: GraphNetwork(5, 2, 4, 3, [6], edge_dim=2, u_dim=3),
        "node",
        u_dim=3,
        naive=naive_network,
        compiles=False,
    ),
    "GraphNetwork-set": Part(
        lambda: GraphNetwork(5, 2, 4, 2, output="set"),
        "set",
        naive=naive_network,
        compiles=False,
    ),
    "GraphNetwork-edge": EDGES(
        lambda: GraphNetwork(5, 2, 4, 2, output="edge", edge_dim=2),
        "pair",
        naive=naive_network,
        compiles=False,
    ),
}
