import csv
import gzip
import math
from datetime import date, timedelta
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.stocks import COLUMNS, Stocks

SPLITS = ("train", "val", "test")
WINDOW = 4
NUM_DAYS = 60
# First and last day of each ticker; the file does not list them by alphabet.
LISTED = {"OLD": (0, 59), "END": (0, 54), "MID": (20, 59), "NEW": (53, 59)}


def day(d):
    return (date(2001, 1, 1) + timedelta(days=2 * d)).isoformat()


def make_rows():
    rng = np.random.default_rng(0)
    rows = {}
    for ticker, (first, last) in LISTED.items():
        close = 100.0
        for d in range(first, last + 1):
            open_, close = close, close * math.exp(rng.normal(0, 0.02))
            high = max(open_, close) * math.exp(abs(rng.normal(0, 0.01)))
            low = min(open_, close) * math.exp(-abs(rng.normal(0, 0.01)))
            volume = round(1e6 * math.exp(rng.normal()))
            rows[ticker, d] = [open_, high, low, close, volume, 0.5 * close]
    return rows


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        lines = [(ticker, day(d), *values) for (ticker, d), values in rows.items()]
        csv.writer(file).writerows([columns, *lines])
    return str(path)


@pytest.fixture
def rows():
    return make_rows()


@pytest.fixture
def build(tmp_path):
    def make(rows, split="train", **kwargs):
        path = write(tmp_path / "prices.csv", rows)
        return Stocks(str(tmp_path), split, **({"path": path, "window": 4} | kwargs))

    return make


def day_number(sample):
    text = str(sample.date.item())
    found = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    return (found - date(2001, 1, 1)).days // 2


def raw_features(rows, ticker, d):
    """The features of a day by their definition, one number after the other."""
    open_, high, low, close, volume, adjusted = rows[ticker, d]
    before = rows[ticker, d - 1]
    shares, shares_before = volume * close / adjusted, before[4] * before[3] / before[5]
    return [
        math.log(adjusted / before[5]),
        math.log(open_ / close),
        math.log(high / close),
        math.log(low / close),
        math.log(shares / shares_before),
    ]


def raw_targets(rows, ticker, d):
    _, high, low, _, _, adjusted = rows[ticker, d]
    parkinson = math.sqrt(math.log(high / low) ** 2 / (4 * math.log(2)))
    return [100 * math.log(adjusted / rows[ticker, d - 1][5]), 100 * parkinson]


def training_days(rows, dataset):
    """Every known feature of the days up to the last target of training."""
    end = max(day_number(sample) for sample in dataset) + 1
    return [
        raw_features(rows, ticker, d)
        for ticker, d in rows
        if d <= end and (ticker, d - 1) in rows
    ]


def test_samples_hold_every_stock_with_all_of_its_days(rows, build):
    train = build(rows)
    known = np.array(training_days(rows, train))
    mean, std = known.mean(axis=0), known.std(axis=0)
    seen = []
    for split in SPLITS:
        dataset = build(rows, split)
        assert dataset.tickers == ("END", "MID", "NEW", "OLD")
        for sample in dataset:
            last = day_number(sample)
            seen.append(last)
            # The day before the window is needed for the first return.
            tickers = [
                ticker
                for ticker in dataset.tickers
                if all((ticker, d) in rows for d in range(last - WINDOW, last + 2))
            ]
            assert [dataset.tickers[e] for e in sample.entity] == tickers
            assert sample.length.tolist() == [WINDOW] * len(tickers)
            assert sample.num_nodes == WINDOW * len(tickers)
            x = [
                raw_features(rows, ticker, d)
                for ticker in tickers
                for d in range(last - WINDOW + 1, last + 1)
            ]
            expected = torch.tensor((np.array(x) - mean) / std).float()
            torch.testing.assert_close(sample.x, expected)
            y = [raw_targets(rows, ticker, last + 1) for ticker in tickers]
            torch.testing.assert_close(sample.y, torch.tensor(y))
            assert sample.question_target.tolist() == [[0, 1]] * len(tickers)
    # One sample a day, in order, over all splits: no target in two of them.
    assert seen == list(range(WINDOW, NUM_DAYS - 1))


def test_a_sample_computed_by_hand(build):
    rows = {("A", d): [10, 10, 10, 10, 100, 10] for d in range(20)}
    # Day 2 rises by half, day 3 falls back; nobody else trades.
    rows["A", 2] = [10, 20, 8, 15, 200, 15]
    dataset = build(rows, window=1)
    assert [day_number(sample) for sample in dataset[:2]] == [1, 2]
    half = 100 * math.log(1.5)
    range_ = 100 * math.log(2.5) / 1.6651092
    torch.testing.assert_close(dataset[0].y, torch.tensor([[half, range_]]))
    torch.testing.assert_close(dataset[1].y, torch.tensor([[-half, 0.0]]))
    raw = dataset[1].x.double() * dataset.std + dataset.mean
    expected = [math.log(v) for v in (15 / 10, 10 / 15, 20 / 15, 8 / 15, 200 / 100)]
    assert raw.tolist() == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize("changed", [50, 56])
