"""The next day of several stocks."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_int
from pyg_relational.datasets.base import (
    SPLITS,
    Counts,
    Rows,
    Slices,
    StoredDataset,
    collate_ragged,
)
from pyg_relational.datasets.downloads import content_tag, packaged_file, read_text
from pyg_relational.datasets.tables import parse_table

PACKAGED = ("bokeh-sampledata", "bokeh_sampledata", "_data/stocks.csv.gz")
# Of the uncompressed file.
SHA256 = "e73fe05d106b7da1abe8f947264c514afd02cef5c9db4864b9437c84d6bd6069"
VALUES = ("Open", "High", "Low", "Close", "Volume", "Adj Close")
COLUMNS = ("Ticker", "Date", *VALUES)
OPEN, HIGH, LOW, CLOSE, VOLUME, ADJUSTED = range(len(VALUES))
# Where the validation and the test split start, as shares of the days with a sample.
STARTS = (0.7, 0.85)
FEATURES = ("return", "open", "high", "low", "volume")
TARGETS = ("return", "volatility")
# Percent, and the factor of Parkinson's estimator.
RANGE_TO_VOLATILITY = 100 / np.sqrt(4 * np.log(2))


class Stocks(StoredDataset):
    r"""Return and volatility of stocks on the next day, from their last days.

    One sample a trading day :math:`d`, one sequence a stock that was traded on all of
    the `window` days up to :math:`d`, on the day before them and on the next day; the
    number of stocks differs between samples. With open, high, low, close and adjusted
    close :math:`O, H, L, C, A`, the targets in percent are

    .. math::
        r = 100 \ln \frac{A_{d+1}}{A_d}, \qquad
        v = \frac{100}{\sqrt{4 \ln 2}} \ln \frac{H_{d+1}}{L_{d+1}},

    the second being Parkinson's estimate of the volatility. The adjusted close is used
    because a stock split would read as a loss of half the price.

    The splits follow each other in time: the first 70 % of days are for training, the
    next 15 % for validation, the last 15 % for test. No target of one split is one of
    another; the windows of a split look back into the one before. Features are
    normalised by the days of the training split alone.

    Args:
        root (str): Folder of the dataset.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        window (int): Days that a sample shows of each stock. (default: `20`)
        path (str, optional): A CSV file, also compressed by gzip, with the columns
            Ticker, Date, Open, High, Low, Close, Volume and Adj Close, in place of
            that of the package `bokeh-sampledata` (extra `data`). (default: `None`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[E * window, 5]` normalised features `FEATURES` of each day, stock by
          stock and in time order
        - **length:** `[E]` the number of days of each stock, `window`
        - **entity:** `[E]` index into `tickers`
        - **y:** `[E, 2]` the targets `TARGETS`, in percent
        - **question_target:** `[E, 2]` index into `TARGETS`
        - **date:** `[1]` the last day of the window, as in 20000301

    Raises:
        ModuleNotFoundError: The package is needed and not installed.
    """

    task = "regression"
    kind = "node"
    FEATURES = FEATURES
    TARGETS = TARGETS

    def __init__(
        self,
        root: str,
        split: str = "train",
        window: int = 20,
        path: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.window = check_int("window", window, 1)
        self.path = path
        self._tag = content_tag(path)
        super().__init__(root, split, **kwargs)
        self.tickers: tuple[str, ...] = tuple(self.extras["tickers"])
        # [F] in float64, of the days of the training split.
        self.mean: Tensor = self.extras["mean"]
        self.std: Tensor = self.extras["std"]

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        return {"target": TARGETS}

    def _name(self) -> str:
        return f"{self.split}{self._tag}-window{self.window}"

    def naive_forecast(self, data: Data) -> Tensor:
        """Returns what a naive forecaster expects of the next day, `[E, 2]`.

        The price stays, so its return is 0, and the volatility is that of the last day.

        Args:
            data (Data): A sample or a batch of this dataset, not transformed.
        """
        # [E * window, F] -> [E, F]
        last = data.x.view(-1, self.window, len(FEATURES))[:, -1].double()
        last = last * self.std + self.mean
        high, low = last[:, FEATURES.index("high")], last[:, FEATURES.index("low")]
        volatility = RANGE_TO_VOLATILITY * (high - low)
        return torch.stack([torch.zeros_like(volatility), volatility], dim=1).float()

    def generate(self) -> tuple[Data, Slices]:
        if self.path is None:
            text = read_text(packaged_file(*PACKAGED), SHA256)
        else:
            text = read_text(self.path)
        prices = read_prices(text, self.path or PACKAGED[-1])
        features, targets = day_features(prices), day_targets(prices)
        windows = find_windows(features, targets, self.window)
        mean, std = training_statistics(features, windows.training_end)
        self.extras = {"tickers": list(prices.tickers), "mean": mean, "std": std}
        normalised = (features - mean.numpy()) / std.numpy()
        days = windows.days[self.split]
        rows, counts = window_tensors(
            normalised, targets, windows.valid, days, self.window
        )
        last_days = [prices.days[d + self.window - 1] for d in days]
        rows["date"] = torch.tensor([int(f"{day:%Y%m%d}") for day in last_days])
        return collate_ragged(rows, counts)


@dataclass(frozen=True)
class Prices:
    """Daily values of several stocks, by alphabet, on one calendar of trading days:
    `[D, K, 6]` in the order of `VALUES`, NaN before the first and after the last day of
    a stock."""

    days: tuple[date, ...]
    tickers: tuple[str, ...]
    values: np.ndarray


def read_prices(content: str, name: str) -> Prices:
    """Reads daily prices; a stock must have every trading day from its first to last.

    A trading day is one on which any stock of the file has a row."""
    stocks: dict[str, dict[date, list[float]]] = {}

    def parse(row: dict[str, str]) -> None:
        ticker = row["Ticker"]
        try:
            day = date.fromisoformat(row["Date"])
        except ValueError as error:
            raise ValueError(
                f"expected a date as in 2000-03-01 for ticker {ticker}, got "
                f"{row['Date']!r}"
            ) from error
        of_ticker = stocks.setdefault(ticker, {})
        # Dictionaries keep the order of insertion.
        last = next(reversed(of_ticker), None)
        if last is not None and day <= last:
            raise ValueError(
                f"expected the days of ticker {ticker} in order and once each, got "
                f"{day} after {last}; sort the file by date and drop repeated days"
            )
        of_ticker[day] = _values(row, day)

    parse_table(content, name, COLUMNS, parse)
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


def _values(row: dict[str, str], day: date) -> list[float]:
    values = []
    for name in VALUES:
        try:
            value = float(row[name])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"expected {name!r} of ticker {row['Ticker']} on {day} to be a "
                f"positive number, got {row[name]!r}"
            )
        values.append(value)
    within = (values[LOW] <= values[price] <= values[HIGH] for price in (OPEN, CLOSE))
    if not all(within):
        raise ValueError(
            f"expected 'Open' and 'Close' of ticker {row['Ticker']} on {day} between "
            f"'Low' {values[LOW]} and 'High' {values[HIGH]}, got {values[OPEN]} and "
            f"{values[CLOSE]}"
        )
    return values


def day_features(prices: Prices) -> np.ndarray:
    """Returns the features of each day, `[D, K, 5]` in the order of `FEATURES`.

    A stock has none (NaN) on its first day, which has no day before it.
    """
    log = np.log(prices.values)
    # Shares are counted as after later splits, as in the adjusted close.
    volume = log[..., VOLUME] + log[..., CLOSE] - log[..., ADJUSTED]
    features = [
        _change(log[..., ADJUSTED]),
        log[..., OPEN] - log[..., CLOSE],
        log[..., HIGH] - log[..., CLOSE],
        log[..., LOW] - log[..., CLOSE],
        _change(volume),
    ]
    return np.stack(features, axis=-1)


def day_targets(prices: Prices) -> np.ndarray:
    """Returns return and volatility of each day in percent, `[D, K, 2]`."""
    log = np.log(prices.values)
    returns = 100 * _change(log[..., ADJUSTED])
    volatility = RANGE_TO_VOLATILITY * (log[..., HIGH] - log[..., LOW])
    return np.stack([returns, volatility], axis=-1)


def _change(log: np.ndarray) -> np.ndarray:
    """Returns the difference to the day before, `[D, K]`, NaN on the first day."""
    before = np.vstack([np.full_like(log[:1], np.nan), log[:-1]])
    return log - before


@dataclass(frozen=True)
class Windows:
    """Which samples there are: for each split the days d on which windows start, and
    `[D - window, K]`, whether stock k has all days from day d on and the day after the
    window. No day from `training_end` on is a target of the training split."""

    valid: np.ndarray
    days: dict[str, np.ndarray]
    training_end: int


def find_windows(features: np.ndarray, targets: np.ndarray, window: int) -> Windows:
    """Returns where windows start, split by time."""
    known = np.isfinite(features).all(axis=-1)
    num_starts = max(0, len(known) - window)
    valid = np.zeros((num_starts, known.shape[1]), dtype=bool)
    if num_starts > 0:
        # [D - window, K, window]
        steps = sliding_window_view(known[:-1], window, axis=0)
        valid = steps.all(axis=-1) & np.isfinite(targets[window:]).all(axis=-1)
    (starts,) = np.nonzero(valid.any(axis=1))
    parts = np.split(starts, [int(share * len(starts)) for share in STARTS])
    if any(len(part) == 0 for part in parts):
        raise ValueError(
            f"Expected enough days for three splits, got {len(known)}, which hold "
            f"{len(starts)} windows of {window} days and the next one; give more "
            "days, or choose a smaller `window`."
        )
    days = dict(zip(SPLITS, parts, strict=True))
    return Windows(valid, days, int(parts[0][-1]) + window + 1)


def training_statistics(features: np.ndarray, end: int) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each feature before a day, `[F]`."""
    before = features[:end]
    # [rows, F]
    before = before[np.isfinite(before).all(axis=-1)]
    std = before.std(axis=0)
    # A feature that never changes in training stays as it is.
    std[std == 0] = 1.0
    return torch.from_numpy(before.mean(axis=0)), torch.from_numpy(std)


def window_tensors(
    features: np.ndarray,
    targets: np.ndarray,
    valid: np.ndarray,
    days: np.ndarray,
    window: int,
) -> tuple[Rows, Counts]:
    """Returns the attributes of all samples."""
    # By day, then by stock.
    sample, entity = np.nonzero(valid[days])
    start = days[sample]
    # [R, window, F] -> [R * window, F]
    steps = start[:, None] + np.arange(window)
    x = features[steps, entity[:, None]].reshape(-1, features.shape[-1])
    question = np.tile(np.arange(len(TARGETS)), (len(start), 1))
    rows = {
        "x": torch.from_numpy(x).float(),
        "length": torch.full((len(start),), window),
        "entity": torch.from_numpy(entity),
        "y": torch.from_numpy(targets[start + window, entity]).float(),
        "question_target": torch.from_numpy(question),
    }
    entities = torch.from_numpy(valid[days].sum(axis=1))
    return rows, dict.fromkeys(rows, entities) | {"x": entities * window}
