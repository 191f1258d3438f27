import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import RecurrentRelationNetwork
from pyg_relational.ops import fully_connected_edges


def make(**kwargs) -> RecurrentRelationNetwork:
    torch.manual_seed(0)
    options = {"steps": 3, **kwargs}
    model = RecurrentRelationNetwork(3, 2, 4, [8, 4], [6], [8], **options)
    return model.double()


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
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("output", ["set", "node"])
def test_questions_together_equal_questions_one_by_one(output, edges, cell):
    model = make(output=output, edge_dim=1 if edges else None, u_dim=2, cell=cell)
    batch, graphs = scenes(edges), scenes(edges).to_data_list()
    u, u_batch = torch.randn(5, 2).double(), torch.tensor([2, 1, 2, 1, 1])
    out = model(
        batch.x, batch.edge_index, batch.edge_attr, u, batch.batch, u_batch=u_batch
    )
    answers = []
    for question, s in zip(u, u_batch.tolist(), strict=True):
        graph = graphs[s]
        answer = model(graph.x, graph.edge_index, graph.edge_attr, question[None])
        assert answer.shape == (graph.num_nodes if output == "node" else 1, 3, 2)
        answers.append(answer)
    torch.testing.assert_close(out, torch.cat(answers), rtol=1e-9, atol=1e-9)
    # The three questions about one object have three answers.
    assert torch.cat([answers[q] for q in (1, 3, 4)]).unique(dim=0).size(0) == 3


def test_a_pointer_chooses_among_the_objects():
    node = RecurrentRelationNetwork(3, 1, 4, [6, 6], [5], [5], steps=2).double()
    pointer = RecurrentRelationNetwork(
        3, 1, 4, [6, 6], [5], [5], steps=2, output="pointer"
    ).double()
    pointer.load_state_dict(node.state_dict())
    batch = scenes(False)
    out, scores = (m(batch.x, batch=batch.batch) for m in (pointer, node))
    assert out.shape == (3, 2, 4)
    least = torch.finfo(torch.float64).min
    for s, (row, size) in enumerate(zip(out, (3, 1, 4), strict=True)):
        expected = scores[batch.batch == s].squeeze(-1).T
        torch.testing.assert_close(row[:, :size], expected)
        assert bool((row[:, size:] == least).all())
    # The softmax over the objects of a graph knows nothing of the others.
    first = pointer(batch.x[:3])[0].softmax(-1)
    torch.testing.assert_close(out[0].softmax(-1)[:, :3], first)
    with pytest.raises(ValueError, match="a whole number of at least 1"):
        RecurrentRelationNetwork(3, 2, steps=2.5)
    with pytest.raises(ValueError, match="'out_channels' must be 1"):
        RecurrentRelationNetwork(3, 2, output="pointer")


