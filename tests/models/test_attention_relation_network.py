import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.models import AttentionRelationNetwork
from pyg_relational.ops import fully_connected_edges

SCORES = ["additive", "mlp", "dot"]


def make(**kwargs) -> AttentionRelationNetwork:
    torch.manual_seed(0)
    return AttentionRelationNetwork(3, 2, [8, 4], [8], heads=2, **kwargs).double()


def scenes(edges: bool) -> Batch:
    """Three scenes, each with edges that come in any order."""
    torch.manual_seed(1)
    graphs = []
    for size in (3, 1, 4):
        data = Data(x=torch.randn(size, 3).double())
        if edges:
            pairs = fully_connected_edges(ptr=torch.tensor([0, size]))
            data.edge_index = pairs[:, torch.randperm(pairs.size(1))[: 2 * size]]
            data.edge_attr = torch.randn(data.edge_index.size(1), 1).double()
        graphs.append(data)
    return Batch.from_data_list(graphs)


@pytest.mark.scatter
@pytest.mark.parametrize("objects", [[], [6]])
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("output", ["set", "node"])
@pytest.mark.parametrize("score", SCORES)
def test_questions_together_equal_questions_one_by_one(score, output, edges, objects):
    model = make(
        object_channels=objects,
        score=score,
        output=output,
        edge_dim=1 if edges else None,
        u_dim=2,
    )
    batch, graphs = scenes(edges), scenes(edges).to_data_list()
    u, u_batch = torch.randn(5, 2).double(), torch.tensor([2, 1, 2, 1, 1])
    out, (pairs, alpha) = model(
        batch.x,
        batch.edge_index,
        batch.edge_attr,
        u,
        batch.batch,
        u_batch=u_batch,
        return_attention_weights=True,
    )
    answers, weights, first = [], [], 0
    for question, s in zip(u, u_batch.tolist(), strict=True):
        graph = graphs[s]
        answer, (edge_index, weight) = model(
            graph.x,
            graph.edge_index,
            graph.edge_attr,
            question[None],
            return_attention_weights=True,
        )
        assert answer.shape == (graph.num_nodes if output == "node" else 1, 2)
        answers.append(answer)
        # Objects are numbered once for each question.
        rows = (pairs[1] >= first) & (pairs[1] < first + graph.num_nodes)
        assert torch.equal(pairs[:, rows] - first, edge_index)
        weights.append(weight)
        first += graph.num_nodes
    torch.testing.assert_close(out, torch.cat(answers), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(alpha, torch.cat(weights), rtol=1e-9, atol=1e-9)
    # The three questions about one object have three answers.
    assert torch.cat([answers[q] for q in (1, 3, 4)]).unique(dim=0).size(0) == 3


@pytest.mark.scatter
@pytest.mark.parametrize("output", ["set", "node"])
@pytest.mark.parametrize("score", SCORES)
def test_weights_of_the_partners_of_an_object_sum_to_one(score, output):
    model, batch = make(score=score, output=output), scenes(False)
    out = model(batch.x, batch=batch.batch)
    assert isinstance(out, Tensor)
    assert out.shape == (8 if output == "node" else 3, 2)
    for asked in (False, None):
        same = model(batch.x, batch=batch.batch, return_attention_weights=asked)
        assert torch.equal(same, out)
    again, (edges, alpha) = model(
        batch.x, batch=batch.batch, return_attention_weights=True
    )
    torch.testing.assert_close(again, out)
    assert torch.equal(edges, fully_connected_edges(ptr=batch.ptr))
    assert alpha.shape == (9 + 1 + 16, 2)
    sums = torch.zeros(8, 2).double().index_add(0, edges[1], alpha)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    # Given as edges, the same pairs say the same.
    listed = model(batch.x, edges, batch=batch.batch)
    torch.testing.assert_close(listed, out)


def test_node_answers_are_the_readouts_of_what_objects_hear():
    node, whole, batch = make(output="node"), make(), scenes(False)
    whole.load_state_dict(node.state_dict())
    heard = node.relation(batch.x, batch=batch.batch)
    torch.testing.assert_close(node(batch.x, batch=batch.batch), node.readout(heard))
    sums = torch.stack([heard[batch.batch == s].sum(dim=0) for s in range(3)])
    torch.testing.assert_close(whole(batch.x, batch=batch.batch), node.readout(sums))


def test_no_objects_at_all():
    model = make()
    nothing = model.readout(torch.zeros(1, 4).double())
    torch.testing.assert_close(model(torch.zeros(0, 3).double()), nothing)
    assert make(output="node")(torch.zeros(0, 3).double()).shape == (0, 2)


def test_dropout_of_weights_is_for_training():
    plain = make()
    model = make(attention_dropout=0.5)
    batch = scenes(False)
    expected = plain(batch.x, batch=batch.batch)
    torch.testing.assert_close(model.eval()(batch.x, batch=batch.batch), expected)
    out = model.train()(batch.x, batch=batch.batch)
    assert not torch.allclose(out, expected)


def test_it_learns_what_needs_pairs():
    """Does another object equal this one? No function of single objects can tell."""
    torch.manual_seed(0)
    model = AttentionRelationNetwork(1, 1, [32, 32], [32], output="node")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x = torch.randint(0, 8, (256, 4, 1)).float() / 4 - 1
    same = ((x == x.transpose(1, 2)).sum(2) > 1).flatten()
    batch = torch.arange(256).repeat_interleave(4)
    for _ in range(200):
        logits = model(x.view(-1, 1), batch=batch).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, same.float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == same).float().mean() > 0.95


