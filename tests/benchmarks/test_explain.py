import json
from pathlib import Path

import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import explain
from pyg_relational.benchmarks.harness import table_summary


def test_auroc_is_the_share_of_pairs_below_the_true_one() -> None:
    scores = torch.zeros(4, 4)
    # Pairs without order: 01 has 3, 02 has 2, 03 has 2, 12 has 5, 13 and 23 have 0.
    scores[0, 1], scores[1, 0] = 1.0, 2.0
    scores[0, 2] = scores[3, 0] = 2.0
    scores[2, 1] = 5.0
    scores.fill_diagonal_(99.0)
    assert explain.auroc(scores, torch.tensor([1, 2])) == 1.0
    assert explain.auroc(scores, torch.tensor([1, 0])) == pytest.approx(4 / 5)
    assert explain.auroc(scores, torch.tensor([0, 3])) == pytest.approx(2.5 / 5)
    assert explain.auroc(scores, torch.tensor([2, 3])) == pytest.approx(0.5 / 5)


def test_figures_of_a_run(finished_run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    figures = explain.run(str(finished_run), scenes=8)
    assert json.loads((tmp_path / "runs/benchmark-explain/explain.json").read_text())
    assert (tmp_path / "runs/benchmark-explain/explain.png").stat().st_size > 1000
    table = figures["table"]
    labels = [row[0] for row in table["rows"]]
    assert "trained: removal, the answer" in labels
    assert "random weights: random order" in labels
    assert not any("attention" in label for label in labels)
    results = {label: values[0] for label, values in figures["figures"].items()}
    best = results["trained: removal, the answer"]
    chance = results["trained: random order"]
    # What removal says is confirmed by taking pairs out and putting them in.
    assert best["deletion"] < chance["deletion"]
    assert best["insertion"] > chance["insertion"]
    assert "AUROC" in table_summary(figures)


def test_the_true_pair_is_found_where_only_it_counts(
    finished_run: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def oracle(model, batch, *args, **kwargs):
        matrices = []
        for n, pair in zip(
            batch.ptr.diff()[batch.u_batch].tolist(), batch.pair, strict=True
        ):
            matrix = torch.zeros(n, n)
            if pair[1] >= 0:
                matrix[pair[0], pair[1]] = -1.0
            matrices.append(matrix)
        return matrices

    monkeypatch.setattr(explain, "pair_attribution", oracle)
    figures = explain.run(str(finished_run), scenes=8)["figures"]
    assert figures["trained: removal, the answer"][0]["auroc"] == 1.0


@pytest.mark.parametrize(("part", "match"), [("baseline", "DeepSets"), ("", "scenes")])
def test_bad_requests(finished_run: Path, part: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        explain.run(str(finished_run / part), scenes=8 if part else 0)
