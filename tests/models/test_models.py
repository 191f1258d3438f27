from functools import partial

import pytest
import torch
from torch import nn

from pyg_relational.models import (
    DeepSets,
    PairRelation,
    PixelRelationNetwork,
    RelationNetwork,
)
from pyg_relational.ops import fully_connected_edges

OBJECTS = partial(RelationNetwork, object_channels=[6])


def test_relation_network_learns_what_needs_pairs():
    """Does a set hold two equal objects? No function of single objects can tell."""
    torch.manual_seed(0)
    model = RelationNetwork(1, 1, [32, 32], [32], aggr="mean")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x = torch.randint(0, 8, (256, 4, 1)).float() / 4 - 1
    same = (x == x.transpose(1, 2)).sum((1, 2)) > 4
    batch = torch.arange(256).repeat_interleave(4)
    for _ in range(300):
        logits = model(x.view(-1, 1), batch=batch).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, same.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == same).float().mean() > 0.95


def test_all_pairs_equal_complete_edges():
    torch.manual_seed(0)
    model = RelationNetwork(3, 2, [8, 8], [8], u_dim=2)
    ptr = torch.tensor([0, 3, 5])
    x, batch = torch.randn(5, 3), torch.tensor([0, 0, 0, 1, 1])
    u = torch.randn(2, 2)
    out = model(x, u=u, batch=batch)
    edges = fully_connected_edges(ptr=ptr)
    torch.testing.assert_close(model(x, edges, u=u, batch=batch), out)


def test_no_objects_at_all():
    model = RelationNetwork(3, 2, [8], [8])
    out = model(torch.zeros(0, 3))
    torch.testing.assert_close(out, model.readout(torch.zeros(1, 8)))


def test_pair_relation_runs_its_encoder():
    torch.manual_seed(0)
    encoder = nn.Linear(5, 3)
    model = PairRelation(3, 2, [8], encoder=encoder)
    x = torch.randn(4, 5)
    pairs = torch.tensor([[0, 3], [1, 1]])
    expected = model.relation(encoder(x)[[1, 1]], encoder(x)[[0, 3]])
    torch.testing.assert_close(model(x, pairs), expected)
    before = encoder.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, encoder.weight)


def test_pair_relation_without_pairs_says_how_to_name_them():
    with pytest.raises(
        ValueError, match=r"'edge_label_index' is missing.*fully_connected"
    ):
        PairRelation(3, 2)(torch.zeros(2, 3))


@pytest.mark.parametrize("model", [RelationNetwork, DeepSets, OBJECTS])
def test_questions_of_a_scene(model):
    torch.manual_seed(0)
    network = model(3, 2, [8, 8], [8], u_dim=2)
    x, batch = torch.randn(5, 3), torch.tensor([0, 0, 0, 1, 1])
    u, u_batch = torch.randn(3, 2), torch.tensor([1, 0, 1])
    out = network(x, u=u, batch=batch, u_batch=u_batch)
    for question, scene, answer in zip(u, u_batch, out, strict=True):
        alone = network(x[batch == scene], u=question[None])
        torch.testing.assert_close(alone[0], answer)


@pytest.mark.parametrize("model", [RelationNetwork, DeepSets])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(4, 2)}, "'x' must have 3 features"),
        ({"x": torch.full((4, 3), float("nan"))}, "'x' must be finite"),
        ({"batch": torch.tensor([0, 1, 0, 1])}, "'batch' must be sorted"),
        ({"u": None}, "'u' is missing"),
        ({"u": torch.zeros(2, 5)}, "'u' must have 2 features"),
    ],
)
def test_bad_input_names_the_argument(model, arguments, message):
    usual = {
        "x": torch.zeros(4, 3),
        "batch": torch.tensor([0, 0, 1, 1]),
        "u": torch.zeros(2, 2),
    }
    with pytest.raises(ValueError, match=message):
        model(3, 2, [8], [8], u_dim=2)(**(usual | arguments))


def test_questions_about_graphs_with_edges():
    torch.manual_seed(0)
    network = RelationNetwork(3, 2, [8], [8], [6], edge_dim=1, u_dim=2)
    x, batch = torch.randn(5, 3), torch.tensor([0, 0, 0, 1, 1])
    edge_index = torch.tensor([[3, 0, 1, 4], [4, 1, 2, 4]])
    edge_attr = torch.randn(4, 1)
    u, u_batch = torch.randn(3, 2), torch.tensor([1, 0, 1])
    out = network(x, edge_index, edge_attr, u, batch, u_batch=u_batch)
    for question, scene, answer in zip(u, u_batch, out, strict=True):
        mine = batch[edge_index[1]] == scene
        edges = edge_index[:, mine] - 3 * scene
        alone = network(x[batch == scene], edges, edge_attr[mine], question[None])
        torch.testing.assert_close(alone[0], answer)


def test_pixel_network_answers_several_questions_per_image():
    torch.manual_seed(0)
    model = PixelRelationNetwork(3, 4, [4, 4], [8], [8], u_dim=2).eval()
    image = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8)
    u, u_batch = torch.randn(3, 2), torch.tensor([1, 0, 1])
    out = model(image, u=u, u_batch=u_batch)
    for question, scene, answer in zip(u, u_batch, out, strict=True):
        alone = model(image[scene : scene + 1], u=question[None])
        torch.testing.assert_close(alone[0], answer)
