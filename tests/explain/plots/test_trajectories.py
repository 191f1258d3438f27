from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pyg_relational.explain import plot_trajectories

HISTORY = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]], [[5.0, 5.0]] * 3])
TRUE = torch.tensor([[[3.0, 2.0], [4.0, 3.0]], [[5.0, 6.0], [5.0, 7.0]]])
PREDICTED = torch.tensor([[[3.0, 1.0], [4.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
LATE = torch.tensor([[True, True, True], [False, False, True]])


def paths(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if len(line.get_xydata()) > 1]


def marks(axes: Axes, marker: str, face: str | None = None) -> list[list[float]]:
    """Where this mark is, of this colour."""
    return [
        line.get_xydata()[0].tolist()
        for line in axes.lines
        if line.get_marker() == marker and face in (None, line.get_markerfacecolor())
    ]


def test_paths_are_where_they_are() -> None:
    axes = plot_trajectories(HISTORY, TRUE, PREDICTED, unit="m", title="T")
    expected = []
    for entity in range(2):
        last = HISTORY[entity, -1:]
        # Both futures go on from where the history ends.
        expected += [HISTORY[entity]]
        expected += [torch.cat([last, future[entity]]) for future in (TRUE, PREDICTED)]
    assert [line.get_xydata().tolist() for line in paths(axes)] == [
        path.tolist() for path in expected
    ]
    assert marks(axes, "o", "white") == HISTORY[:, 0].tolist()
    assert marks(axes, "o", "0.35") == HISTORY[:, -1].tolist()
    assert marks(axes, "s") == TRUE[:, -1].tolist()
    assert marks(axes, "X") == PREDICTED[:, -1].tolist()
    assert axes.get_aspect() == 1.0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (m)", "y (m)")
    assert axes.get_title() == "T"
    assert not Gcf.figs


def test_lines_differ_in_dashes_and_in_grey() -> None:
    axes = plot_trajectories(HISTORY, TRUE, PREDICTED)
    history, true, predicted = paths(axes)[:3]
    assert not history.is_dashed()
    assert true.is_dashed()
    assert predicted.is_dashed()
    patterns = [tuple(line._unscaled_dash_pattern[1]) for line in (true, predicted)]
    assert patterns[0] != patterns[1]
    grey = [
        float(np.dot(to_rgb(line.get_color()), (0.2126, 0.7152, 0.0722)))
        for line in (true, predicted)
    ]
    assert abs(grey[0] - grey[1]) > 0.2
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [
        "start",
        "history, last position",
        "true future, end",
        "predicted future, end",
    ]
    for line, shown in zip(
        (history, true, predicted), axes.get_legend().get_lines()[1:], strict=True
    ):
        assert line.get_color() == shown.get_color()
        assert line.is_dashed() == shown.is_dashed()


def test_absent_entities_leave_gaps() -> None:
    gap = torch.tensor([[True, False, True], [False, False, False]])
    future = torch.tensor([[True, False], [True, True]])
    axes = plot_trajectories(
        HISTORY, TRUE, history_mask=gap, future_mask=future, names=["a", "b"]
    )
    first, true, other = paths(axes)
    nothing = [np.nan] * 2
    np.testing.assert_equal(first.get_xydata(), [[0, 0], nothing, [2, 1]])
    np.testing.assert_equal(true.get_xydata(), [[2, 1], [3, 2], nothing])
    # Without a history the future stands for itself.
    np.testing.assert_equal(other.get_xydata(), [nothing, [5, 6], [5, 7]])
    assert marks(axes, "o", "white") == [[0, 0]]
    assert marks(axes, "s") == [[3, 2], [5, 7]]
    assert [text.get_text() for text in axes.texts] == ["a"]


def test_history_alone() -> None:
    axes = plot_trajectories(HISTORY, history_mask=LATE)
    assert len(paths(axes)) == 2
    assert marks(axes, "o", "white") == [[0, 0], [5, 5]]
    assert marks(axes, "s") == marks(axes, "X") == []
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["start", "history, last position"]
    assert axes.get_xlabel() == "x"


def test_what_is_absent_may_be_anything() -> None:
    history = HISTORY.masked_fill(~LATE.unsqueeze(-1), torch.nan)
    axes = plot_trajectories(history, history_mask=LATE)
    assert marks(axes, "o", "0.35") == [[2, 1], [5, 5]]


def test_names_are_at_the_end_of_the_history_and_apart() -> None:
    names = ["$one$", "the second one"]
    axes = plot_trajectories(HISTORY, TRUE, names=names)
    assert [text.get_text() for text in axes.texts] == names
    assert [text.xy for text in axes.texts] == [(2.0, 1.0), (5.0, 5.0)]
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert Bbox.intersection(*boxes) is None
    (legend,) = [axes.get_legend().get_window_extent()]
    label = axes.xaxis.label.get_window_extent()
    assert Bbox.intersection(legend, label) is None


def test_names_keep_off_the_paths() -> None:
    # A path that bends right of the first entity, where its name would go first.
    history = torch.tensor(
        [
            [[0.0, 0.0], [0.0, 0.1], [0.0, 0.2], [0.0, 0.3]],
            [[0.1, -1.0], [0.2, 0.2], [0.2, 0.4], [0.1, 1.0]],
            [[3.0, 0.0], [3.0, 0.1], [3.0, 0.2], [3.0, 0.3]],
        ]
    )
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2, 1] = False  # a gap
    axes = plot_trajectories(history, names=["a name", "", ""], history_mask=mask)
    (text,) = axes.texts
    axes.figure.draw_without_rendering()
    box = Text.get_window_extent(text)
    track = torch.tensor(paths(axes)[1].get_xydata())
    steps = torch.linspace(0, 1, 50)[:, None]
    for one, two in pairwise(track):
        dots = axes.transData.transform((one + steps * (two - one)).numpy())
        assert not any(box.contains(*dot) for dot in dots)


def test_draws_where_it_is_told(tmp_path: Path) -> None:
    axes = Figure().subplots()
    path = tmp_path / "paths.png"
    assert plot_trajectories(HISTORY, TRUE, ax=axes, path=path) is axes
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": HISTORY[0]}, r"'history' must have shape \[N, frames, 2\].*3, 2"),
        ({"history": HISTORY[:0]}, r"none of them 0 \(got \[0, 3, 2\]\)"),
        ({"history": torch.ones(2, 3, 3)}, r"got \[2, 3, 3\]\); pass one graph, and"),
        ({"true": TRUE[:1]}, "'true' must have a path for each of 2.*got 1"),
        ({"predicted": TRUE[:, :1]}, "'predicted' must have as many frames.*2.*got 1"),
        ({"history": HISTORY / 0}, "'history' must be finite where"),
        ({"predicted": TRUE * torch.nan}, "say in 'future_mask' where it is absent"),
        ({"history_mask": LATE[:1]}, r"'history_mask' must be boolean.*\[2, 3\].*1, 3"),
        ({"history_mask": LATE.long()}, "'history_mask' must be boolean.*int64"),
        ({"future_mask": LATE}, r"'future_mask' must be boolean of shape \[2, 2\]"),
        ({"names": ["a"]}, "'names' must be a list of 2"),
        ({"path": "a.jpg"}, "'path' must end in"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_trajectories(**{"history": HISTORY, "true": TRUE, **arguments})
