import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.models import (
    AttentionRelationNetwork,
    RecurrentRelationNetwork,
    RelationNetwork,
    StoryNetwork,
)

TOKENS, POSITIONS = 11, 6
REASONERS = {
    "relation": lambda: RelationNetwork(12, 5, [8, 6], [6], u_dim=4),
    "attention": lambda: AttentionRelationNetwork(12, 5, [8, 6], [6], heads=2, u_dim=4),
    "recurrent": lambda: RecurrentRelationNetwork(
        12, 5, 6, [6, 6], [6], [6], steps=2, output="set", u_dim=4
    ),
}


def network(reasoner="relation"):
    torch.manual_seed(0)
    return StoryNetwork(TOKENS, REASONERS[reasoner](), 4, POSITIONS).double()


def stories(sizes, seed=0):
    """Arguments of the network: stories with random sentences and questions."""
    generator = torch.Generator().manual_seed(seed)

    def texts(count, width):
        x = torch.randint(1, TOKENS, (count, width), generator=generator)
        length = torch.randint(1, width + 1, (count, 1), generator=generator)
        return x.where(torch.arange(width) < length, 0)

    return {
        "x": texts(sum(sizes), 5),
        "question": texts(len(sizes), 4),
        "position": torch.cat([torch.arange(size).flip(0) for size in sizes]),
        "batch": torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)),
        "batch_size": len(sizes),
    }


def story(data, s):
    """The arguments for one story of a batch."""
    mine = data["batch"] == s
    return {
        "x": data["x"][mine],
        "question": data["question"][s : s + 1],
        "position": data["position"][mine],
    }


@pytest.mark.parametrize("reasoner", REASONERS)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, POSITIONS), min_size=1, max_size=5), st.integers(0, 99))
def test_a_batch_gives_the_same_as_its_stories(reasoner, sizes, seed):
    model, data = network(reasoner), stories(sizes, seed)
    out = model(**data)
    assert out.shape[0] == len(sizes)
    for s in range(len(sizes)):
        torch.testing.assert_close(
            out[s : s + 1], model(**story(data, s)), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("reasoner", REASONERS)
def test_parameter_gradients_of_a_batch_are_those_of_its_stories(reasoner):
    model, data = network(reasoner), stories((3, 1, 0, 5))
    model(**data).square().sum().backward()
    joint = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for s in range(4):
        model(**story(data, s)).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(joint[name], parameter.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reasoner", REASONERS)
def test_a_story_does_not_leak_into_another(reasoner):
    model, data = network(reasoner), stories((3, 4, 2))
    other = stories((3, 4, 2), seed=1)
    mine = data["batch"] == 1
    changed = data | {
        "x": data["x"].where(~mine[:, None], other["x"]),
        "question": torch.cat(
            [data["question"][:1], other["question"][1:2], data["question"][2:]]
        ),
        "position": data["position"].where(~mine, 5 - data["position"]),
    }
    before, after = model(**data), model(**changed)
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]], rtol=1e-12, atol=1e-12)
    assert (before[1] - after[1]).abs().max() > 1e-6


@pytest.mark.parametrize("reasoner", REASONERS)
def test_sentences_have_no_order_but_their_positions(reasoner):
    model, data = network(reasoner), stories((6,))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    moved = data | {"x": data["x"][order], "position": data["position"][order]}
    expected = model(**data)
    torch.testing.assert_close(model(**moved), expected, rtol=1e-9, atol=1e-9)
    shuffled = data | {"position": data["position"][order]}
    assert (model(**shuffled) - expected).abs().max() > 1e-6


def test_sentences_and_question_share_their_words():
    model = network()
    assert (model.in_channels, model.u_dim) == (12, 4)
    seen = []
    model.reasoner.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    data = stories((2,))
    model(**data)
    (given,) = seen
    sentence, question = model.read(data["x"]), model.read(data["question"])
    torch.testing.assert_close(given["x"][:, :4], sentence)
    torch.testing.assert_close(given["x"][:, 4:8], sentence * question)
    torch.testing.assert_close(given["x"][:, 8:], model.position(data["position"]))
    torch.testing.assert_close(given["u"], question)


def test_several_steps_of_answers():
    assert network("recurrent")(**stories((2, 3))).shape == (2, 2, 5)


def test_without_a_batch_there_is_one_story():
    model, data = network(), stories((4,))
    del data["batch"], data["batch_size"]
    torch.testing.assert_close(model(**data), model(**stories((4,))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.full((3, 2), TOKENS)}, "'x' .*0 to 10 .*got 11 to 11"),
        ({"x": torch.ones(3, 2)}, "'x' .*int64"),
        ({"x": torch.zeros(3, 2, dtype=torch.long)}, "'x' .*starts with padding"),
        ({"question": torch.tensor([[1], [99]])}, "'question' .*got 1 to 99"),
        ({"question": torch.tensor([[1], [0]])}, "'question' .*starts with padding"),
        ({"question": torch.tensor([[1]])}, "'question' .*2 stories .got 1 rows"),
        ({"question": torch.tensor([1, 2])}, "'question' .*one text of at most 12"),
        ({"position": torch.tensor([0, 1, 6])}, "'position' .*0 to 5 .got 0 to 6"),
        ({"position": torch.tensor([0, -1, 0])}, "'position' .*got -1 to 0"),
        ({"position": torch.tensor([0, 1])}, "'position' .*each of the 3 sentences"),
        ({"position": torch.tensor([0.0, 1.0, 0.0])}, "'position' .*int64"),
        ({"batch": torch.tensor([0, 1, 0])}, "'batch' must be sorted"),
        ({"batch": torch.tensor([0, 0, 2])}, "'batch' names set 2"),
    ],
)
def test_bad_input(changes, message):
    data = stories((2, 1))
    network()(**data)
    with pytest.raises(ValueError, match=message):
        network()(**data | changes)
