import json
from pathlib import Path

import pytest
import sequences

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.nn.recurrent import RelationalSequenceEncoder


def test_quick_run_compares_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = sequences.run(quick=True, repeats=1)
    written = json.loads(
        (tmp_path / "runs/benchmark-sequences/sequences.json").read_text()
    )
    assert written == json.loads(json.dumps(figures))
    assert [(c["part"], c["sequences"], c["steps"]) for c in figures["cases"]] == [
        ("relation", 1, 30),
        ("model", 1, 30),
        ("relation", 2, 60),
        ("model", 2, 60),
    ]
    assert figures["command"].endswith("--quick --repeats 1")
    assert "2 x 60 steps" in table_summary(figures)


def test_a_wrong_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RelationalSequenceEncoder.relate_last
    monkeypatch.setattr(
        RelationalSequenceEncoder, "relate_last", lambda *a: right(*a) + 0.01
    )
    with pytest.raises(AssertionError):
        sequences._measure("relation", 1, 10, 1, 0)


def test_numbers_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="--repeats of at least 1"):
        sequences.run(repeats=0)
