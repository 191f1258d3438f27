"""Every layer and model passes every check; a new one is one line in PARTS."""

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import (
    DeepSets,
    PairRelation,
    PixelRelationNetwork,
    RelationNetwork,
)
from pyg_relational.nn import (
    ImageToObjects,
    PairwiseMLP,
    RelationAggregation,
    RelationConv,
)
from pyg_relational.testing import CHECKS, Part, all_pairs, pair_value

# They go through scatter and segment, which torch-scatter replaces where installed.
pytestmark = pytest.mark.scatter


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
    rows = all_pairs(module.nn, data, REDUCE[module.relation_reduce], module.self_pairs)
    return torch.stack([REDUCE[module.relation_reduce](torch.stack(r)) for r in rows])


def naive_network(module: RelationNetwork, data: Data) -> Tensor:
    return module.readout(naive_aggregation(module.relation, data))


def naive_objects_network(module: RelationNetwork, data: Batch) -> Tensor:
    g, sums = module.relation.nn, [data.x.new_zeros(6)] * data.num_graphs
    for e, (j, i) in enumerate(data.edge_index.t().tolist()):
        s = int(data.batch[i])
        z_i, z_j = (
            module.encoder(torch.cat([data.x[k], data.u[s]])[None])[0] for k in (i, j)
        )
        sums[s] = sums[s] + pair_value(g, z_i, z_j, data.edge_attr[e])
    return module.readout(torch.stack(sums))


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
            [module.encoder(torch.cat([x, data.u[s]])[None])[0] for x in graph.x]
        ).sum(dim=0)
        for s, graph in enumerate(data.to_data_list())
    ]
    return module.readout(torch.stack(sums))


def run_aggregation(module: nn.Module, data: Batch) -> Tensor:
    return module(data.x, data.batch, dim_size=data.num_graphs, u=data.get("u"))


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
    ),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("part", PARTS)
def test_contract(part: str, check: str) -> None:
    CHECKS[check](PARTS[part])


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


IMAGE_PARTS = {
    "PixelRelationNetwork": Part(
        lambda: PixelRelationNetwork(3, [4, 4], [6, 6], [6], u_dim=2),
        "set",
        naive=naive_pixels,
        make=images_and_questions,
        empty=False,
    ),
    "ImageToObjects": Part(
        lambda: ImageToObjects(3, [4, 5]),
        "set",
        make=images,
        # [B * 9, C] -> [B, 9 * C]
        call=lambda module, data: module(data.image)[0].reshape(data.num_graphs, -1),
        empty=False,
    ),
}


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "permutation"])
@pytest.mark.parametrize("part", IMAGE_PARTS)
def test_image_contract(part: str, check: str) -> None:
    if (part, check) != ("ImageToObjects", "naive"):
        CHECKS[check](IMAGE_PARTS[part])
