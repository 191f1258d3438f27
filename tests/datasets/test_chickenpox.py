import json
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import Chickenpox, chickenpox
from pyg_relational.datasets.chickenpox import (
    parse_series,
    target_weeks,
    window_tensors,
)
from pyg_relational.train.references import reference_of
from tests.datasets.small_files import WEEKS, write_chickenpox

SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    write_chickenpox(tmp_path / "raw" / "chickenpox.json")
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


def test_too_few_training_weeks_are_an_error(root):
    with pytest.raises(ValueError, match="126 are targets, with `train_share="):
        Chickenpox(root, train_share=0.01)


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


COUNTIES = {"VAS": 2, "ZALA": 0, "PEST": 1}


def content(weeks=30):
    rows = [[week + 0.25 * county for county in range(3)] for week in range(weeks)]
    return {"edges": [[0, 0], [0, 2], [2, 0]], "node_ids": COUNTIES, "FX": rows}


def read(**changes):
    return parse_series(json.dumps(content() | changes))


def test_a_series_is_read_in_the_order_of_its_counties():
    series = read()
    assert series.counties == ("ZALA", "PEST", "VAS")
    assert series.values.shape == (30, 3)
    assert series.values[7].tolist() == [7.0, 7.25, 7.5]
    assert series.edge_index.tolist() == [[0, 0, 2], [0, 2, 0]]


@given_by(st.integers(40, 400), st.floats(0.15, 0.95))
@settings(deadline=None)
def test_splits_part_the_weeks_in_order(num_weeks, share):
    parts = [target_weeks(num_weeks, share, split) for split in SPLITS]
    assert torch.cat(parts).tolist() == list(range(4, num_weeks))
    assert all(len(part) > 0 for part in parts)
    known = len(parts[0]) + len(parts[1])
    assert known == math.floor(share * (num_weeks - 4))
    assert len(parts[1]) == math.ceil(known - 0.8 * known - 1e-9)


@pytest.mark.parametrize(("num_weeks", "targets"), [(0, 0), (4, 0), (9, 5), (13, 9)])
def test_too_few_weeks_are_named(num_weeks, targets):
    message = f"got {num_weeks}, of which {targets} are targets, with `train_share=0.2`"
    with pytest.raises(ValueError, match=message):
        target_weeks(num_weeks, 0.2, "train")
    assert len(target_weeks(14, 0.2, "train")) == 1


def test_the_published_split():
    # 517 samples, the first fifth of them to train on.
    sizes = [len(target_weeks(521, 0.2, split)) for split in SPLITS]
    assert sizes == [82, 21, 414]


@given_by(st.one_of(st.none(), st.integers(1, 12)), st.integers(4, 20))
@settings(deadline=None)
def test_windows_show_the_weeks_before(window, first):
    series = read()
    weeks = torch.tensor([first, first + 3])
    rows, counts = window_tensors(series, weeks, window)
    start = 0
    for b, week in enumerate(weeks.tolist()):
        length = week if window is None else min(window, week)
        assert int(counts["x_steps"][b]) == 3 * length
        shown = rows["x_steps"][start : start + 3 * length]
        # [N, T]: county by county, the last week last.
        expected = series.values[week - length : week].t().float()
        assert shown.view(3, length).equal(expected)
        assert int(rows["num_frames"][b]) == length
        assert rows["y"][3 * b : 3 * b + 3, 0].equal(series.values[week].float())
        start += 3 * length
    assert len(rows["x_steps"]) == start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_ids": {"A": 0, "B": 2, "C": 3}}, "a number of its own, from 0 on"),
        ({"node_ids": {"A": 0, "B": 0, "C": 1}}, "a number of its own"),
        ({"node_ids": {"A": 0, "B": "1", "C": 2}}, "a number of its own"),
        ({"node_ids": {}}, "a number of its own"),
        ({"node_ids": [0, 1, 2]}, "a number of its own"),
        ({"edges": [[0, 1], [0, 3]]}, r"from 0 to 2, got \[0, 3\]"),
        ({"edges": [[0, 1, 2]]}, r"pairs of counties .*got \[0, 1, 2\]"),
        ({"edges": [0]}, "pairs of counties from 0 to 2, got 0"),
        ({"edges": 3}, "'edges' to be a list of pairs, got 3"),
        ({"FX": 3}, "'FX' to be a list of weeks, got 3"),
        ({"FX": [[1, 2, 3], None]}, "Missing week: week 1 has no values"),
        ({"FX": [[1, 2, 3], []]}, "Missing week: week 1 has no values"),
        ({"FX": [[1, 2, 3], [1, 2]]}, "of 3 counties in week 1, got 2"),
        ({"FX": [[1, 2, 3], 4]}, "of 3 counties in week 1, got 4"),
        ({"FX": [[1, 2, 3], [1, math.nan, 3]]}, "county PEST in week 1 .* got nan"),
        ({"FX": [[1, 2, None]]}, "county VAS in week 0 .* got None; correct"),
        ({"FX": [["1", 2, 3]]}, "county ZALA in week 0 .* got '1'"),
        ({"FX": [[1, 2, True]]}, "county VAS in week 0 .* got True"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        read(**changes)


def test_files_of_another_kind_are_named():
    with pytest.raises(ValueError, match="the series to be JSON, got"):
        parse_series("week,county")
    with pytest.raises(ValueError, match="node_ids, FX is missing"):
        parse_series('{"edges": []}')
    with pytest.raises(ValueError, match="edges, node_ids, FX is missing"):
        parse_series("[1, 2]")