@pytest.mark.parametrize("output", ["set", "node"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_fewer_steps_are_the_first_of_more(cell, output):
    """Trained or not, the same weights run for any number of steps."""
    model, batch = make(cell=cell, output=output), scenes(False)
    out = model(batch.x, batch=batch.batch)
    assert out.shape == (8 if output == "node" else 3, 3, 2)
    longer = model(batch.x, batch=batch.batch, steps=7)
    assert longer.shape[1] == 7
    torch.testing.assert_close(longer[:, :3], out, rtol=1e-12, atol=1e-12)
    # The steps after those it was built for do something.
    moved = (longer[:, 1:] - longer[:, :-1]).abs().flatten(2).amax(dim=(0, 2))
    assert moved.min() > 1e-6
    shorter = model(batch.x, batch=batch.batch, steps=1)
    torch.testing.assert_close(shorter, out[:, :1], rtol=1e-12, atol=1e-12)


def test_messages_of_the_first_step_already_differ():
    """One step knows of the other objects: it is a usable baseline."""
    model, x = make(steps=1), torch.randn(4, 3).double()
    out = model(x)
    x[0] += 1
    assert ((model(x)[1:] - out[1:]).abs().amax(dim=(1, 2)) > 1e-6).all()


def test_news_travel_one_edge_a_step():
    model, x = make(steps=5), torch.randn(5, 3).double()
    line = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    out = model(x, line)
    x[0] += 1
    changed = (model(x, line) - out).abs().amax(dim=2) > 0
    expected = [[t >= max(i - 1, 0) for t in range(5)] for i in range(5)]
    assert changed.tolist() == expected


def test_it_renames_with_its_objects():
    model, x = make(), torch.randn(6, 3).double()
    order = torch.randperm(6)
    torch.testing.assert_close(model(x[order]), model(x)[order], rtol=1e-9, atol=1e-9)
    whole = make(output="set")
    torch.testing.assert_close(whole(x[order]), whole(x), rtol=1e-9, atol=1e-9)


def test_the_set_answers_from_the_sum_of_states():
    node, whole, batch = make(), make(output="set"), scenes(False)
    node.head = whole.head = nn.Identity()
    states = node(batch.x, batch=batch.batch)
    assert states.shape == (8, 3, 4)
    sums = torch.stack([states[batch.batch == s].sum(dim=0) for s in range(3)])
    torch.testing.assert_close(whole(batch.x, batch=batch.batch), sums)


def test_the_head_can_be_replaced_and_the_rest_frozen():
    model, batch = make(), scenes(False)
    model.requires_grad_(False)
    model.head = nn.Linear(model.hidden_channels, 5).double()
    out = model(batch.x, batch=batch.batch)
    assert out.shape == (8, 3, 5)
    out.sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"head.weight", "head.bias"}


def test_no_objects_at_all():
    model = make(output="set")
    nothing = model.head(torch.zeros(3, 4).double())
    torch.testing.assert_close(model(torch.zeros(0, 3).double())[0], nothing)
    assert make()(torch.zeros(0, 3).double()).shape == (0, 3, 2)


def test_dropout_is_for_training():
    plain, model, batch = make(), make(dropout=0.5), scenes(False)
    expected = plain(batch.x, batch=batch.batch)
    assert torch.equal(model.eval()(batch.x, batch=batch.batch), expected)
    assert not torch.allclose(model.train()(batch.x, batch=batch.batch), expected)


def chains(count: int) -> tuple[Batch, torch.Tensor]:
    """Chains of six; each has to tell what is written on its first."""
    nodes = torch.arange(5)
    edges = torch.stack([nodes, nodes + 1])
    graphs = []
    for mark in torch.randint(0, 2, (count,)).tolist():
        x = torch.zeros(6, 2)
        x[0, 1] = 2 * mark - 1.0
        graphs.append(Data(x=x, edge_index=edges, y=torch.full((6,), float(mark))))
    batch = Batch.from_data_list(graphs)
    return batch, batch.y


@pytest.mark.parametrize(("steps", "solved"), [(6, True), (1, False)])
def test_it_learns_what_takes_several_steps(steps, solved):
    torch.manual_seed(0)
    model = RecurrentRelationNetwork(2, 1, 16, [16, 16], [16], [16], steps=steps)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        batch, y = chains(32)
        logits = model(batch.x, batch.edge_index, batch=batch.batch)[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, y[:, None].expand_as(logits)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch, y = chains(64)
    logits = model(batch.x, batch.edge_index, batch=batch.batch)[:, -1, 0]
    right = ((logits > 0) == y.bool()).view(64, 6).float().mean(dim=0)
    assert right[:2].min() == 1
    assert (right[5] == 1) == solved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"'steps' must be a whole number of at least 1 \(got 0\)"),
        ({"output": "nodes"}, "'output' must be one of .*did you mean 'node'"),
        ({"cell": "lstn"}, "'cell' must be one of .*did you mean 'lstm'"),
        ({"relation_channels": [8]}, "'channel_list' must name at least 2 layers"),
        ({"act": "relo"}, "'act' must be one of"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentRelationNetwork(3, 2, **options)


ASKED = torch.tensor([0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(4, 2)}, "'x' must have 3 features"),
        ({"x": torch.full((4, 3), torch.nan)}, "'x' must be finite"),
        ({"steps": 0}, "'steps' must be at least 1"),
        ({"u": None}, "'u' is missing"),
        ({"u": torch.zeros(2, 2)}, "'batch' is missing; 'batch_size=2'"),
        ({"u_batch": torch.tensor([1])}, "'u_batch' must name sets 0 to 0"),
        ({"batch": torch.tensor([1, 0, 0, 0])}, "'batch' must be sorted"),
        ({"edge_index": None}, "'edge_attr' needs 'edge_index'"),
        ({"edge_index": None, "u_batch": ASKED}, "'edge_attr' needs 'edge_index'"),
        ({"edge_attr": None}, "'edge_attr' is missing"),
        ({"edge_attr": torch.zeros(2, 1), "u_batch": ASKED}, "each of the 3 edges"),
        ({"edge_attr": torch.zeros(2, 1)}, "one row for each of the 3 edges"),
        ({"edge_attr": torch.zeros(3, 2)}, "'edge_attr' must have 1 features"),
    ],
)
def test_bad_inputs_name_the_argument(arguments, message):
    model = make(edge_dim=1, u_dim=2).float()
    given = {
        "x": torch.zeros(4, 3),
        "edge_index": torch.tensor([[0, 1, 2], [1, 2, 3]]),
        "edge_attr": torch.zeros(3, 1),
        "u": torch.zeros(1, 2),
    }
    with pytest.raises(ValueError, match=message):
        model(**{**given, **arguments})