@pytest.mark.parametrize("score", SCORES)
def test_training_keeps_nothing_of_the_size_of_the_pairs(score):
    model = AttentionRelationNetwork(8, 2, [8, 8], [8], heads=2, score=score)
    saved = {}
    for n in (300, 3000):
        kept = []

        def keep(x: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            out = model(torch.randn(n, 8))
        out.sum().backward()
        saved[n] = sum(kept)
    # Ten times the objects, ten times the numbers: a hundred times would be pairs.
    assert 3000 * 8 < saved[3000] <= 10 * saved[300]
    assert saved[3000] < 3000 * 200
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"'relation_channels' must end with a multiple of 'heads=3'"),
        ({"heads": 0}, r"'relation_channels' must end with a multiple of 'heads=0'"),
        ({"relation_channels": []}, r"a multiple of 'heads=4' \(got \[\]\)"),
        ({"output": "nodes"}, r"'output' must be one of .*did you mean 'node'"),
        ({"score": "addition"}, r"'score' must be one of .*did you mean 'additive'"),
        ({"attention_dropout": 1.5}, "'dropout' must be from 0 to less than 1"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionRelationNetwork(3, 2, **{"relation_channels": [8], **options})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(4, 2)}, "'x' must have 3 features"),
        ({"x": torch.full((4, 3), float("nan"))}, "'x' must be finite"),
        ({"batch": torch.tensor([0, 1, 0, 1])}, "'batch' must be sorted"),
        ({"batch": torch.tensor([0, 1])}, "each of the 4 rows"),
        ({"batch": None}, "'batch' is missing"),
        ({"u": None}, "'u' is missing"),
        ({"u": torch.zeros(2, 5)}, "'u' must have 2 features"),
        ({"u": torch.zeros(3, 2), "batch_size": 2}, r"'u' must have one row per set"),
        ({"u_batch": torch.tensor([0])}, "1 entries for 2 rows"),
        ({"u_batch": torch.tensor([0, 2])}, "'u_batch' must name sets 0 to 1"),
        ({"edge_attr": torch.zeros(2, 2)}, "'edge_attr' needs 'edge_index'"),
        (
            {"edge_attr": torch.zeros(1, 2), "edge_index": torch.zeros(2, 1).long()},
            r"'edge_attr' was given .*'edge_dim=2'",
        ),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    usual = {
        "x": torch.zeros(4, 3),
        "batch": torch.tensor([0, 0, 1, 1]),
        "u": torch.zeros(2, 2),
    }
    with pytest.raises(ValueError, match=message):
        make(u_dim=2).float()(**(usual | arguments))


def test_edge_features_need_edges():
    model = make(edge_dim=1)
    edges = torch.tensor([[0, 1], [1, 0]])
    x = torch.zeros(3, 3).double()
    for arguments in ({}, {"return_attention_weights": True}, {"edge_index": edges}):
        with pytest.raises(ValueError, match=r"'edge_attr' is missing.*'edge_dim=1'"):
            model(x, **arguments)
