import json
import math

import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st

from pyg_relational.datasets.chickenpox import (
    SPLITS,
    parse_series,
    target_weeks,
    window_tensors,
)

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
