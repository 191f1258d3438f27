import gc
import json
import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyg_relational.benchmarks import harness, ops
from pyg_relational.benchmarks.ops import Runner, methods, report
from pyg_relational.benchmarks.ops.cases import FLOORS, Case, all_cases
from pyg_relational.benchmarks.ops.methods import Problem
from pyg_relational.cli import main
from pyg_relational.train.results import render

RELATION = Case(
    "small",
    "relation",
    ((1, 5), (3, 2)),
    (4, 3),
    ("textbook", "edges", "auto", "sorted"),
    in_channels=3,
    budget=0.0,
)


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """Collecting garbage before every measured call need not look at what is there."""
    gc.freeze()
    yield
    gc.unfreeze()


def naive_relation(problem: Problem) -> torch.Tensor:
    mlp = methods.sequential(problem.layer.nn)
    x, rows = problem.leaves[0], []
    for start, stop in zip(problem.ptr[:-1], problem.ptr[1:], strict=True):
        members = range(int(start), int(stop))
        for i in members:
            rows.append(sum(mlp(torch.cat([x[i], x[j]])) for j in members))
    return torch.stack(rows)


@pytest.mark.parametrize("method", ["textbook", "edges", "auto", "sorted", "tiled"])
def test_relations_are_the_double_loop(method: str) -> None:
    problem = Problem(RELATION, "cpu", seed=1)
    expected = naive_relation(problem)
    (grad,) = torch.autograd.grad(expected, problem.leaves, problem.cotangent)
    value, ours = problem.build(method).train()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["textbook", "edges", "sorted", "dense"])
def test_attention_layers_agree(method: str) -> None:
    case = Case("a", "attention", ((1, 7),), (2, 3), (), in_channels=4)
    problem = Problem(case, "cpu", seed=0)
    for ours, other in zip(
        problem.build("auto").train(), problem.build(method).train(), strict=True
    ):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_a_baseline_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = methods.TextbookRelation.forward
    monkeypatch.setattr(
        methods.TextbookRelation,
        "forward",
        lambda self, x, mask=None: wrong(self, x, None),
    )
    with pytest.raises(RuntimeError, match="values of textbook dense differ"):
        Runner("cpu", 1, 0).run(RELATION)


def test_what_does_not_fit_leaves_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "free_bytes", lambda device: 10_000)
    results = Runner("cpu", 1, 0).run(RELATION)["methods"]
    assert results["textbook"] == {"note": "needs about 0 GB of 0 GB free"}
    assert results["auto"]["training"]["seconds"][0] > 0


def test_what_would_take_too_long_leaves_a_note() -> None:
    runner = Runner("cpu", 1, 0)
    runner.rates["edges", "relation", (4, 3)] = 1e3
    results = runner.run(RELATION)["methods"]
    assert results["edges"]["note"] == "would take about 37,000 s a call"
    assert runner.rates["textbook", "relation", (4, 3)] < 1e3


def test_a_baseline_that_fails_leaves_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(methods.EdgeRelation, "forward", fail)
    results = Runner("cpu", 1, 0).run(RELATION)["methods"]
    assert results["edges"] == {"note": "failed: RuntimeError: no compiler"}
    monkeypatch.setattr(methods.RelationConv, "forward", fail)
    with pytest.raises(RuntimeError, match="no compiler"):
        Runner("cpu", 1, 0).run(RELATION)


def test_memory_estimate_is_of_the_measured_size() -> None:
    case = Case("x", "relation", ((1, 500),), (64, 64), ("textbook",), 64)
    problem = Problem(case, "cpu", seed=0)
    _, _, peak = harness.peak_memory(problem.build("textbook").train, "cpu")
    assert 0.5 < methods.needed_bytes(case, "textbook") / peak.extra < 2


def figures(seconds: list[float], **kwargs: object) -> dict:
    entry = {"seconds": seconds, "peak_bytes": 6, "process_bytes": 7e9}
    return {"training": {**entry, **kwargs}, "forward": entry}


