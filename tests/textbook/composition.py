"""The checks of ``pyg_relational.testing`` on networks that answer for pairs of nodes
which edges do not join."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from pyg_relational.models import GraphAttentionNetwork, RelationCompositionNetwork
from pyg_relational.nn import RelationCompositionCell
from pyg_relational.testing import Part
from pyg_relational.testing.contract import random_sets
from pyg_relational.testing.naive import pair_value

NUM_RELATIONS = 3


def composed(
    cell: RelationCompositionCell,
    given: dict[tuple[int, int], Tensor],
    nodes: list[int],
    steps: int,
) -> dict[tuple[int, int], Tensor]:
    """What is known of the pairs of one graph, pair by pair."""
    state = {pair: (p, p.new_zeros(())) for pair, p in given.items()}
    for _ in range(steps):
        after = {pair: (p, p.new_zeros(())) for pair, p in given.items()}
        for i in nodes:
            for j in nodes:
                if i == j or (i, j) in given:
                    continue
                said, trust = [], []
                for k in nodes:
                    if k in (i, j) or (i, k) not in state or (k, j) not in state:
                        continue
                    (p, c), (q, d) = state[i, k], state[k, j]
                    out = pair_value(cell.nn, p, q)
                    m = out[:-1].exp() / out[:-1].exp().sum()
                    doubt = -(m * m.log()).sum() * cell.entropy_weight
                    said.append(m)
                    trust.append(out[-1].sigmoid().log() - doubt + c + d)
                if said:
                    c = torch.stack(trust)
                    alpha = c.exp() / c.exp().sum()
                    p = alpha @ torch.stack(said)
                    after[i, j] = (p, alpha @ c)
        state = after
    return {pair: p for pair, (p, _) in state.items()}


def relations_of(data: Batch) -> Tensor:
    """A distribution for each edge, from all features there are."""
    return (data.edge_attr + data.x[data.edge_index[1]]).softmax(dim=1)


def make_graphs(sizes: tuple[int, ...], seed: int) -> Batch:
    """Chains of nodes; from the third one an edge leads back to the first."""
    generator = torch.Generator().manual_seed(seed)
    graphs = random_sets(sizes, NUM_RELATIONS, seed=seed).to_data_list()
    for graph, size in zip(graphs, sizes, strict=True):
        edges = [(k, k + 1) for k in range(size - 1)] + [(2, 0)] * (size > 2)
        graph.edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
        shape = (len(edges), NUM_RELATIONS)
        graph.edge_attr = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Batch.from_data_list(graphs)


def asked(data: Batch) -> Tensor:
    """For each edge, the pair from the first node of its graph's edges to its end."""
    edges = data.edge_index.clone()
    for s in range(data.num_graphs):
        mine = data.batch[edges[1]] == s
        edges[0, mine] = data.edge_index[0, mine][:1].expand(int(mine.sum()))
    return edges


def run_composition(model: RelationCompositionNetwork, data: Batch) -> Tensor:
    edges = (data.edge_index, relations_of(data), asked(data))
    return model(data.x, *edges, data.batch, data.num_graphs)


def naive_composition(model: RelationCompositionNetwork, data: Batch) -> Tensor:
    relations = relations_of(data)
    known: dict[tuple[int, int], Tensor] = {}
    for s in range(data.num_graphs):
        nodes = (data.batch == s).nonzero()[:, 0].tolist()
        given = {
            (j, i): relations[k]
            for k, (j, i) in enumerate(data.edge_index.t().tolist())
            if i in nodes
        }
        known |= composed(model.cell, given, nodes, model.steps)
    nothing = relations.new_zeros(NUM_RELATIONS)
    rows = [known.get((j, i), nothing) for j, i in asked(data).t().tolist()]
    tiny = torch.finfo(relations.dtype).eps
    return (torch.stack(rows) + tiny).log()


def run_attention(model: GraphAttentionNetwork, data: Batch) -> Tensor:
    return model(data.x, data.edge_index, data.edge_attr, asked(data))


def naive_attention(model: GraphAttentionNetwork, data: Batch) -> Tensor:
    h = data.x
    edges = data.edge_index.t().tolist()
    for number, conv in enumerate(model.encoder.convs):
        h = naive_gatv2(conv, h, edges, data.edge_attr)
        if number < len(model.encoder.convs) - 1:
            h = h.relu()
    rows = [pair_value(model.relation, h[i], h[j]) for j, i in asked(data).t().tolist()]
    return torch.stack(rows)


def naive_gatv2(conv: nn.Module, x: Tensor, edges: list, edge_attr: Tensor) -> Tensor:
    """Node by node; a node attends to itself in place of its own loops, with the mean
    of what its other edges are like."""
    rows = []
    for i in range(len(x)):
        heard = [
            (j, e)
            for (j, end), e in zip(edges, edge_attr, strict=True)
            if end == i and j != i
        ]
        mean = edge_attr.new_zeros(edge_attr.size(1))
        if heard:
            mean = torch.stack([e for _, e in heard]).mean(0)
        parts = []
        for head in range(conv.heads):
            shown = slice(head * conv.out_channels, (head + 1) * conv.out_channels)
            values, scores = [], []
            for j, e in [*heard, (i, mean)]:
                value = conv.lin_l(x[j])[shown]
                h = value + conv.lin_r(x[i])[shown] + conv.lin_edge(e)[shown]
                h = nn.functional.leaky_relu(h, conv.negative_slope)
                scores.append(h @ conv.att[0, head])
                values.append(value)
            alpha = torch.stack(scores).softmax(0)
            parts.append(alpha @ torch.stack(values))
        rows.append(torch.cat(parts) + conv.res(x[i]) + conv.bias)
    return torch.stack(rows)


PARTS = {
    "RelationCompositionNetwork": Part(
        lambda: RelationCompositionNetwork(NUM_RELATIONS, [6, 5], steps=3),
        "pair",
        NUM_RELATIONS,
        edges=True,
        edge_dim=NUM_RELATIONS,
        naive=naive_composition,
        call=run_composition,
        make=make_graphs,
        # Which pairs are known by then decides what is computed.
        compiles=False,
    ),
    "GraphAttentionNetwork": Part(
        lambda: GraphAttentionNetwork(5, 3, 8, 2, 2, [6], edge_dim=2),
        "pair",
        edges=True,
        edge_dim=2,
        naive=naive_attention,
        call=run_attention,
        compiles=False,
    ),
}
