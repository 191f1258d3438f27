"""Weekly cases of chickenpox in the counties of Hungary."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_fraction, check_int, check_name
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.base import (
    SPLITS,
    Counts,
    Rows,
    Slices,
    StoredDataset,
    collate_ragged,
)
from pyg_relational.datasets.downloads import RawFile, read_text

URL = (
    "https://raw.githubusercontent.com/benedekrozemberczki/"
    "pytorch_geometric_temporal/master/dataset/chickenpox.json"
)
SHA256 = "724b48cfb274b2ecbb855bdb99b970b5ef9dd3671694fa477435dc1e08293735"
KEYS = ("edges", "node_ids", "FX")
# The first week that is a target, whatever a sample shows: the published samples have
# four weeks each.
FIRST_TARGET = 4
# Share of the training weeks, the last of them, that is kept for validation.
VAL_SHARE = 0.2
SEASON = 52


class Chickenpox(StoredDataset):
    r"""The next week of chickenpox in the 20 counties of Hungary, from `"Chickenpox
    Cases in Hungary: a Benchmark Dataset for Spatiotemporal Signal Processing with
    Graph Neural Networks" <https://arxiv.org/abs/2102.08100>`_.

    One sample a week :math:`w` from week 4 on: the weeks before it, at most `window` of
    them, and the values of week :math:`w` as targets. With `window=4` these are the
    samples of PyTorch Geometric Temporal. The targets are the same for every `window`,
    early samples are shorter.

    The values are those of the file, which are standardised changes of the weekly
    number of cases: a county whose number stays as it is has a value near 0.

    The splits follow each other in time: the first `train_share` of the targets are
    trained on, the last fifth of those apart for validation; the rest is for test. The
    windows of a split look back into the one before.

    Args:
        root (str): Folder of the dataset; the file `chickenpox.json` may also lie in
            the folder `chickenpox` of `PYG_RELATIONAL_DATA`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        window (int, optional): Weeks that a sample shows at most; the whole past for
            `None`, so that a recurrent model has read all of it. (default: `4`)
        train_share (float): Share of the targets for training and validation, above 0
            and below 1. (default: `0.2`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[20, T, 1]` the values of each county in each week before
        - **edge_index:** `[2, 102]` neighbours, both ways, and each county itself
        - **node_id**, **entity:** `[20]` index into `counties`
        - **y:** `[20, 1]` the values of the week to forecast
        - **week:** `[1]` number of that week
    """

    task = "forecast"
    kind = "node"
    data_class = TemporalGraph

    def __init__(
        self,
        root: str,
        split: str = "train",
        window: int | None = 4,
        train_share: float = 0.2,
        **kwargs: Any,
    ) -> None:
        self.window = None if window is None else check_int("window", window, 1)
        self.train_share = check_fraction("train_share", train_share)
        super().__init__(root, split, **kwargs)
        self.counties: tuple[str, ...] = tuple(self.extras["counties"])
        # [W, 20], all weeks of the file.
        self.series: Tensor = self.extras["series"]

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        return (RawFile("chickenpox.json", URL, SHA256, "chickenpox"),)

    def _name(self) -> str:
        window = "-all" if self.window is None else self.window
        return f"{self.split}-window{window}-train{self.train_share!r}"

    def naive_forecast(self, data: Data) -> Tensor:
        """Returns the values of the week before, `[20, 1]`.

        Args:
            data (Data): A sample or a batch of this dataset.
        """
        return self._values(data.week - 1)

    def seasonal_forecast(self, data: Data) -> Tensor:
        """Returns the values of 52 weeks before, `[20, 1]`; those of the week before
        where less than a year is past.

        Args:
            data (Data): A sample or a batch of this dataset.
        """
        past = data.week - SEASON
        return self._values(past.where(past >= 0, data.week - 1))

    def _values(self, weeks: Tensor) -> Tensor:
        # [B, N] -> [B * N, 1]
        return self.series[weeks].view(-1, 1).float()

    def generate(self) -> tuple[Data, Slices]:
        series = read_series(self.raw_paths[0])
        self.extras = {"counties": list(series.counties), "series": series.values}
        weeks = target_weeks(len(series.values), self.train_share, self.split)
        rows, counts = window_tensors(series, weeks, self.window)
        return collate_ragged(rows, counts, data_class=TemporalGraph)


def target_weeks(num_weeks: int, train_share: float, split: str) -> Tensor:
    """Returns the weeks to forecast, `[B]`, which no other split has."""
    targets = torch.arange(min(FIRST_TARGET, num_weeks), num_weeks)
    known = int(train_share * len(targets))
    trained = int((1 - VAL_SHARE) * known)
    parts = targets[:trained], targets[trained:known], targets[known:]
    if any(len(part) == 0 for part in parts):
        raise ValueError(
            f"Expected enough weeks for three splits, got {num_weeks}, of which "
            f"{len(targets)} are targets, with `train_share={train_share!r}`; "
            "give more weeks, or choose another share."
        )
    return parts[SPLITS.index(check_name("split", split, SPLITS))]


@dataclass(frozen=True)
class Series:
    """Weekly values `[W, N]` of several counties, and which of them are neighbours,
    `edge_index` `[2, E]`."""

    counties: tuple[str, ...]
    values: Tensor
    edge_index: Tensor


def window_tensors(
    series: Series, weeks: Tensor, window: int | None
) -> tuple[Rows, Counts]:
    """Returns the attributes of all samples."""
    size, nodes = len(weeks), len(series.counties)
    values = series.values.float()
    shown = weeks if window is None else weeks.clamp(max=window)
    # [T, N] -> [N * T]
    frames = [
        values[week - length : week].t().flatten()
        for week, length in zip(weeks.tolist(), shown.tolist(), strict=True)
    ]
    x = torch.cat(frames).unsqueeze(1)
    county = torch.arange(nodes).repeat(size)
    rows = {
        "x_steps": x,
        "mask_steps": torch.ones(len(x), dtype=torch.bool),
        "num_frames": shown,
        "node_id": county,
        "entity": county,
        "edge_index": series.edge_index.repeat(1, size),
        # [B, N] -> [B * N, 1]
        "y": values[weeks].view(-1, 1),
        "week": weeks,
    }
    each = torch.ones_like(weeks)
    counts = {
        "x_steps": shown * nodes,
        "mask_steps": shown * nodes,
        "num_frames": each,
        **dict.fromkeys(("node_id", "entity"), each * nodes),
        "edge_index": each * series.edge_index.size(1),
        "y": each * nodes,
    }
    return rows, counts


def read_series(path: str | Path) -> Series:
    """Reads a file of weekly values as PyTorch Geometric Temporal stores them."""
    try:
        return parse_series(read_text(path))
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def parse_series(text: str) -> Series:
    """Reads the text of such a file."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected the series to be JSON, got {error}.") from error
    if not isinstance(content, dict):
        content = {}
    if missing := [key for key in KEYS if key not in content]:
        raise ValueError(
            f"Expected the keys {', '.join(KEYS)} in the series; {', '.join(missing)} "
            "is missing."
        )
    counties = _counties(content["node_ids"])
    values = [
        [
            _value(value, county, week)
            for county, value in zip(counties, row, strict=True)
        ]
        for week, row in enumerate(_weeks(content["FX"], len(counties)))
    ]
    # [W, N]
    table = torch.tensor(values, dtype=torch.double).view(-1, len(counties))
    return Series(counties, table, _edges(content["edges"], len(counties)))


def _counties(node_ids: Any) -> tuple[str, ...]:
    known = isinstance(node_ids, dict) and sorted(
        number for number in node_ids.values() if type(number) is int
    )
    if not known or known != list(range(len(node_ids))):
        raise ValueError(
            "Expected 'node_ids' to give each county a number of its own, from 0 on, "
            f"got {node_ids!r}."
        )
    return tuple(sorted(node_ids, key=node_ids.__getitem__))


def _weeks(rows: Any, num_counties: int) -> list[list[Any]]:
    if not isinstance(rows, list):
        raise ValueError(f"Expected 'FX' to be a list of weeks, got {rows!r}.")
    for week, row in enumerate(rows):
        if not row:
            raise ValueError(
                f"Missing week: week {week} has no values; add them, the weeks must "
                "follow each other."
            )
        if not isinstance(row, list) or len(row) != num_counties:
            found = f"{len(row)}" if isinstance(row, list) else f"{row!r}"
            raise ValueError(
                f"Expected a value of each of {num_counties} counties in week {week}, "
                f"got {found}."
            )
    return rows


def _value(value: Any, county: str, week: int) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(
            f"Expected the value of county {county} in week {week} to be a finite "
            f"number, got {value!r}; correct the file."
        )
    return float(value)


def _edges(pairs: Any, num_counties: int) -> Tensor:
    if not isinstance(pairs, list):
        raise ValueError(f"Expected 'edges' to be a list of pairs, got {pairs!r}.")
    for pair in pairs:
        fits = isinstance(pair, list) and len(pair) == 2
        if not fits or not all(
            type(end) is int and 0 <= end < num_counties for end in pair
        ):
            raise ValueError(
                f"Expected 'edges' to be pairs of counties from 0 to "
                f"{num_counties - 1}, got {pair!r}."
            )
    # [E, 2] -> [2, E]
    return torch.tensor(pairs, dtype=torch.long).view(-1, 2).t().contiguous()
