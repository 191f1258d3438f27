import json
from pathlib import Path

import loader
import pytest
from torch_geometric.data import Batch
from torch_geometric.utils import is_undirected

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.loader import StoredGraphs


def test_quick_run_compares_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        loader, "in_turns", lambda calls, *_: {name: [1] for name in calls}
    )
    figures = loader.run(quick=True, repeats=1)
    path = tmp_path / "runs/benchmark-loader/loader.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(figures))
    assert [row[0] for row in figures["table"]["rows"]] == list(loader.CASES)
    assert figures["table"]["rows"][0][1:] == ["640", "640", "1.0 [1.0 to 1.0]"]
    assert figures["command"].endswith("loader.py --quick --repeats 1")
    assert "640 scenes in batches of 64" in table_summary(figures)


def test_scenes_are_what_they_are_called() -> None:
    for fewest, most, relations in loader.CASES.values():
        dataset = loader.scenes(50, fewest, most, relations, seed=0)
        objects = {scene.num_nodes for scene in dataset}
        assert objects == {*range(fewest, most + 1)}
        for scene in dataset:
            pairs = scene.num_nodes * (scene.num_nodes - 1) * relations
            assert scene.num_edges == pairs
            if relations:
                assert scene.edge_index.unique(dim=1).size(1) == pairs
                assert is_undirected(scene.edge_index)
                assert not scene.has_self_loops()


def test_a_wrong_batch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = StoredGraphs.__getitems__

    def wrong(graphs: StoredGraphs, indices: list[int]) -> Batch:
        batch = right(graphs, indices)
        batch.edge_index[1, -1] += 1
        return batch

    monkeypatch.setattr(StoredGraphs, "__getitems__", wrong)
    with pytest.raises(AssertionError, match="'edge_index' of batch differs"):
        loader._measure(loader.scenes(70, 8, 8, True, 0), 1, 0)


def test_numbers_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="--repeats of at least 1"):
        loader.run(repeats=0)
