"""Layers and aggregations inside PyG's own containers, models and loaders."""

from collections.abc import Callable

import pytest
import torch
import torch_geometric
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GCN, GIN, GPSConv, HeteroConv, Sequential
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import k_hop_subgraph

from pyg_relational.nn import (
    GraphRelationConv,
    PairwiseMLP,
    RelationAggregation,
    RelationAttentionAggregation,
    RelationAttentionConv,
    RelationConv,
)

WIDTH = 4
NODES = 12

CONVS: dict[str, Callable[[], nn.Module]] = {
    "RelationConv": lambda: RelationConv(relation()),
    "RelationAttentionConv": lambda: RelationAttentionConv(WIDTH, WIDTH // 2, 2),
    "GraphRelationConv": lambda: GraphRelationConv(WIDTH, WIDTH),
}
AGGREGATIONS: dict[str, Callable[[], nn.Module]] = {
    "RelationAggregation": lambda: RelationAggregation(relation()),
    "RelationAttentionAggregation": lambda: RelationAttentionAggregation(WIDTH, 2, 2),
}


@pytest.fixture(params=CONVS)
def conv(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return CONVS[request.param]().double()


@pytest.fixture
def graph() -> Data:
    torch.manual_seed(1)
    return random_graph(NODES)


def relation(width: int | tuple[int, int] = WIDTH) -> PairwiseMLP:
    return PairwiseMLP(width, [6, WIDTH])


def random_graph(nodes: int) -> Data:
    x = torch.randn(nodes, WIDTH, dtype=torch.float64)
    joined = (torch.rand(nodes, nodes) < 0.25).fill_diagonal_(False)
    return Data(x=x, edge_index=joined.nonzero().T.contiguous())


def network(conv: nn.Module) -> nn.Module:
    """Two layers of one kind."""
    kind = next(name for name in CONVS if type(conv).__name__ == name)
    layers = [conv, CONVS[kind]().double()]
    parts = "x, edge_index -> x"
    return Sequential(
        "x, edge_index",
        [(layers[0], parts), (nn.Tanh(), "x -> x"), (layers[1], parts)],
    )


def test_sequential_is_one_after_the_other(conv: nn.Module, graph: Data) -> None:
    whole = network(conv)
    first, _, second = whole.children()
    expected = second(first(graph.x, graph.edge_index).tanh(), graph.edge_index)
    torch.testing.assert_close(whole(graph.x, graph.edge_index), expected)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gin_gives_each_node_its_neighbours(name: str, graph: Data) -> None:
    torch.manual_seed(0)
    aggr = AGGREGATIONS[name]().double()
    model = GIN(WIDTH, WIDTH, 1, aggr=aggr).double()
    (layer,) = model.convs
    source, target = graph.edge_index
    rows = []
    for node in range(NODES):
        received = aggr(graph.x[source[target == node]], dim_size=1)
        rows.append(layer.nn(graph.x[node : node + 1] + received))
    out = model(graph.x, graph.edge_index)
    torch.testing.assert_close(out, torch.cat(rows))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gcn_trains_an_aggregation(name: str, graph: Data) -> None:
    torch.manual_seed(0)
    model = GCN(WIDTH, WIDTH, 2, aggr=AGGREGATIONS[name]()).double()
    model(graph.x, graph.edge_index).square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_gps_keeps_graphs_apart(conv: nn.Module, graph: Data) -> None:
    torch.manual_seed(2)
    layer = GPSConv(WIDTH, conv, heads=2, norm=None).double()
    graphs = [graph, random_graph(5)]
    batch = Batch.from_data_list(graphs)
    out = layer(batch.x, batch.edge_index, batch.batch)
    single = [layer(g.x, g.edge_index) for g in graphs]
    torch.testing.assert_close(out, torch.cat(single))
    # Its own part counts: with other weights of the layer, other answers.
    conv.reset_parameters()
    assert not torch.allclose(layer(graph.x, graph.edge_index), single[0])


def test_hetero_conv_adds_up_the_relations_between_types() -> None:
    torch.manual_seed(0)
    data = HeteroData()
    data["author"].x = torch.randn(6, 3)
    data["paper"].x = torch.randn(6, WIDTH)
    for name in ("writes", "reads"):
        data["author", name, "paper"].edge_index = torch.randint(0, 6, (2, 14))
    data["paper", "by", "author"].edge_index = torch.randint(0, 6, (2, 14))
    convs = {
        ("author", "writes", "paper"): RelationConv(relation((3, WIDTH))),
        ("author", "reads", "paper"): GraphRelationConv((3, WIDTH), WIDTH),
        ("paper", "by", "author"): RelationAttentionConv((WIDTH, 3), WIDTH, 1),
    }
    out = HeteroConv(convs, aggr="sum")(data.x_dict, data.edge_index_dict)
    single = {
        kind: conv((data[kind[0]].x, data[kind[2]].x), data[kind].edge_index)
        for kind, conv in convs.items()
    }
    papers = [value for kind, value in single.items() if kind[2] == "paper"]
    torch.testing.assert_close(out["paper"], sum(papers))
    torch.testing.assert_close(out["author"], single["paper", "by", "author"])


# It hands everything to torch.compile.
@pytest.mark.filterwarnings("ignore:'torch_geometric.compile' is deprecated")
def test_compiled_is_the_same(conv: nn.Module, graph: Data) -> None:
    torch._dynamo.reset()
    compiled = torch_geometric.compile(conv, backend="aot_eager", fullgraph=True)
    out = compiled(graph.x, graph.edge_index)
    torch.testing.assert_close(out, conv(graph.x, graph.edge_index))


def neighbourhoods(graph: Data, seeds: Tensor) -> Data:
    """What NeighborLoader takes of two hops when it takes all neighbours."""
    nodes, edge_index, where, _ = k_hop_subgraph(
        seeds, 2, graph.edge_index, relabel_nodes=True, num_nodes=NODES
    )
    return Data(x=graph.x[nodes], edge_index=edge_index, where=where)


def test_two_hops_around_a_node_decide_its_row(conv: nn.Module, graph: Data) -> None:
    model = network(conv)
    whole = model(graph.x, graph.edge_index)
    for seeds in torch.arange(NODES).split(5):
        part = neighbourhoods(graph, seeds)
        out = model(part.x, part.edge_index)[part.where]
        torch.testing.assert_close(out, whole[seeds])


@pytest.mark.skipif(
    not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="needs pyg-lib or torch-sparse"
)
def test_neighbor_loader_gives_the_rows_of_the_whole(
    conv: nn.Module, graph: Data
) -> None:
    model = network(conv)
    whole = model(graph.x, graph.edge_index)
    seen = []
    for batch in NeighborLoader(graph, num_neighbors=[-1, -1], batch_size=5):
        seeds = batch.n_id[: batch.batch_size]
        out = model(batch.x, batch.edge_index)[: batch.batch_size]
        torch.testing.assert_close(out, whole[seeds])
        seen.append(seeds)
    assert torch.cat(seen).tolist() == list(range(NODES))