def test_no_sample_sees_a_later_day(rows, build, changed):
    def splits():
        return [sample for split in SPLITS for sample in build(rows, split)]

    before = splits()
    for ticker, d in rows:
        if d >= changed:
            rows[ticker, d] = [(1 + d) * v for v in rows[ticker, d]]
    after = splits()
    # The validation split starts before; normalisation is by earlier days.
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        past = day_number(a) < changed
        assert torch.equal(a.x, b.x) == past
        assert torch.equal(a.y, b.y) == (day_number(a) + 1 < changed)


def test_normalisation_is_by_the_training_split(rows, build):
    train = build(rows)
    known = np.array(training_days(rows, train))
    np.testing.assert_allclose(train.mean, known.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(train.std, known.std(axis=0), rtol=1e-9)
    for split in ("val", "test"):
        assert torch.equal(build(rows, split).mean, train.mean)
        assert torch.equal(build(rows, split).std, train.std)


def test_splits_follow_each_other_in_time(rows, build):
    train, val, test = (build(rows, split) for split in SPLITS)
    assert [len(split) for split in (train, val, test)] == [38, 8, 9]
    # The last target of training is the last day that validation first looks at.
    assert day_number(train[-1]) + 1 == day_number(val[0])
    assert day_number(val[-1]) + 1 == day_number(test[0])


def test_a_split_of_the_stock_changes_nothing(rows, build):
    before = build(rows)
    for ticker, d in rows:
        if ticker == "OLD" and d >= 30:
            prices, volume, adjusted = rows[ticker, d][:4], *rows[ticker, d][4:]
            rows[ticker, d] = [*(p / 2 for p in prices), 2 * volume, adjusted]
    after = build(rows)
    torch.testing.assert_close(before._data.x, after._data.x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(before._data.y, after._data.y)


def test_the_naive_forecast_repeats_the_volatility_of_the_last_day(rows, build):
    dataset = build(rows)
    for sample in dataset[:5]:
        last = day_number(sample)
        tickers = [dataset.tickers[e] for e in sample.entity]
        expected = [[0.0, raw_targets(rows, t, last)[1]] for t in tickers]
        torch.testing.assert_close(
            dataset.naive_forecast(sample), torch.tensor(expected)
        )
    batch = next(iter(DataLoader(dataset[3:], batch_size=2)))
    forecasts = [dataset.naive_forecast(dataset[i]) for i in (3, 4)]
    torch.testing.assert_close(dataset.naive_forecast(batch), torch.cat(forecasts))


def test_batches_keep_the_stocks_of_each_day(rows, build):
    dataset = build(rows, "test")
    sizes = [sample.entity.numel() for sample in dataset]
    assert set(sizes) == {2, 3}
    batch = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    assert batch.batch.bincount().tolist() == [WINDOW * size for size in sizes]
    assert batch.y.shape == batch.question_target.shape == (sum(sizes), 2)
    assert torch.equal(batch.entity, dataset._data.entity)


def test_second_use_reads_the_stored_file(rows, build, tmp_path, monkeypatch):
    first = build(rows)
    plain = tmp_path / "prices.csv"
    packed = tmp_path / "prices.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    monkeypatch.setattr(Stocks, "generate", lambda self: pytest.fail("again"))
    second = build(rows, path=str(packed))
    assert torch.equal(first._data.x, second._data.x)
    assert second.tickers == first.tickers
    assert torch.equal(second.std, first.std)


def test_every_argument_that_changes_the_content_has_its_own_file(rows, build):
    variants = [{}, {"split": "val"}, {"window": 5}, {"pre_filter": has_two}]
    paths = {build(rows, **kwargs).processed_paths[0] for kwargs in variants}
    del rows["OLD", 59]
    assert len(paths | {build(rows).processed_paths[0]}) == 5
    assert all(has_two(sample) for sample in build(rows, pre_filter=has_two))


def has_two(sample):
    return sample.entity.numel() == 2


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "tset"}, ValueError, "did you mean 'test'"),
        ({"window": 0}, ValueError, "`window`"),
        ({"window": 2.5}, TypeError, "`window`"),
        ({"window": 58}, ValueError, "got 60, which hold 1 windows of 58 days"),
        ({"window": 99}, ValueError, "got 60, which hold 0 windows"),
    ],
)
def test_wrong_arguments_are_named(rows, build, kwargs, error, message):
    with pytest.raises(error, match=message):
        build(rows, **kwargs)


@pytest.mark.skipif(
    find_spec("bokeh_sampledata") is None, reason="needs the package bokeh-sampledata"
)
def test_the_stocks_of_the_package(tmp_path):
    train, val, test = (Stocks(str(tmp_path), split) for split in SPLITS)
    assert [len(split) for split in (train, val, test)] == [2274, 487, 488]
    assert train.tickers == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    # Google was listed in 2004, Facebook in 2012.
    assert train[0].entity.tolist() == [0, 3, 4]
    assert val[0].entity.tolist() == [0, 2, 3, 4]
    assert test[-1].entity.tolist() == [0, 1, 2, 3, 4]
    # The shares of Apple were split two for one on 2005-02-28.
    (i,) = torch.nonzero(train._data.date == 20050225).flatten().tolist()
    assert train[i].y[0, 0] == pytest.approx(
        100 * math.log(5.76514 / 5.71823), abs=1e-2
    )
