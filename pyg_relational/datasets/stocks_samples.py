"""Daily prices as samples: windows of features, and what the next day brings."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from pyg_relational.datasets.stocks_prices import (
    ADJUSTED,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    Prices,
)

SPLITS = ("train", "val", "test")
# Where the validation and the test split start, as shares of the days with a sample.
STARTS = (0.7, 0.85)
FEATURES = ("return", "open", "high", "low", "volume")
TARGETS = ("return", "volatility")
# Percent, and the factor of Parkinson's estimator.
RANGE_TO_VOLATILITY = 100 / np.sqrt(4 * np.log(2))


@dataclass(frozen=True)
class Windows:
    """Which samples there are; those of a split are `days[split]`.

    Args:
        valid (np.ndarray): `[D - window, K]`, whether stock k has all `window` days
            from day d on and the day after them.
        days (dict[str, np.ndarray]): For each split the days d on which windows start.
        training_end (int): The first day that is no target of the training split.
    """

    valid: np.ndarray
    days: dict[str, np.ndarray]
    training_end: int


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


def find_windows(features: np.ndarray, targets: np.ndarray, window: int) -> Windows:
    """Returns where windows start, split by time.

    Args:
        features (np.ndarray): `[D, K, F]`, NaN where there are none.
        targets (np.ndarray): `[D, K, 2]`, NaN where there are none.
        window (int): Days of a window.

    Raises:
        ValueError: There are too few days for three splits.
    """
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
    """Returns mean and standard deviation of each feature before a day, `[F]`.

    Args:
        features (np.ndarray): `[D, K, F]`, NaN where there are none.
        end (int): The first day that does not count.
    """
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
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the rows of all samples, and how many of them each sample has.

    Args:
        features (np.ndarray): `[D, K, F]`, normalised.
        targets (np.ndarray): `[D, K, 2]`.
        valid (np.ndarray): `[D - window, K]`, as in `Windows`.
        days (np.ndarray): The days on which the windows of the split start.
        window (int): Days of a window.
    """
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
    counts = dict.fromkeys(rows, entities) | {"x": entities * window}
    return rows, counts


def _change(log: np.ndarray) -> np.ndarray:
    """Returns the difference to the day before, `[D, K]`, NaN on the first day."""
    before = np.vstack([np.full_like(log[:1], np.nan), log[:-1]])
    return log - before
