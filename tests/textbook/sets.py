"""Every layer and model passes every check; a new one is one line in PARTS."""

import copy
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import (
    AttentionRelationNetwork,
    DeepSets,
    PairRelation,
    PixelRelationNetwork,
    RelationNetwork,
)
from pyg_relational.nn import (
    ImageObjectEncoder,
    PairwiseMLP,
    RelationAggregation,
    RelationAttentionAggregation,
    RelationAttentionConv,
    RelationConv,
)
from pyg_relational.nn.attention import (
    AdditiveScore,
    AttentionScore,
    MLPScore,
    RelationAttention,
)
from pyg_relational.testing import Part, all_pairs, pair_value


def total(values: Tensor) -> Tensor:
    return values.sum(dim=0)


def mean(values: Tensor) -> Tensor:
    return values.mean(dim=0) if len(values) else values.sum(dim=0)


def largest(values: Tensor) -> Tensor:
    return values.amax(dim=0) if len(values) else values.sum(dim=0)


REDUCE = {"sum": total, "mean": mean, "max": largest}


def naive_conv(module: RelationConv, data: Data) -> Tensor:
    rows = all_pairs(module.nn, data, REDUCE[module.aggr], module.self_pairs)
    return torch.stack([row for graph in rows for row in graph])


def naive_conv_edges(module: RelationConv, data: Batch) -> Tensor:
    out = [data.x.new_zeros(module.nn.out_channels)] * data.num_nodes
    for e, (j, i) in enumerate(data.edge_index.t().tolist()):
        u = data.u[data.batch[i]]
        edge_attr = data.edge_attr[e]
        value = pair_value(module.nn, data.x[i], data.x[j], edge_attr, u)
        out[i] = out[i] + value
    return torch.stack(out)


def naive_aggregation(module: RelationAggregation, data: Data) -> Tensor:
    rows = all_pairs(module.nn, data, REDUCE[module.aggr], module.self_pairs)
    return torch.stack([REDUCE[module.aggr](torch.stack(r)) for r in rows])


def naive_network(module: RelationNetwork, data: Data) -> Tensor:
    return module.readout(naive_aggregation(module.relation, data))


def naive_objects_network(module: RelationNetwork, data: Batch) -> Tensor:
    g, sums = module.relation.nn, [data.x.new_zeros(6)] * data.num_graphs
    for e, (j, i) in enumerate(data.edge_index.t().tolist()):
        s = int(data.batch[i])
        z_i, z_j = (
            module.encoder.mlp(torch.cat([data.x[k], data.u[s]])[None])[0]
            for k in (i, j)
        )
        sums[s] = sums[s] + pair_value(g, z_i, z_j, data.edge_attr[e])
    return module.readout(torch.stack(sums))


def run_pair_relation(module: PairRelation, data: Batch) -> Tensor:
    return module(
        data.x, data.edge_index, data.edge_attr, data.u, data.batch, data.num_graphs
    )


def naive_pair_relation(module: PairRelation, data: Batch) -> Tensor:
    pairs = zip(data.edge_index.t().tolist(), data.edge_attr, strict=True)
    return torch.stack(
        [
            pair_value(module.relation, data.x[i], data.x[j], e, data.u[data.batch[i]])
            for (j, i), e in pairs
        ]
    )


def naive_deep_sets(module: DeepSets, data: Batch) -> Tensor:
    sums = [
        torch.stack(
            [module.encoder.mlp(torch.cat([x, data.u[s]])[None])[0] for x in graph.x]
        ).sum(dim=0)
        for s, graph in enumerate(data.to_data_list())
    ]
    return module.readout(torch.stack(sums))


def naive_score(
    score: AttentionScore,
    k: int,
    x_i: Tensor,
    x_j: Tensor,
    edge_attr: Tensor | None,
    u: Tensor | None,
) -> Tensor:
    """The score that head k gives a pair, one number."""

    def project(lin: nn.Module | None, x: Tensor | None) -> Tensor | float:
        """What one head reads of a vector."""
        if lin is None or x is None:
            return 0.0
        return F.linear(x, lin.weight, lin.bias).view(score.heads, -1)[k]

    edge, shared = project(score.lin_edge, edge_attr), project(score.lin_u, u)
    x_j = project(score.lin_l, x_j)
    if isinstance(score, AdditiveScore):
        own = score.att_r[k] @ project(score.lin_l, x_i)
        return F.leaky_relu(own + score.att_l[k] @ x_j + edge + shared, 0.2).sum()
    x_i = project(score.lin_r, x_i)
    if isinstance(score, MLPScore):
        return score.att[k] @ F.leaky_relu(x_i + x_j + edge + shared, 0.2)
    return (x_i + shared) @ (x_j + edge) / score.channels**0.5


