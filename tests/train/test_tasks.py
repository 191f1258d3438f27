import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.train.module import task_of


def test_a_forecast_is_scored_by_its_squared_error():
    task = task_of("forecast")
    output, y = torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [3.0]])
    assert (task.metric, task.mode) == ("squared_error", "min")
    assert task.score(output, y).tolist() == [[4.0], [1.0]]
    assert task.loss(output, y).item() == 2.5


def test_a_trajectory_is_scored_by_its_displacement():
    task = task_of("trajectory")
    y = torch.zeros(2, 3, 2)
    output = y.clone()
    output[0, 1] = torch.tensor([3.0, 4.0])
    output[1, 2] = torch.tensor([0.0, -2.0])
    assert (task.metric, task.mode) == ("displacement", "min")
    assert task.score(output, y).tolist() == [[0.0, 5.0, 0.0], [0.0, 0.0, 2.0]]
    assert task.loss(output, y).item() == pytest.approx((9 + 16 + 4) / 12)


def test_only_what_is_marked_counts():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, 3, 2, generator=generator)
    y = torch.randn(4, 3, 2, generator=generator)
    mask = torch.rand(4, 3, generator=generator) < 0.5
    # What is not marked may be anything.
    y[~mask] = torch.nan
    task = task_of("trajectory")
    expected = [
        (output[i, j] - y[i, j]).norm().item() for i, j in mask.nonzero().tolist()
    ]
    assert 0 < len(expected) < 12
    marked = task.marked(output, y, mask)
    assert task.score(*marked).tolist() == pytest.approx(expected)
    assert task.loss(*marked).item() == pytest.approx(
        sum(e**2 for e in expected) / (2 * len(expected))
    )
    whole = task.marked(output, y, None)
    assert whole[0] is output
    assert whole[1] is y


def test_answers_of_steps_are_marked_together():
    # [3 rows, 2 steps, 2 classes]
    output = torch.arange(12.0).view(3, 2, 2)
    y, mask = torch.tensor([0, 1, 1]), torch.tensor([True, False, True])
    kept, targets = task_of("classification").marked(output, y, mask)
    assert kept.tolist() == [[[0, 1], [2, 3]], [[8, 9], [10, 11]]]
    assert targets.tolist() == [0, 1]
    # [3 rows, 2 steps, 2 frames, 1 channel]
    values, y = output.unsqueeze(-1), torch.zeros(3, 2, 1)
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    kept, targets = task_of("trajectory").marked(values, y, mask)
    assert kept.squeeze(-1).tolist() == [[0, 2], [8, 10], [9, 11]]
    assert targets.shape == (3, 1)


@pytest.mark.parametrize(
    ("name", "shape"), [("classification", (2, 3)), ("forecast", (2, 1))]
)
def test_nothing_to_learn_is_a_loss_of_zero(name, shape):
    output = torch.randn(*shape, requires_grad=True)
    y = torch.zeros(2, dtype=torch.long) if name == "classification" else output + 1
    task = task_of(name)
    kept, targets = task.marked(output, y, torch.zeros(2, dtype=torch.bool))
    loss = task.loss(kept, targets)
    assert loss.item() == 0.0
    loss.backward()
    assert output.grad.tolist() == torch.zeros(shape).tolist()
    assert task.score(kept, targets).numel() == 0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(4, 3), r"of type bool .* \[4, 3, 2\], got \[4, 3\] of torch.float"),
        (torch.ones(4, 2, dtype=torch.bool), r"first dimensions of 'y'.*got \[4, 2\]"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message):
    y = torch.zeros(4, 3, 2)
    with pytest.raises(UsageError, match=message):
        task_of("trajectory").marked(y, y, mask)


def test_an_answer_that_does_not_fit_its_mask_is_refused():
    y, mask = torch.zeros(4, 3, 2), torch.ones(4, 3, dtype=torch.bool)
    with pytest.raises(UsageError, match=r"\[4, 5, 2\], but 'y' has \[4, 3, 2\]"):
        task_of("trajectory").marked(torch.zeros(4, 5, 2), y, mask)
