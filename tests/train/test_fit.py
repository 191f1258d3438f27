"""What reaches a model on its way from a dataset of temporal graphs."""

import json
from pathlib import Path

import pytest
import torch

from pyg_relational.train import configure
from pyg_relational.train.fit import build_data, build_module, fit
from pyg_relational.train.recipe import build_model

SCENES = ("biwi_eth", "biwi_hotel", "crowds_zara01")


@pytest.fixture
def walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two who walk all the time, and one who comes late."""
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    raw = tmp_path / "walks" / "raw"
    raw.mkdir(parents=True)
    for stem in SCENES:
        rows = [
            (10 * t, person, 0.3 * t * person, person)
            for t in range(105)
            for person in (1, 2, 3)
            if person < 3 or 5 < t % 20 < 15
        ]
        text = "".join(" ".join(map(str, row)) + "\n" for row in rows)
        (raw / f"{stem}.txt").write_text(text)
    return raw.parent


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    raw = tmp_path / "series" / "raw"
    raw.mkdir(parents=True)
    rows = [[(-1.0) ** week, 0.5 * (-1.0) ** week] for week in range(80)]
    content = {"edges": [[0, 1], [1, 0]], "node_ids": {"A": 0, "B": 1}, "FX": rows}
    (raw / "chickenpox.json").write_text(json.dumps(content))
    return raw.parent


def test_batches_of_temporal_graphs_are_whole(walks: Path) -> None:
    config = configure("pedestrians", command="test", data_root=str(walks))
    module = build_module(config, build_model(config["model"]))
    data = build_data(config, module)
    batch = next(iter(data.val_dataloader()))
    assert batch.x.shape[1:] == (8, 4)
    assert batch.y_mask.dtype == torch.bool
    assert not batch.y_mask.all()
    # The rest is for the reader, and costs time.
    assert {"centre", "frame", "scene"}.isdisjoint(batch.keys())


def test_trajectories_are_trained_and_scored_where_they_are_marked(
    walks: Path, tmp_path: Path
) -> None:
    config = configure(
        "pedestrians",
        command="test",
        data_root=str(walks),
        max_steps=2,
        baseline=False,
        accelerator="cpu",
        settings={"model.args.hidden_channels": 8},
    )
    result = fit(config, tmp_path / "run")
    data = result.data.dataset("test")
    with torch.no_grad():
        output = torch.cat(
            [result.module(batch) for batch in result.data.test_dataloader()]
        )
    error = (output - data._data.y).norm(dim=-1)
    marked = data._data.y_mask[:, 0]
    assert not marked.all()
    average, final = float(error[marked].mean()), float(error[marked, -1].mean())
    assert result.scores["all"]["all"] == pytest.approx(average, rel=1e-4)
    assert result.scores["time"]["final"] == pytest.approx(final, rel=1e-4)


def test_forecasts_of_series_of_any_length_learn(series: Path, tmp_path: Path) -> None:
    config = configure(
        "chickenpox",
        command="test",
        data_root=str(series),
        model="carried",
        epochs=20,
        baseline=False,
        accelerator="cpu",
        settings={"optimizer.learning_rate": 0.05, "budget.validate_every": 20},
    )
    result = fit(config, tmp_path / "run")
    # Of 0 the error is 0.625: the mean of 1 and 0.25.
    assert result.scores["all"]["all"] < 0.1
