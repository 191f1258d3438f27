"""Weekly cases of chickenpox: reading, checking, and samples of several weeks."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.packaged import read_text

SPLITS = ("train", "val", "test")
KEYS = ("edges", "node_ids", "FX")
# The first week that is a target, whatever a sample shows: the published samples have
# four weeks each.
FIRST_TARGET = 4
# Share of the training weeks, the last of them, that is kept for validation.
VAL_SHARE = 0.2


@dataclass(frozen=True)
class Series:
    """Weekly values of several counties, and which of them are neighbours.

    Args:
        counties (tuple[str, ...]): Names of the counties.
        values (Tensor): `[W, N]`, in the order of weeks and `counties`.
        edge_index (Tensor): `[2, E]`.
    """

    counties: tuple[str, ...]
    values: Tensor
    edge_index: Tensor


def read_series_file(path: str | Path) -> Series:
    """As :func:`read_series`, from a file, which messages name.

    Args:
        path (str or Path): The file.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return read_series(read_text(path))
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def read_series(text: str) -> Series:
    """Reads weekly values as PyTorch Geometric Temporal stores them.

    Args:
        text (str): JSON with the keys `KEYS`: pairs of counties, the number of each
            county, and for each week a list with the value of each county.

    Raises:
        ValueError: A key is missing, or a county, week or pair is wrong; it is named.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected the series to be JSON, got {error}.") from error
    missing = [
        key for key in KEYS if not isinstance(content, dict) or key not in content
    ]
    if missing:
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


def target_weeks(num_weeks: int, train_share: float, split: str) -> Tensor:
    """Returns the weeks to forecast, `[B]`, which no other split has.

    Args:
        num_weeks (int): Weeks of the series.
        train_share (float): Share of the targets, the first, that are trained on or
            validated on.
        split (str): One of `SPLITS`.

    Raises:
        ValueError: There are too few weeks for three splits.
    """
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


def window_tensors(
    series: Series, weeks: Tensor, window: int | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the rows of all samples, and how many of them each sample has.

    Args:
        series (Series): Weekly values.
        weeks (Tensor): `[B]`, the weeks to forecast.
        window (int, optional): Weeks that a sample shows at most; all for `None`.
    """
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
    counts = dict.fromkeys(rows, each * nodes)
    counts |= {"x_steps": shown * nodes, "mask_steps": shown * nodes}
    counts |= {"num_frames": each, "week": each}
    counts["edge_index"] = each * series.edge_index.size(1)
    return rows, counts


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
