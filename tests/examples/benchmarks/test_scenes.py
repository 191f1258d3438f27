import json
from pathlib import Path

import pytest
import scenes

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.data import SceneEncoder


def test_quick_run_compares_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = scenes.run(quick=True, repeats=1)
    path = tmp_path / "runs/benchmark-scenes/scenes.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(figures))
    assert [part["scenes"] for part in figures["streams"]] == [500, 2000]
    assert set(figures["seconds"]) == {"from_networkx", "exact", "features"}
    assert figures["command"].endswith("scenes.py --quick --repeats 1")
    assert "200 scenes" in table_summary(figures)


def test_a_wrong_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SceneEncoder.transform

    def wrong(encoder: SceneEncoder, given: list) -> list:
        found = right(encoder, given)
        found[1].x[0, 0] += 1e-3
        return found

    monkeypatch.setattr(SceneEncoder, "transform", wrong)
    with pytest.raises(AssertionError):
        scenes._convert(3, 1, 0)


def test_numbers_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="--repeats of at least 1"):
        scenes.run(repeats=0)
