import json
import math
import os
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import Chickenpox, chickenpox
from pyg_relational.train.references import reference_of

SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
WEEKS = 130


def write(path):
    """Counties whose value is told by the number of the week."""
    rows = [[week + 0.25 * county for county in range(3)] for week in range(WEEKS)]
    ids = {"A": 0, "B": 1, "C": 2}
    path.parent.mkdir(parents=True, exist_ok=True)
    edges = [[0, 0], [0, 1], [1, 0]]
    path.write_text(json.dumps({"edges": edges, "node_ids": ids, "FX": rows}))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    write(tmp_path / "raw" / "chickenpox.json")
    return tmp_path


def test_a_sample(root):
    dataset = Chickenpox(root)
    assert str(dataset) == "Chickenpox(20)"
    assert dataset.counties == ("A", "B", "C")
    sample = dataset[3]
    assert isinstance(sample, TemporalGraph)
    assert sample.week.tolist() == [7]
    assert sample.x[:, :, 0].tolist() == [
        [3.0, 4.0, 5.0, 6.0],
        [3.25, 4.25, 5.25, 6.25],
        [3.5, 4.5, 5.5, 6.5],
    ]
    assert sample.mask.all()
    assert sample.y.tolist() == [[7.0], [7.25], [7.5]]
    assert sample.edge_index.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert sample.node_id.tolist() == sample.entity.tolist() == [0, 1, 2]
    assert sample.num_nodes == 3


def test_every_window_has_the_same_targets(root):
    for split in SPLITS:
        short = Chickenpox(root, split)
        for window in (1, 20, None):
            other = Chickenpox(root, split, window=window)
            assert other._data.week.equal(short._data.week)
            assert other._data.y.equal(short._data.y)
            for sample in other:
                week = int(sample.week)
                length = week if window is None else min(week, window)
                weeks = torch.arange(week - length, week, dtype=torch.float)
                assert sample.x[0, :, 0].equal(weeks)


def test_splits_follow_each_other(root):
    weeks = [Chickenpox(root, split)._data.week for split in SPLITS]
    assert torch.cat(weeks).tolist() == list(range(4, WEEKS))
    assert [len(part) for part in weeks] == [20, 5, 101]
    assert len(Chickenpox(root, "train", train_share=0.8)) == 80


def test_batches_of_different_length(root):
    dataset = Chickenpox(root, window=None)
    batch = next(iter(DataLoader(dataset, batch_size=20)))
    assert batch.x.shape == (60, 23, 1)
    assert batch.y.shape == (60, 1)
    assert batch.edge_index.max() == 58
    assert batch.mask.sum(dim=1)[::3].tolist() == list(range(4, 24))
    for sample, back in zip(dataset, batch.to_data_list(), strict=True):
        assert back.x.equal(sample.x)
        assert back.edge_index.equal(sample.edge_index)


@pytest.mark.parametrize("window", [1, None])
def test_forecasts_that_need_no_fit(root, window):
    dataset = Chickenpox(root, "test", window=window)
    sample = dataset[50]
    week = int(sample.week)
    assert dataset.naive_forecast(sample)[:, 0].equal(sample.y[:, 0] - 1)
    assert dataset.seasonal_forecast(sample)[:, 0].equal(sample.y[:, 0] - 52)
    # Week 51 has no week a year before.
    early = next(sample for sample in dataset if sample.week == 51)
    assert week > 51
    assert dataset.seasonal_forecast(early)[:, 0].equal(early.y[:, 0] - 1)
    batch = next(iter(DataLoader(dataset, batch_size=200)))
    for forecast, name in (
        (dataset.naive_forecast, "naive"),
        (dataset.seasonal_forecast, "seasonal-naive"),
    ):
        alone = reference_of(name)(None, None, dataset)
        assert forecast(batch).equal(alone)


def test_files(root, monkeypatch):
    Chickenpox(root)
    name = "train-window4-train0.2-v1.pt"
    assert (root / "processed" / name).is_file()
    # Nothing is fetched where the samples are stored.
    (root / "raw" / "chickenpox.json").unlink()
    monkeypatch.setattr(chickenpox, "URL", (root / "absent.json").as_uri())
    assert len(Chickenpox(root)) == 20
    with pytest.raises(OSError, match=r"absent.json to .*chickenpox.json'.*by hand"):
        Chickenpox(root, window=5)


def test_a_fetched_file_is_checked(root, tmp_path, monkeypatch):
    monkeypatch.setattr(chickenpox, "URL", (root / "raw/chickenpox.json").as_uri())
    with pytest.raises(ValueError, match="to have the SHA-256 724b48cf"):
        Chickenpox(tmp_path / "other")
    assert not (tmp_path / "other" / "raw" / "chickenpox.json").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "tset"}, ValueError, "did you mean 'test'"),
        ({"window": 0}, ValueError, "`window` to be at least 1, got 0"),
        ({"window": 2.5}, TypeError, "`window` to be an integer"),
        ({"train_share": 1}, ValueError, "above 0 and below 1, got 1"),
        ({"train_share": "0.2"}, TypeError, "`train_share` to be a number"),
        ({"train_share": 0.01}, ValueError, "126 are targets, with `train_share=0.01`"),
    ],
)
def test_wrong_arguments(root, arguments, error, message):
    with pytest.raises(error, match=message):
        Chickenpox(root, **arguments)


@pytest.mark.skipif(
    not (SHARED / "chickenpox" / "chickenpox.json").is_file(),
    reason="chickenpox.json is not at hand",
)
def test_the_published_series(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    splits = [Chickenpox(tmp_path, split) for split in SPLITS]
    train, _, test = splits
    assert [len(split) for split in splits] == [82, 21, 414]
    assert train[0].x.shape == (20, 4, 1)
    assert train[0].edge_index.shape == (2, 102)
    series = train.series
    assert series.shape == (521, 20)
    # Standardised over all weeks, so that 0 is the mean.
    assert series.mean(dim=0).abs().max() < 1e-6
    assert (series.std(dim=0, unbiased=False) - 1).abs().max() < 1e-6
    # Changes: what rises in one week falls in the next.
    follows = (series[1:] * series[:-1]).mean(dim=0)
    assert -0.6 < follows.min() < follows.max() < -0.35
    y = test._data.y
    errors = {
        name: float((reference_of(name)(*splits) - y).square().mean())
        for name in ("mean", "naive", "seasonal-naive")
    }
    assert errors == {
        "mean": pytest.approx(1.008, abs=1e-3),
        "naive": pytest.approx(3.018, abs=1e-3),
        "seasonal-naive": pytest.approx(1.775, abs=1e-3),
    }
    pytest.importorskip("sklearn")
    ridge = float((reference_of("ridge")(*splits) - y).square().mean())
    assert math.isclose(ridge, 0.712, abs_tol=5e-3)
