import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, Sequential, TransformerConv

from pyg_relational.explain import attention_matrix
from pyg_relational.models import AttentionRelationNetwork, DeepSets
from pyg_relational.nn import RelationAttentionAggregation, RelationAttentionConv
from pyg_relational.testing import random_sets

SIZES = (3, 1, 4)


class Deep(nn.Module):
    """Two attention layers, one of them used twice, and an aggregation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = RelationAttentionConv(5, 3, heads=2, score="mlp", dropout=0.5)
        self.second = RelationAttentionConv(6, 6, score="dot", concat=False)
        self.readout = RelationAttentionAggregation(6, 2, heads=2)

    def forward(self, x, batch=None, batch_size=None):
        x = self.first(x, batch=batch, batch_size=batch_size)
        for _ in range(2):
            x = self.second(x, batch=batch, batch_size=batch_size)
        return self.readout(x, batch, dim_size=batch_size)


def test_every_layer_head_and_graph_of_a_batch() -> None:
    torch.manual_seed(0)
    model, data = Deep().double().train(), random_sets(SIZES, 5)
    found = attention_matrix(model, data)
    assert list(found) == ["first", "second", "second/1", "readout"]
    assert model.first.training, "the mode is put back"
    for name, heads in (("first", 2), ("second", 1), ("second/1", 1), ("readout", 2)):
        assert [m.shape for m in found[name]] == [(heads, n, n) for n in SIZES]
    for name in ("first", "second", "second/1"):
        for matrix in found[name]:
            torch.testing.assert_close(matrix.sum(-1), torch.ones_like(matrix[..., 0]))
    for matrix in found["readout"]:
        torch.testing.assert_close(matrix.sum((1, 2)), torch.ones(2).double())
    # The same as graph by graph, and as the layer itself says.
    model.eval()
    for g, graph in enumerate(data.to_data_list()):
        alone = attention_matrix(model, graph)
        for name, matrices in found.items():
            torch.testing.assert_close(matrices[g], alone[name][0])
    _, (edge_index, alpha) = model.first(
        data.x, batch=data.batch, return_attention_weights=True
    )
    for (j, i), weight in zip(edge_index.t().tolist(), alpha, strict=True):
        g = int(data.batch[i])
        start = int(data.ptr[g])
        torch.testing.assert_close(found["first"][g][:, i - start, j - start], weight)


def test_layers_of_pyg_with_given_edges() -> None:
    torch.manual_seed(0)
    model = Sequential(
        "x, edge_index",
        [
            (GATConv(5, 4, heads=3, add_self_loops=False), "x, edge_index -> x"),
            (TransformerConv(12, 2), "x, edge_index -> x"),
        ],
    ).double()
    data = random_sets(SIZES, 5, edges=True)
    # Its forward names no arguments, so they are passed.
    found = attention_matrix(model, data, x=data.x, edge_index=data.edge_index)
    assert [m[0].size(0) for m in found.values()] == [3, 1]
    for matrices in found.values():
        for g, graph in enumerate(data.to_data_list()):
            n = graph.num_nodes
            linked = torch.zeros(n, n, dtype=torch.bool)
            linked[graph.edge_index[1], graph.edge_index[0]] = True
            assert torch.equal(matrices[g].amax(0) > 0, linked)
            sums = matrices[g].sum(-1)
            expected = linked.any(1).double().expand_as(sums)
            torch.testing.assert_close(sums, expected)


def test_questions_have_a_matrix_each() -> None:
    torch.manual_seed(0)
    model = AttentionRelationNetwork(5, 2, [8], [4], heads=2, u_dim=3)
    scenes = [Data(x=torch.randn(n, 5), u=torch.randn(2, 3)) for n in (4, 2)]
    data = Batch.from_data_list(scenes, follow_batch=["u"])
    ((name, matrices),) = attention_matrix(model, data).items()
    assert name == "relation"
    assert [m.shape for m in matrices] == [(2, n, n) for n in (4, 4, 2, 2)]
    assert not torch.allclose(matrices[0], matrices[1]), "each question has its own"


def test_a_layer_alone_is_a_model() -> None:
    conv = RelationAttentionConv(5, 3)
    found = attention_matrix(conv, Data(x=torch.randn(4, 5)))
    assert found["RelationAttentionConv"][0].shape == (1, 4, 4)


def test_a_model_without_attention_says_what_has_it() -> None:
    with pytest.raises(ValueError, match=r"no layer with attention.*got DeepSets"):
        attention_matrix(DeepSets(5, 2, [4]), Data(x=torch.randn(3, 5)))


def test_nothing_is_left_behind() -> None:
    model = Deep()
    data = random_sets(SIZES, 5, dtype=torch.float32)
    attention_matrix(model, data)
    assert all(not module._forward_hooks for module in model.modules())
    bad = Data(x=torch.full((2, 5), torch.nan))
    with pytest.raises(ValueError, match="finite"):
        attention_matrix(model, bad)
    assert all(not module._forward_hooks for module in model.modules())
