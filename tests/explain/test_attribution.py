import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_add_pool

from pyg_relational.explain import pair_attribution
from pyg_relational.models import AttentionRelationNetwork, DeepSets, RelationNetwork
from pyg_relational.nn import PairwiseMLP, RelationConv
from pyg_relational.testing import pair_value

MODELS = {
    "relation": lambda: RelationNetwork(5, 3, [8], [6], u_dim=4, plain_last=False),
    "mean": lambda: RelationNetwork(5, 3, [8, 7], [6], u_dim=4, aggr="mean"),
    "objects": lambda: RelationNetwork(
        5, 3, [8, 6], [6], object_channels=[5], u_dim=4, plain_last=True
    ),
    "attention": lambda: AttentionRelationNetwork(5, 3, [8], [6], heads=2, u_dim=4),
}


def questions(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    scenes = [
        Data(
            x=torch.randn(n, 5, generator=generator, dtype=torch.float64),
            u=torch.randn(q, 4, generator=generator, dtype=torch.float64),
        )
        for n, q in ((4, 2), (1, 1), (3, 1))
    ]
    return Batch.from_data_list(scenes, follow_batch=["u"])


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().double().eval()


def answer(model: nn.Module, data: Batch) -> torch.Tensor:
    return model(data.x, u=data.u, batch=data.batch, batch_size=3, u_batch=data.u_batch)


@pytest.mark.parametrize("name", MODELS)
def test_messages_add_up_to_what_the_model_answers(name) -> None:
    model, data = build(name), questions()
    pairs = model.pair_messages(
        data.x, u=data.u, batch=data.batch, batch_size=3, u_batch=data.u_batch
    )
    total = torch.zeros(4, pairs.message.size(1)).double()
    total.index_add_(0, pairs.owner, pairs.message)
    torch.testing.assert_close(model.readout(total), answer(model, data))
    assert pairs.ptr.diff().tolist() == [4, 4, 1, 3]


def test_removal_is_what_the_answer_loses() -> None:
    # By the definition: the same network over all pairs but one.
    model, data = build("relation"), questions()
    found = pair_attribution(model, data, target=1)
    assert [m.shape for m in found] == [(4, 4), (4, 4), (1, 1), (3, 3)]
    g = model.relation.nn
    x, u = data[2].x, data[2].u[0]
    values = {
        (i, j): pair_value(g, x[i], x[j], u=u) for i in range(3) for j in range(3)
    }

    def output(without=None):
        kept = [v for key, v in values.items() if key != without]
        return model.readout(torch.stack(kept).sum(0)[None])[0, 1]

    for (i, j), _ in values.items():
        expected = output() - output(without=(i, j))
        torch.testing.assert_close(found[3][i, j], expected.detach())


@pytest.mark.parametrize("name", MODELS)
def test_integrated_gradients_are_complete(name) -> None:
    model, data = build(name), questions()
    target = torch.tensor([2, 0, 1, 1])
    found = pair_attribution(model, data, target, "integrated_gradients")
    out = answer(model, data).detach()
    nothing = model.readout(torch.zeros(1, model.readout.in_channels).double())
    nothing = nothing.detach()
    for q, matrix in enumerate(found):
        column = int(target[q])
        gap = float((out[q] - nothing[0])[column])
        assert float(matrix.sum()) == pytest.approx(gap, abs=0.03 * max(1, abs(gap)))


def test_by_default_the_largest_output_is_explained() -> None:
    model, data = build("attention"), questions()
    largest = answer(model, data).argmax(-1)
    for a, b in zip(
        pair_attribution(model, data),
        pair_attribution(model, data, largest, "removal"),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_distribution_is_the_total_variation() -> None:
    model, data = build("objects"), questions()
    found = pair_attribution(model, data, "distribution")
    pairs = model.pair_messages(
        data.x, u=data.u, batch=data.batch, batch_size=3, u_batch=data.u_batch
    )
    before = answer(model, data).softmax(-1)
    for (j, i), message, q in zip(
        pairs.edge_index.t().tolist(), pairs.message, pairs.owner.tolist(), strict=True
    ):
        total = pairs.message[pairs.owner == q].sum(0)
        after = model.readout((total - message)[None]).softmax(-1)[0]
        expected = 0.5 * (before[q] - after).abs().sum()
        start = int(pairs.ptr[q])
        torch.testing.assert_close(found[q][i - start, j - start], expected.detach())


class OnEdges(nn.Module):
    """Sums over edges and objects: linear in the weight of every edge."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = RelationConv(PairwiseMLP(5, [6, 3], plain_last=True))

    def forward(self, x, edge_index=None, batch=None, batch_size=None):
        h = self.conv(x, edge_index, batch=batch, batch_size=batch_size)
        return global_add_pool(h, batch, batch_size)


@pytest.mark.parametrize("given", [False, True])
def test_captum_explains_models_of_pyg_layers(given) -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    model, data = OnEdges().double(), questions()
    edges = [(0, 1), (1, 2), (3, 0), (6, 7), (5, 7)]
    if given:
        data.edge_index = torch.tensor(edges).t()
    found = pair_attribution(model, data, target=2)
    relation = model.conv.nn
    for g, graph in enumerate(data.to_data_list()):
        start = int(data.ptr[g])
        for i in range(graph.num_nodes):
            for j in range(graph.num_nodes):
                value = pair_value(relation, graph.x[i], graph.x[j])[2].detach()
                if given and (j + start, i + start) not in edges:
                    value = torch.zeros_like(value)
                torch.testing.assert_close(found[g][i, j], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "removals"}, "did you mean 'removal'"),
        ({"target": 3}, "columns 0 to 2"),
        ({"target": "probability"}, "'target' must be one of"),
        ({"target": "distribution", "method": "captum"}, "what removal measures"),
    ],
)
def test_bad_options(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        pair_attribution(build("relation"), questions(), **options)


def test_models_that_do_not_sum_pairs() -> None:
    data = Data(x=torch.randn(3, 5))
    with pytest.raises(ValueError, match=r"pair_messages.*got DeepSets"):
        pair_attribution(DeepSets(5, 2, [4]), data, method="removal")
    largest = RelationNetwork(5, 2, [4], [4], aggr="max")
    with pytest.raises(ValueError, match="aggr='max'"):
        pair_attribution(largest, data)
    nodes = AttentionRelationNetwork(5, 2, [4], [4], output="node")
    with pytest.raises(ValueError, match="output='set'"):
        pair_attribution(nodes, data)
