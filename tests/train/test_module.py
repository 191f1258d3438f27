import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.train.errors import UsageError
from pyg_relational.train.module import RelationalModule, warmup_cosine
from pyg_relational.train.tasks import task_of


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        out = x.new_zeros(batch_size, x.size(1)).index_add(0, batch, x)
        return self.weight * out


class NeedsImage(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("expected 3 columns in x, got 2")


@pytest.fixture
def batch() -> Batch:
    first = Data(x=torch.tensor([[1.0, 2.0], [3.0, 4.0]]), y=torch.tensor([[4.0, 5.0]]))
    second = Data(x=torch.tensor([[5.0, 6.0]]), y=torch.tensor([[5.0, 8.0]]))
    return Batch.from_data_list([first, second])


def test_model_gets_what_its_forward_names(batch: Batch) -> None:
    module = RelationalModule(Sum(), "regression")
    assert module(batch).tolist() == [[4.0, 6.0], [5.0, 6.0]]


def test_tasks_score_rows(batch: Batch) -> None:
    regression = RelationalModule(Sum(), "regression").task
    output = torch.tensor([[4.0, 6.0], [5.0, 6.0]])
    assert regression.score(output, batch.y).tolist() == [[0.0, 1.0], [0.0, 2.0]]
    assert regression.loss(output, batch.y).item() == pytest.approx(5 / 4)
    assert regression.mode == "min"
    classes = RelationalModule(Sum(), "classification").task
    assert classes.score(output, torch.tensor([1, 1])).tolist() == [1.0, 1.0]
    assert classes.score(output, torch.tensor([0, 1])).tolist() == [0.0, 1.0]


def test_answers_of_steps_are_all_learnt_and_the_last_is_scored() -> None:
    # [2 rows, 3 steps, 2 classes]
    output = torch.tensor([[[1.0, 0.0]] * 2 + [[0.0, 5.0]], [[0.0, 0.0]] * 3])
    y = torch.tensor([1, 0])
    classes = task_of("classification")
    flat = torch.nn.functional.cross_entropy(
        output.view(6, 2), torch.tensor([1, 1, 1, 0, 0, 0])
    )
    assert classes.loss(output, y).item() == pytest.approx(flat.item())
    assert classes.score(output, y).tolist() == [1.0, 1.0]
    assert classes.score(-output, y).tolist() == [0.0, 1.0]
    values = torch.tensor([[[1.0], [2.0]], [[3.0], [5.0]]])
    regression = task_of("regression")
    assert regression.loss(values, torch.tensor([[1.0], [3.0]])).item() == 5 / 4
    assert regression.score(values, torch.tensor([[1.0], [3.0]])).tolist() == [[1], [2]]
    # A forecast of two steps is no answer of two steps.
    assert regression.score(values, values + 1).tolist() == [[[1], [1]], [[1], [1]]]


def test_sets_are_solved_if_all_their_rows_are_right() -> None:
    graphs = [
        Data(x=torch.tensor([[0.0, 1.0], [1.0, 0.0]]), y=torch.tensor([1, 0])),
        Data(x=torch.tensor([[0.0, 1.0], [1.0, 0.0]]), y=torch.tensor([1, 1])),
        Data(x=torch.tensor([[0.0, 1.0]]), y=torch.tensor([1])),
    ]
    module = RelationalModule(
        torch.nn.Identity(),
        "classification",
        {"cells": ("a", "b"), "sets": ("solved",)},
    )
    batch = Batch.from_data_list(graphs)
    batch.question_cells = torch.tensor([0, 0, 0, 1, 1])
    module.inputs = {}
    module.model.forward = lambda: batch.x
    module.log = lambda *args, **kwargs: None
    module.validation_step(batch)
    assert module.score.compute() == {
        "all": {"all": pytest.approx(4 / 5)},
        "cells": {"a": 1.0, "b": 0.5},
        "sets": {"solved": pytest.approx(2 / 3)},
    }


def test_answers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="scores 2 classes, but 'y' holds class 5"):
        task_of("classification").loss(torch.zeros(1, 2), torch.tensor([5]))
    # A forecast of four steps beside values of another shape.
    output, y = torch.zeros(3, 4, 1), torch.zeros(3, 4)
    for function in (task_of("regression").loss, task_of("regression").score):
        with pytest.raises(UsageError, match="give them the same shape"):
            function(output, y)


def test_missing_input_says_what_there_is(batch: Batch) -> None:
    module = RelationalModule(NeedsImage(), "regression")
    with pytest.raises(UsageError, match=r"NeedsImage needs 'image'.*--representation"):
        module(batch)


def test_refused_batch_names_the_model(batch: Batch) -> None:
    module = RelationalModule(Refuses(), "regression")
    with pytest.raises(UsageError, match="Refuses refused the batch: expected 3"):
        module(batch)


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="did you mean 'classification'"):
        RelationalModule(Sum(), "classifiction")
    with pytest.raises(UsageError, match="unknown optimizer 'SGD'"):
        RelationalModule(Sum(), "regression", optimizer="SGD")


def test_warmup_then_cosine() -> None:
    factors = [warmup_cosine(step, 4, 12) for step in range(13)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[8] == pytest.approx(0.5)
    assert factors[12] == pytest.approx(0.0)
    assert factors[4:] == sorted(factors[4:], reverse=True)