def test_floors() -> None:
    cases = [
        {
            "key": "sets-6",
            "case": "sets",
            "methods": {
                "auto": figures([1.0, 2.0, 1.0]),
                "textbook": figures([4.0, 6.0, 5.0]),
                "edges": {"note": "failed: no"},
            },
        },
        {
            "key": "ragged",
            "case": "padding",
            "methods": {
                "auto": figures([1.0]),
                "textbook": {"note": "needs about 500 GB of 20 GB free"},
            },
        },
        {"key": "pair-sum-100k", "case": "n", "methods": {"auto": figures([0.1])}},
        {
            "key": "pair-sum-1m",
            "case": "10 n",
            "methods": {"auto": figures([1.5]), "argsort": figures([0.5])},
        },
    ]
    rows = report.floors(cases, quick=False)
    assert [row["met"] for row in rows] == [True, None, False, True, True, True]
    assert rows[0]["median"] == 4
    assert rows[0]["range"] == [3, 5]
    assert rows[2]["median"] == pytest.approx(15)
    assert rows[3]["median"] == 7
    assert {row["met"] for row in report.floors(cases, quick=True)} == {None}


def test_useful_operations() -> None:
    case = {"channels": [256] * 4, "pairs": 10}
    assert report.hidden_operations(case) == 3 * 3 * 2 * 10 * 256**2


def test_exponents() -> None:
    cases = [
        {
            "series": "s",
            "objects": n,
            "methods": {"auto": figures([1e-3 * n**1.5] * 2), "keops": {"note": "-"}},
        }
        for n in (10, 100, 1000, 10_000)
    ]
    (row,) = report.exponents(cases)
    assert row["method"] == "ours: auto"
    assert row["training"] == pytest.approx(1.5)
    assert row["sizes"] == [100, 10_000]


def test_every_floor_has_its_case() -> None:
    cases = {case.key: case for case in all_cases(quick=False)}
    assert len(cases) == len(all_cases(quick=False))
    for floor in FLOORS:
        assert floor.key in cases
        if floor.quantity != "growth":
            assert floor.against in cases[floor.key].methods


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = "sets-6,deep,pair-sum-100k,pair-sum-1m,relation-100,relation-300"
    arguments = ["benchmark", "ops", "--quick", "--threads", "1", "--repeats", "1"]
    arguments += ["--cases", names]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "times faster than PyG on complete edges" in shown.out
    assert "6/6 1 hidden layer, 1 set of 300, width 64" in shown.err
    content = json.loads((tmp_path / "runs/benchmark-ops/ops.json").read_text())
    assert [case["key"] for case in content["cases"]] == names.split(",")
    assert all(math.isfinite(row["training"]) for row in content["exponents"])
    assert content["bounds"]["copy_gb_per_s"] > 0
    picture = (tmp_path / "runs/benchmark-ops/ops.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    rendered = render(content)
    assert rendered.splitlines()[1] == "| --- | --- | --- |"
    assert content["command"] == "pyg-relational " + shlex.join(arguments)
    assert content["command"] in rendered


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "sets-7"], "unknown case 'sets-7'"),
        (["--repeats", "0"], "at least 1, got 0"),
        (["--device", "cuda"], "no CUDA device"),
    ],
)
def test_requests_that_cannot_be_met(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["benchmark", "ops", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_slow_calls_are_measured_once() -> None:
    results = Runner("cpu", 3, 0).run(replace(RELATION, limit=0.0))["methods"]
    for name in RELATION.methods:
        assert len(results[name]["training"]["seconds"]) == 1
        assert results[name]["training"]["note"].startswith("measured once")
    results = Runner("cpu", 3, 0).run(RELATION)["methods"]
    assert len(results["auto"]["training"]["seconds"]) == 3
    assert "note" not in results["auto"]["training"]