def naive_said(
    attention: RelationAttention,
    x_i: Tensor,
    x_j: Tensor,
    edge_attr: Tensor | None,
    u: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The scores of a pair, [K], and what it says, [K, C]."""
    pair, score = (x_i, x_j, edge_attr, u), attention.score
    heads = range(attention.heads)
    scores = torch.stack([naive_score(score, k, *pair) for k in heads])
    if attention.nn is not None:
        value = pair_value(attention.nn, *pair)
    else:
        lin = getattr(score, "lin_value", score.lin_l)
        value = F.linear(x_j, lin.weight, lin.bias)
    return scores, value.view(attention.heads, attention.out_channels)


def naive_heard(pairs: list[tuple[Tensor, Tensor]], like: Tensor) -> Tensor:
    """What pairs say, weighted by the softmax of their scores, [K, C]."""
    if not pairs:
        return torch.zeros_like(like)
    weights = [scores.exp() for scores, _ in pairs]
    heard = [w[:, None] * said for w, (_, said) in zip(weights, pairs, strict=True)]
    return total(torch.stack(heard)) / total(torch.stack(weights))[:, None]


def naive_pairs(data: Batch, self_pairs: bool = True) -> Iterator[tuple]:
    """Target, source, edge features and shared features of each pair."""
    u = data.u if "u" in data else [None] * data.num_graphs
    if "edge_index" in data:
        for e, (j, i) in enumerate(data.edge_index.t().tolist()):
            edge_attr = data.edge_attr[e] if "edge_attr" in data else None
            yield i, j, edge_attr, u[data.batch[i]]
        return
    for i in range(data.num_nodes):
        for j in range(data.num_nodes):
            if data.batch[i] == data.batch[j] and (self_pairs or i != j):
                yield i, j, None, u[data.batch[i]]


def naive_attention(
    module: RelationAttentionConv | RelationAttentionAggregation,
    data: Batch,
    owner: list[int],
    count: int,
) -> Tensor:
    """Attends over the pairs of each owner, which are named target by target."""
    attention, said = module.attention, defaultdict(list)
    for i, j, edge_attr, u in naive_pairs(data, module.self_pairs):
        x_i, x_j = data.x[i], data.x[j]
        said[owner[i]].append(naive_said(attention, x_i, x_j, edge_attr, u))
    like = data.x.new_zeros(attention.heads, attention.out_channels)
    return torch.stack([naive_heard(said[row], like) for row in range(count)])


def naive_attention_conv(module: RelationAttentionConv, data: Batch) -> Tensor:
    nodes = list(range(data.num_nodes))
    out = naive_attention(module, data, nodes, data.num_nodes)
    out = out.flatten(1) if module.concat else out.mean(dim=1)
    if module.lin_residual is not None:
        out = out + data.x @ module.lin_residual.weight.t()
    return out if module.bias is None else out + module.bias


def naive_attention_aggregation(
    module: RelationAttentionAggregation, data: Batch
) -> Tensor:
    owner = data.batch.tolist()
    return naive_attention(module, data, owner, data.num_graphs).flatten(1)


def naive_attention_network(module: AttentionRelationNetwork, data: Batch) -> Tensor:
    asked = copy.copy(data)
    if "u" in data:
        asked.x = torch.cat([data.x, data.u[data.batch]], dim=1)
        del asked.u
    if module.encoder.mlp is not None:
        asked.x = torch.stack([module.encoder.mlp(x[None])[0] for x in asked.x])
    h = naive_attention_conv(module.relation, asked)
    if module.output == "set":
        sets = range(data.num_graphs)
        h = torch.stack([total(h[data.batch == s]) for s in sets])
    return module.readout(h)


def run_aggregation(module: nn.Module, data: Batch) -> Tensor:
    names = ("u", "edge_index", "edge_attr")
    arguments = {name: data[name] for name in names if name in data}
    return module(data.x, data.batch, dim_size=data.num_graphs, **arguments)


def run_pairwise(module: PairwiseMLP, data: Batch) -> Tensor:
    j, i = data.edge_index
    return module(data.x[i], data.x[j], data.edge_attr, data.u[data.batch[i]])


def naive_pairwise(module: PairwiseMLP, data: Batch) -> Tensor:
    pairs = zip(data.edge_index.t().tolist(), data.edge_attr, strict=True)
    return torch.stack(
        [
            pair_value(module, data.x[i], data.x[j], e, data.u[data.batch[i]])
            for (j, i), e in pairs
        ]
    )


def g(channels: list[int], **kwargs: object) -> PairwiseMLP:
    return PairwiseMLP(5, channels, **kwargs)


PARTS = {
    "PairwiseMLP": Part(
        lambda: g([6, 4], u_dim=2, edge_dim=3),
        "pair",
        u_dim=2,
        edge_dim=3,
        naive=naive_pairwise,
        call=run_pairwise,
    ),
    "RelationConv": Part(lambda: RelationConv(g([6, 4])), "node", naive=naive_conv),
    "RelationConv-sorted": Part(
        lambda: RelationConv(g([6, 4], plain_last=True), method="sorted"),
        "node",
        naive=naive_conv,
    ),
    "RelationConv-u": Part(
        lambda: RelationConv(g([6, 4], u_dim=2, act="leaky_relu"), self_pairs=False),
        "node",
        u_dim=2,
        naive=naive_conv,
    ),
    "RelationConv-mean": Part(
        lambda: RelationConv(g([6], act="tanh"), aggr="mean"),
        "node",
        naive=naive_conv,
    ),
    "RelationConv-max": Part(
        lambda: RelationConv(g([6, 6, 4], act="silu"), aggr="max"),
        "node",
        naive=naive_conv,
    ),
    "RelationConv-edges": Part(
        lambda: RelationConv(g([6, 4], u_dim=2, edge_dim=3)),
        "node",
        u_dim=2,
        edge_dim=3,
        naive=naive_conv_edges,
    ),
    "RelationConv-edges-plain-last": Part(
        lambda: RelationConv(g([6, 5, 4], u_dim=2, edge_dim=3, plain_last=True)),
        "node",
        u_dim=2,
        edge_dim=3,
        naive=naive_conv_edges,
    ),
    "RelationAggregation": Part(
        lambda: RelationAggregation(g([6, 4], u_dim=2)),
        "set",
        u_dim=2,
        naive=naive_aggregation,
        call=run_aggregation,
    ),
    "RelationAggregation-sorted": Part(
        lambda: RelationAggregation(g([6, 4], plain_last=True), method="sorted"),
        "set",
        naive=naive_aggregation,
        call=run_aggregation,
    ),
    "RelationAggregation-mean": Part(
        lambda: RelationAggregation(g([6]), "mean"),
        "set",
        naive=naive_aggregation,
        call=run_aggregation,
    ),
    "RelationNetwork": Part(
        lambda: RelationNetwork(5, 3, [8, 6], [8], u_dim=2),
        "set",
        u_dim=2,
        naive=naive_network,
    ),
    "RelationNetwork-objects": Part(
        lambda: RelationNetwork(5, 3, [6], [8], [7], edge_dim=3, u_dim=2),
        "set",
        u_dim=2,
        edge_dim=3,
        naive=naive_objects_network,
    ),
    "DeepSets": Part(
        lambda: DeepSets(5, 3, [8, 6], [8], u_dim=2),
        "set",
        u_dim=2,
        naive=naive_deep_sets,
    ),
    "PairRelation": Part(
        lambda: PairRelation(5, 3, [8], u_dim=2, edge_dim=3),
        "pair",
        u_dim=2,
        edge_dim=3,
        naive=naive_pair_relation,
        call=run_pair_relation,
    ),
}


ATTENTION_CONV = partial(Part, output="node", naive=naive_attention_conv)
ATTENTION_AGGREGATION = partial(
    Part, output="set", naive=naive_attention_aggregation, call=run_aggregation
)
ATTENTION_NETWORK = partial(Part, output="set", naive=naive_attention_network)


def attend(*args: object, **kwargs: object) -> RelationAttentionConv:
    return RelationAttentionConv(5, 2, 2, *args, **kwargs)


def attend_once(*args: object, **kwargs: object) -> RelationAttentionAggregation:
    return RelationAttentionAggregation(5, 2, 2, *args, **kwargs)


def answer(*args: object, **kwargs: object) -> AttentionRelationNetwork:
    return AttentionRelationNetwork(5, 3, [8, 6], [8], *args, heads=2, **kwargs)


ATTENTION_PARTS = {
    "RelationAttentionConv-additive": ATTENTION_CONV(lambda: attend("additive")),
    "RelationAttentionConv-mlp": ATTENTION_CONV(lambda: attend("mlp")),
    "RelationAttentionConv-dot": ATTENTION_CONV(lambda: attend("dot")),
    "RelationAttentionConv-sorted": ATTENTION_CONV(
        lambda: attend("additive", method="sorted")
    ),
    "RelationAttentionConv-tiled": ATTENTION_CONV(
        lambda: attend("additive", u_dim=2, method="tiled"), u_dim=2
    ),
    "RelationAttentionConv-additive-nn": ATTENTION_CONV(
        lambda: attend("additive", g([6, 4]), self_pairs=False)
    ),
    "RelationAttentionConv-mlp-nn": ATTENTION_CONV(
        lambda: attend("mlp", g([4], u_dim=2, act="tanh"), u_dim=2), u_dim=2
    ),
    "RelationAttentionConv-dot-nn": ATTENTION_CONV(
        lambda: attend("dot", g([6, 6, 4], plain_last=True))
    ),
    "RelationAttentionConv-no-self": ATTENTION_CONV(
        lambda: attend("mlp", self_pairs=False, bias=False)
    ),
    "RelationAttentionConv-residual": ATTENTION_CONV(
        lambda: attend("additive", residual=True, concat=False, u_dim=2), u_dim=2
    ),
    "RelationAttentionConv-residual-dot": ATTENTION_CONV(
        lambda: attend("dot", residual=True, concat=False, u_dim=2), u_dim=2
    ),
    **{
        f"RelationAttentionConv-{score}-edges": ATTENTION_CONV(
            partial(attend, score, u_dim=2, edge_dim=3), u_dim=2, edge_dim=3
        )
        for score in ("additive", "mlp", "dot")
    },
    "RelationAttentionConv-edges": ATTENTION_CONV(
        lambda: attend("mlp", g([6, 4])), edges=True
    ),
    "RelationAttentionConv-nn-edges": ATTENTION_CONV(
        lambda: attend("dot", g([4], u_dim=2, edge_dim=3), u_dim=2, edge_dim=3),
        u_dim=2,
        edge_dim=3,
    ),
    "RelationAttentionAggregation-additive": ATTENTION_AGGREGATION(
        lambda: attend_once("additive")
    ),
    "RelationAttentionAggregation-mlp": ATTENTION_AGGREGATION(
        lambda: attend_once("mlp", u_dim=2), u_dim=2
    ),
    "RelationAttentionAggregation-dot": ATTENTION_AGGREGATION(
        lambda: attend_once("dot", self_pairs=False)
    ),
    "RelationAttentionAggregation-additive-nn": ATTENTION_AGGREGATION(
        lambda: attend_once("additive", g([6, 4], u_dim=2), u_dim=2), u_dim=2
    ),
    "RelationAttentionAggregation-mlp-nn": ATTENTION_AGGREGATION(
        lambda: attend_once("mlp", g([6, 4], act="silu"), self_pairs=False)
    ),
    "RelationAttentionAggregation-dot-nn": ATTENTION_AGGREGATION(
        lambda: attend_once("dot", g([4], u_dim=2), u_dim=2), u_dim=2
    ),
    "RelationAttentionAggregation-edges": ATTENTION_AGGREGATION(
        lambda: attend_once("mlp", g([4], u_dim=2, edge_dim=3), 3, 2),
        u_dim=2,
        edge_dim=3,
    ),
    "AttentionRelationNetwork": ATTENTION_NETWORK(lambda: answer(u_dim=2), u_dim=2),
    "AttentionRelationNetwork-node": ATTENTION_NETWORK(
        lambda: answer(score="additive", output="node"), output="node"
    ),
    "AttentionRelationNetwork-edges": ATTENTION_NETWORK(
        lambda: answer(edge_dim=3, u_dim=2), u_dim=2, edge_dim=3
    ),
    "AttentionRelationNetwork-objects": ATTENTION_NETWORK(
        lambda: answer([7], score="dot", u_dim=2), u_dim=2
    ),
}
PARTS |= ATTENTION_PARTS


def images(sizes: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch.from_data_list(
        [
            Data(
                image=torch.randn(1, 3, 12, 12, generator=generator).double(),
                num_nodes=1,
            )
            for _ in sizes
        ]
    )


def images_and_questions(sizes: tuple[int, ...], seed: int) -> Batch:
    batch = images(sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    for graph in (graphs := batch.to_data_list()):
        graph.u = torch.randn(1, 2, generator=generator).double()
    return Batch.from_data_list(graphs)


def naive_pixels(module: PixelRelationNetwork, data: Batch) -> Tensor:
    x, batch = module.encoder(data.image)
    graphs = [Data(x=x[batch == s]) for s in range(data.num_graphs)]
    sets = Batch.from_data_list(graphs)
    sets.u = data.u
    return naive_network(module.network, sets)


PARTS |= {
    "PixelRelationNetwork": Part(
        lambda: PixelRelationNetwork(3, 3, [4, 4], [6, 6], [6], u_dim=2),
        "set",
        naive=naive_pixels,
        make=images_and_questions,
        empty=False,
    ),
    "ImageObjectEncoder": Part(
        lambda: ImageObjectEncoder(3, [4, 5]),
        "set",
        make=images,
        # [B * 9, C] -> [B, 9 * C]
        call=lambda module, data: module(data.image)[0].reshape(data.num_graphs, -1),
        empty=False,
    ),
}
