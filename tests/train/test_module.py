import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational._checks import UsageError
from pyg_relational.train.module import (
    RelationalModule,
    score_of,
    task_of,
    warmup_cosine,
)


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


class Answers(nn.Module):
    """Gives the answers that the batch holds."""

    def forward(self, answers: Tensor) -> Tensor:
        return answers


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


def evaluated(batch: Batch, groups: dict[str, tuple[str, ...]]) -> dict:
    """The scores of the answers that a batch brings along."""
    module = RelationalModule(Answers(), "classification", groups)
    module.log = lambda *args, **kwargs: None
    module.validation_step(batch)
    return module.score.compute()


def pairs(*graphs: tuple[int, list[tuple[int, int, bool]]]) -> Batch:
    """Graphs of some nodes, and pairs (i, j, whether the answer is right)."""
    return Batch.from_data_list(
        [
            Data(
                x=torch.zeros(nodes, 1),
                edge_label_index=torch.tensor([(i, j) for i, j, _ in told]).t(),
                answers=torch.tensor([[0.0, float(right)] for *_, right in told]) - 0.5,
                y=torch.ones(len(told), dtype=torch.long),
            )
            for nodes, told in graphs
        ]
    )


def test_pairs_belong_to_the_graph_of_their_nodes() -> None:
    # Three nodes and one; one pair and three: not the graphs of the first four nodes.
    batch = pairs(
        (3, [(2, 0, False)]),
        (1, [(0, 0, True)] * 3),
        (2, [(1, 0, True), (0, 1, False)]),
    )
    scores = evaluated(batch, {"sets": ("solved",)})
    assert scores["all"] == {"all": pytest.approx(4 / 6)}
    assert scores["sets"] == {"solved": pytest.approx(1 / 3)}
    # Pairs that are not marked make nothing wrong; a graph without any is left out.
    batch.y_mask = torch.tensor([0, 1, 1, 1, 1, 0]).bool()
    scores = evaluated(batch, {"sets": ("solved",)})
    assert scores["all"] == {"all": 1.0}
    assert scores["sets"] == {"solved": 1.0}
    batch.y_mask[-1] = True
    assert evaluated(batch, {"sets": ("solved",)})["sets"] == {"solved": 0.5}


def test_graphs_are_their_own_sets() -> None:
    graphs = [
        Data(x=torch.zeros(n, 1), y=torch.tensor([1]), answers=torch.tensor([[0.0, r]]))
        for n, r in ((3, 1.0), (2, 1.0), (2, -1.0))
    ]
    scores = evaluated(Batch.from_data_list(graphs), {"sets": ("solved",)})
    assert scores["sets"] == {"solved": pytest.approx(2 / 3)}


def test_rows_of_nobody_have_no_set() -> None:
    batch = pairs((3, [(2, 0, False)]), (1, [(0, 0, True)] * 3))
    del batch.edge_label_index
    batch.y = torch.ones(3, dtype=torch.long)
    batch.answers = torch.zeros(3, 2)
    with pytest.raises(UsageError, match="got 3 rows for 4 nodes of 2 graphs"):
        evaluated(batch, {"sets": ("solved",)})


def masked_batch() -> Batch:
    """Two trajectories of three frames; of the second, the last frame is not told."""
    walk = torch.tensor([[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    lost = walk.clone()
    lost[0, 2] = torch.nan
    group = torch.tensor([[0, 0, 1]])
    return Batch.from_data_list(
        [
            Data(answers=walk * 0, y=walk, y_mask=mask, question_time=group),
            Data(
                answers=walk * 0,
                y=lost,
                y_mask=mask & torch.tensor([True, True, False]),
                question_time=group,
            ),
        ]
    )


def test_the_mask_holds_for_loss_scores_and_groups() -> None:
    batch = masked_batch()
    groups = {"time": ("before", "final")}
    module = RelationalModule(Answers(), "trajectory", groups)
    logged: dict[str, tuple[float, int]] = {}

    def log(name: str, value: Tensor, batch_size: int, **_: object) -> None:
        logged[name] = (float(value), batch_size)

    module.log = log
    # Squares 1, 4, 9 and 1, 4 of five points with two coordinates.
    assert module.training_step(batch).item() == pytest.approx(19 / 10)
    module.validation_step(batch)
    assert logged["val/loss"] == (pytest.approx(19 / 10), 5)
    expected = {
        "all": {"all": pytest.approx(9 / 5)},
        "time": {"before": 1.5, "final": 3.0},
    }
    assert module.score.compute() == expected
    # References are given all rows, as one table.
    assert score_of(module.task, groups, batch.answers, batch) == expected


def test_a_batch_without_a_marked_row_changes_nothing() -> None:
    batch = masked_batch()
    batch.y_mask[:] = False
    module = RelationalModule(Answers(), "trajectory", {"time": ("before", "final")})
    losses = {}
    module.log = lambda name, value, **_: losses.update({name: float(value)})
    assert module.training_step(batch).item() == 0.0
    module.validation_step(batch)
    assert losses == {"train/loss": 0.0, "val/loss": 0.0}
    assert module.score.count.tolist() == [0.0] * 3


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
