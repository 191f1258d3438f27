import pytest
import torch

from pyg_relational.train.module import GroupedMean

GROUPS = {"kind": ("a", "b"), "subtype": ("c", "d", "e")}


def test_means_of_groups_over_batches() -> None:
    metric = GroupedMean(GROUPS)
    for score, kind, subtype in (
        ([1.0, 0.0, 1.0], [0, 0, 1], [0, 2, 2]),
        ([0.0], [1], [2]),
    ):
        indices = {"kind": torch.tensor(kind), "subtype": torch.tensor(subtype)}
        metric.update(torch.tensor(score), indices)
    means = metric.compute()
    assert means["all"] == {"all": 0.5}
    assert means["kind"] == {"a": 0.5, "b": 0.5}
    # No row is of subtype "d".
    assert means["subtype"] == {"c": 1.0, "e": pytest.approx(1 / 3)}


def test_reset_forgets() -> None:
    metric = GroupedMean({})
    metric.update(torch.tensor([1.0]), {})
    metric.reset()
    metric.update(torch.tensor([0.0, 1.0, 1.0, 0.0]), {})
    assert metric.compute() == {"all": {"all": 0.5}}


def test_columns_are_groups_of_their_own() -> None:
    metric = GroupedMean({"target": ("a", "b")})
    index = torch.tensor([[0, 1], [0, 1]])
    metric.update(torch.tensor([[1.0, 3.0], [2.0, 5.0]]), {"target": index})
    assert metric.compute()["target"] == {"a": 1.5, "b": 4.0}


def test_a_graph_is_solved_if_all_its_rows_are_right() -> None:
    metric = GroupedMean({"sets": ("solved",)})
    # Graph 1 has no row: it counts for nothing.
    graph = torch.tensor([0, 2, 0, 3, 2])
    metric.update(torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0]), {"sets": graph})
    assert metric.compute()["sets"] == {"solved": pytest.approx(2 / 3)}
    metric.update(torch.zeros(0), {"sets": graph[:0]})
    metric.update(torch.tensor([[1.0, 0.0]]), {"sets": torch.tensor([[0, 0]])})
    assert metric.compute()["sets"] == {"solved": 0.5}
    assert metric.compute()["all"] == {"all": pytest.approx(5 / 7)}
