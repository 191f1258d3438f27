from datetime import date

import numpy as np
import pytest

from pyg_relational.datasets.stocks import COLUMNS, read_prices

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
