"""The next day of several stocks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.packaged import content_tag, packaged_file, read_text
from pyg_relational.datasets.stocks_prices import read_prices
from pyg_relational.datasets.stocks_samples import (
    FEATURES,
    RANGE_TO_VOLATILITY,
    SPLITS,
    TARGETS,
    day_features,
    day_targets,
    find_windows,
    training_statistics,
    window_tensors,
)
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
PACKAGED = ("bokeh-sampledata", "bokeh_sampledata", "_data/stocks.csv.gz")
# Of the uncompressed file.
SHA256 = "e73fe05d106b7da1abe8f947264c514afd02cef5c9db4864b9437c84d6bd6069"


class Stocks(InMemoryDataset):
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
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        window (int): Days that a sample shows of each stock. (default: `20`)
        path (str, optional): A CSV file, also compressed by gzip, with the columns
            Ticker, Date, Open, High, Low, Close, Volume and Adj Close, in place of
            that of the package `bokeh-sampledata` (extra `data`). (default: `None`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

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
        OSError: The data has to be stored and `root` cannot be written.
        TypeError: `window` is not an integer.
        ValueError: `split` is unknown, `window` is out of range, or a row of the file
            is wrong or missing; ticker and day are named.
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
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.window = check_int("window", window, 1)
        self.path = path
        self._tag = content_tag(path)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        content = load_stored(self, self._generate, force_reload=force_reload)
        self.tickers: tuple[str, ...] = tuple(content["tickers"])
        # [F] in float64, of the days of the training split.
        self.mean: Tensor = content["mean"]
        self.std: Tensor = content["std"]

    @property
    def processed_file_names(self) -> str:
        name = f"{self.split}{self._tag}-window{self.window}-v{FORMAT_VERSION}"
        return stored_name(self, name)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which values are scored, with their names."""
        return {"target": TARGETS}

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

    def _generate(self) -> dict[str, Any]:
        if self.path is None:
            text = read_text(packaged_file(*PACKAGED), SHA256)
        else:
            text = read_text(self.path)
        prices = read_prices(text)
        features, targets = day_features(prices), day_targets(prices)
        windows = find_windows(features, targets, self.window)
        mean, std = training_statistics(features, windows.training_end)
        normalised = (features - mean.numpy()) / std.numpy()
        days = windows.days[self.split]
        rows, counts = window_tensors(
            normalised, targets, windows.valid, days, self.window
        )
        last_days = [prices.days[d + self.window - 1] for d in days]
        rows["date"] = torch.tensor([int(f"{day:%Y%m%d}") for day in last_days])
        counts["date"] = torch.ones(len(days), dtype=torch.long)
        return {
            **stored_content(self, *collate_ragged(rows, counts)),
            "tickers": list(prices.tickers),
            "mean": mean,
            "std": std,
        }
