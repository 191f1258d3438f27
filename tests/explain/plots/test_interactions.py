from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pyg_relational.explain import plot_interactions

PLACE = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
PAIRS = torch.tensor([[0, 0, 0, 1, 1], [1, 2, 3, 2, 3]])
PROBABILITY = torch.tensor([0.9, 0.6, 0.1, 0.2, 0.3])
TRUTH = torch.tensor([True, False, False, True, False])


def pairs(axes: Axes) -> dict[tuple[int, int], Line2D]:
    """The lines between entities, by where they are."""
    corners = [tuple(point) for point in PLACE.tolist()]
    lines = {}
    for line in axes.lines:
        ends = [tuple(end) for end in line.get_xydata().tolist()]
        if len(ends) == 2:
            lines[corners.index(ends[0]), corners.index(ends[1])] = line
    return lines


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_inferred_beside_true_ones() -> None:
    axes = plot_interactions(
        PROBABILITY, TRUTH, PLACE, ["a", "b", "c", "d"], edge_index=PAIRS, title="T"
    )
    true, inferred = axes.figure.axes
    assert inferred is axes
    assert (true.get_title(), axes.figure.get_suptitle()) == ("true", "T")
    assert set(pairs(true)) == {(0, 1), (1, 2)}
    assert not any(line.is_dashed() for line in pairs(true).values())
    # Found, wrongly inferred, missed; the others are rightly not there.
    lines = pairs(inferred)
    assert set(lines) == {(0, 1), (0, 2), (1, 2)}
    assert inferred.get_title() == "inferred, 3 of 5 pairs right"
    assert legend(inferred) == ["found", "missed", "false"]
    assert not lines[0, 1].is_dashed()
    assert lines[0, 2].is_dashed()
    assert lines[1, 2].is_dashed()
    for pair, shown in zip(
        [(0, 1), (1, 2), (0, 2)], axes.get_legend().get_lines(), strict=True
    ):
        assert lines[pair].get_color() == shown.get_color()
        assert lines[pair].is_dashed() == shown.is_dashed()
    assert len({line.get_color() for line in lines.values()}) == 3
    widths = [lines[pair].get_linewidth() for pair in ((0, 1), (0, 2), (1, 2))]
    assert widths == pytest.approx([1.2 + 3.3 * p for p in (0.9, 0.6, 0.2)])
    for panel in (true, inferred):
        assert [text.get_text() for text in panel.texts] == ["a", "b", "c", "d"]
        assert panel.get_aspect() == 1.0


def test_a_matrix_is_its_pairs() -> None:
    matrix, truth = torch.zeros(4, 4), torch.zeros(4, 4)
    # The mean of both directions counts, in the truth any of them.
    matrix[0, 1], matrix[1, 0] = 0.9, 0.7
    matrix[2, 1] = 0.9
    truth[2, 1] = truth[3, 2] = 1
    matrix.fill_diagonal_(1)
    axes = plot_interactions(matrix, truth, PLACE)
    lines = pairs(axes)
    assert set(lines) == {(0, 1), (1, 2), (2, 3)}
    assert lines[0, 1].get_linewidth() == pytest.approx(1.2 + 3.3 * 0.8)
    assert axes.get_title() == "inferred, 3 of 6 pairs right"
    assert legend(axes) == ["missed", "false"]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 5), (0.3, 3), (0.95, 0)])
def test_the_threshold_decides(threshold: float, count: int) -> None:
    axes = plot_interactions(
        PROBABILITY, positions=PLACE, edge_index=PAIRS, threshold=threshold
    )
    assert len(pairs(axes)) == count
    assert axes.figure.axes == [axes]
    assert axes.get_legend() is None


def test_without_positions_entities_are_on_a_circle() -> None:
    axes = plot_interactions(torch.full((6, 6), 0.9))
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    places = torch.tensor([mark.get_xydata()[0].tolist() for mark in marks])
    assert torch.allclose(places.norm(dim=1), torch.ones(6))
    apart = torch.pdist(places)
    assert apart.min() > 0.99


def test_draws_where_it_is_told(tmp_path: Path) -> None:
    axes, path = Figure().subplots(), tmp_path / "graph.svg"
    drawn = plot_interactions(PROBABILITY, edge_index=PAIRS, ax=axes, path=path)
    assert drawn is axes
    assert "<svg" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edge_index": None}, r"must have shape \[N, N\], or \[P\] with.*got \[5\]"),
        ({"probability": torch.ones(3)}, r"each of 5 pairs \(got shape \[3\]\)"),
        ({"probability": torch.full((5,), 1.5)}, r"from 0 to 1 \(got 1.5 to 1.5\); ap"),
        ({"probability": PROBABILITY / 0}, "'probability' must be finite"),
        ({"edge_index": PAIRS.T}, r"'edge_index' must have shape \[2, P\].*\[5, 2\]"),
        ({"edge_index": PAIRS + 1}, r"from 0 to 3 \(got 1 to 4\)"),
        ({"edge_index": PAIRS - 1}, r"from 0 to 3 \(got -1 to 2\)"),
        ({"truth": TRUTH[:3]}, r"'truth' must have the shape.*\[5\] \(got \[3\]\)"),
        ({"truth": 2.0 * TRUTH}, "'truth' must be from 0 to 1"),
        ({"positions": torch.ones(4, 3)}, r"'positions' must have shape \[N, 2\]"),
        (
            {"probability": torch.ones(3, 3), "truth": None, "edge_index": None},
            r"'positions' must have a row for each of 3 entities \(got 4\)",
        ),
        (
            {"probability": torch.ones(0, 0), "edge_index": None, "positions": None},
            "at least one entity",
        ),
        ({"positions": PLACE / 0}, "'positions' must be finite"),
        ({"names": ["a"]}, "'names' must be a list of 4"),
        ({"ax": Figure().subplots()}, "'ax' holds one panel, 'truth' needs another"),
        ({"path": "a.gif"}, "'path' must end in"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    given = {
        "probability": PROBABILITY,
        "truth": TRUTH,
        "positions": PLACE,
        "edge_index": PAIRS,
    }
    with pytest.raises(ValueError, match=message):
        plot_interactions(**{**given, **arguments})
