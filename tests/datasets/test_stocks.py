import gzip
import math
from datetime import date
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.stocks import COLUMNS, Stocks, read_prices
from tests.datasets.small_files import NUM_DAYS, stock_rows, write_stocks

SPLITS = ("train", "val", "test")
WINDOW = 4


@pytest.fixture
def rows():
    return stock_rows()


@pytest.fixture
def build(tmp_path):
    def make(rows, split="train", **kwargs):
        path = write_stocks(tmp_path / "prices.csv", rows)
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


@pytest.mark.parametrize(("window", "found"), [(58, 1), (99, 0)])
def test_too_few_days_are_an_error(rows, build, window, found):
    with pytest.raises(ValueError, match=f"got 60, which hold {found} windows of "):
        build(rows, window=window)


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


# Two tickers; the second one is listed later and is taken off before the end.
LINES = [
    ["B", "2001-01-01", "10", "12", "9", "11", "500", "5.5"],
    ["B", "2001-01-02", "11", "13", "10", "12", "600", "6"],
    ["B", "2001-01-04", "12", "14", "11", "13", "700", "6.5"],
    ["B", "2001-01-05", "13", "15", "12", "14", "800", "7"],
    ["B", "2001-01-08", "14", "16", "13", "15", "900", "7.5"],
    ["A", "2001-01-02", "1", "3", "1", "2", "100", "2"],
    ["A", "2001-01-04", "2", "4", "2", "3", "200", "3"],
    ["A", "2001-01-05", "3", "5", "3", "4", "300", "4"],
]


def text(lines, columns=COLUMNS):
    return "\n".join(",".join(line) for line in [columns, *lines])


def read(content):
    return read_prices(content, "a.csv")


def changed(line, column, value):
    lines = [list(values) for values in LINES]
    lines[line][COLUMNS.index(column)] = value
    return lines


def test_stocks_are_aligned_on_one_calendar():
    prices = read(text(LINES))
    assert prices.tickers == ("A", "B")
    assert prices.days == tuple(date(2001, 1, d) for d in (1, 2, 4, 5, 8))
    assert prices.values.shape == (5, 2, 6)
    assert prices.values[2].tolist() == [
        [2, 4, 2, 3, 200, 3],
        [12, 14, 11, 13, 700, 6.5],
    ]
    # Not listed yet, and no longer.
    assert np.isnan(prices.values[:, 0]).all(axis=1).tolist() == [1, 0, 0, 0, 1]
    assert np.isfinite(prices.values[:, 1]).all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[:6] + LINES[7:], "ticker A has no row for 2001-01-04"),
        (LINES[:1] + LINES[2:], "ticker B has no row for 2001-01-02"),
        (changed(6, "Close", "nan"), "'Close' of ticker A on 2001-01-04 .* 'nan'"),
        (changed(6, "Open", ""), "'Open' of ticker A on 2001-01-04 .* ''"),
        (changed(6, "Low", "-1"), "'Low' of ticker A on 2001-01-04 .* '-1'"),
        (changed(6, "Volume", "0"), "'Volume' of ticker A on 2001-01-04 .* '0'"),
        (changed(6, "Adj Close", "inf"), "'Adj Close' of ticker A on 2001-01-04"),
        (changed(6, "High", "2.5"), "ticker A on 2001-01-04 between .* 'High' 2.5"),
        (changed(6, "Low", "2.5"), "ticker A on 2001-01-04 between 'Low' 2.5"),
        (LINES[:2] + LINES[1:], "ticker B in order .* 2001-01-02 after 2001-01-02"),
        ([LINES[1], LINES[0], *LINES[2:]], "2001-01-01 after 2001-01-02; sort"),
        (changed(0, "Date", "1.1.2001"), r"for ticker B, got '1\.1\.2001'"),
        (changed(0, "Date", "2001-02-30"), "for ticker B, got '2001-02-30'"),
        ([*LINES, ["A", "2001-01-08", "1"]], "'High' of ticker A on 2001-01-08"),
        ([], "a.csv: expected rows, found none"),
    ],
)
def test_wrong_rows_are_named(lines, message):
    with pytest.raises(ValueError, match=message):
        read(text(lines))


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="Adj Close missing"):
        read(text(LINES, [*COLUMNS[:-1], "Adjusted"]))
    with pytest.raises(ValueError, match=r"Ticker, .*Adj Close missing"):
        read("")


def test_a_gap_before_the_first_day_or_after_the_last_is_none():
    assert read(text([*LINES[:5], LINES[6]])).tickers == ("A", "B")
