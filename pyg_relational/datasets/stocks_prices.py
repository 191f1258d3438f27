"""Daily prices of stocks: reading and checking."""

import csv
import io
import math
from dataclasses import dataclass
from datetime import date

import numpy as np

VALUES = ("Open", "High", "Low", "Close", "Volume", "Adj Close")
COLUMNS = ("Ticker", "Date", *VALUES)
OPEN, HIGH, LOW, CLOSE, VOLUME, ADJUSTED = range(len(VALUES))


@dataclass(frozen=True)
class Prices:
    """Daily values of several stocks on one calendar of trading days.

    Args:
        days (tuple[date, ...]): The trading days, in order.
        tickers (tuple[str, ...]): The stocks, by alphabet.
        values (np.ndarray): `[D, K, 6]` in the order of `VALUES`; NaN on days before
            the first and after the last one of a stock.
    """

    days: tuple[date, ...]
    tickers: tuple[str, ...]
    values: np.ndarray


def read_prices(content: str) -> Prices:
    """Reads daily prices; a stock must have every trading day from its first to last.

    A trading day is one on which any stock of the file has a row.

    Args:
        content (str): CSV with the columns `COLUMNS`; the days of each ticker in order,
            written as in 2000-03-01.

    Raises:
        ValueError: A column or a trading day is missing, days are out of order, or a
            value is not a positive number; ticker and day are named.
    """
    reader = csv.DictReader(io.StringIO(content, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(
            f"Expected the columns {', '.join(COLUMNS)} in the file of prices; "
            f"{', '.join(missing)} is missing."
        )
    stocks: dict[str, dict[date, list[float]]] = {}
    for row in reader:
        ticker, day = row["Ticker"], _day(row)
        of_ticker = stocks.setdefault(ticker, {})
        # Dictionaries keep the order of insertion.
        last = next(reversed(of_ticker), None)
        if last is not None and day <= last:
            raise ValueError(
                f"Expected the days of ticker {ticker} in order and once each, got "
                f"{day} after {last}; sort the file by date and drop repeated days."
            )
        of_ticker[day] = _values(row, day)
    if not stocks:
        raise ValueError("Expected rows in the file of prices, got none.")
    return _aligned(stocks)


def _aligned(stocks: dict[str, dict[date, list[float]]]) -> Prices:
    days = tuple(sorted(set().union(*stocks.values())))
    tickers = tuple(sorted(stocks))
    values = np.full((len(days), len(tickers), len(VALUES)), np.nan)
    for k, ticker in enumerate(tickers):
        of_ticker = stocks[ticker]
        first, last = next(iter(of_ticker)), next(reversed(of_ticker))
        for d, day in enumerate(days):
            if day in of_ticker:
                values[d, k] = of_ticker[day]
            elif first < day < last:
                raise ValueError(
                    f"Missing day: ticker {ticker} has no row for {day}, on which "
                    "another ticker was traded; add the row, or leave the ticker out."
                )
    return Prices(days, tickers, values)


def _day(row: dict[str, str]) -> date:
    try:
        return date.fromisoformat(row["Date"])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a date as in 2000-03-01 for ticker {row['Ticker']}, got "
            f"{row['Date']!r}."
        ) from error


def _values(row: dict[str, str], day: date) -> list[float]:
    values = []
    for name in VALUES:
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"Expected {name!r} of ticker {row['Ticker']} on {day} to be a "
                f"positive number, got {row[name]!r}; correct the row."
            )
        values.append(value)
    within = (values[LOW] <= values[price] <= values[HIGH] for price in (OPEN, CLOSE))
    if not all(within):
        raise ValueError(
            f"Expected 'Open' and 'Close' of ticker {row['Ticker']} on {day} between "
            f"'Low' {values[LOW]} and 'High' {values[HIGH]}, got {values[OPEN]} and "
            f"{values[CLOSE]}; correct the row."
        )
    return values
