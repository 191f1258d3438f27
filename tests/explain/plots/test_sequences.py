from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pyg_relational.explain import plot_frame_attention, plot_steps

WEIGHTS = torch.tensor([[0.2, 0.5, 0.3], [9.0, 0.4, 0.6]])
MASK = torch.tensor([[True, True, True], [False, True, True]])
MARKED = torch.tensor([[False, True, False], [False, False, False]])


def boxes(axes: Axes, hatched: bool) -> list[tuple[float, float]]:
    """The middle of each box, (frame, entity)."""
    return [
        (patch.get_x() + 0.5, patch.get_y() + 0.5)
        for patch in axes.patches
        if isinstance(patch, Rectangle) and (patch.get_hatch() is not None) == hatched
    ]


def test_rows_are_entities_and_columns_frames() -> None:
    axes = plot_frame_attention(
        WEIGHTS, MASK, ["a", "$b"], marked=MARKED, marked_name="touch", title="T"
    )
    (image,) = axes.images
    drawn = np.ma.filled(image.get_array(), np.nan)
    expected = [[0.2, 0.5, 0.3], [np.nan, 0.4, 0.6]]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    # What is not there does not stretch the scale.
    assert image.get_clim() == pytest.approx((0.0, 0.6))
    assert boxes(axes, hatched=True) == [(0.0, 1.0)]
    assert boxes(axes, hatched=False) == [(1.0, 0.0)]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "$b"]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["absent", "touch"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("frame", "entity")
    assert axes.get_title() == "T"
    assert axes.figure.axes[1].get_ylabel() == "attention weight"


def test_all_there() -> None:
    axes = plot_frame_attention(WEIGHTS, value_name="w")
    assert axes.images[0].get_clim() == (0.0, 9.0)
    assert boxes(axes, hatched=True) == boxes(axes, hatched=False) == []
    assert axes.get_legend() is None
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "1"]
    assert axes.figure.axes[1].get_ylabel() == "w"


def test_weights_of_absent_entities_are_not_read() -> None:
    weights = WEIGHTS.masked_fill(~MASK, torch.nan)
    assert plot_frame_attention(weights, MASK).images[0].get_clim()[1] < 1


def test_frames_are_numbered_where_there_is_room() -> None:
    for frames, step in ((24, 1), (25, 2), (100, 5)):
        axes = plot_frame_attention(torch.ones(2, frames))
        assert axes.get_xticks().tolist() == list(range(0, frames, step))


def test_weights_that_are_all_zero() -> None:
    assert plot_frame_attention(torch.zeros(1, 1)).images[0].get_clim() == (0.0, 1.0)


def test_the_legend_covers_no_label() -> None:
    for n in (1, 8, 30):
        weights = torch.ones(n, 5)
        mask = weights.bool()
        mask[0, 0] = False
        axes = plot_frame_attention(weights, mask)
        axes.figure.draw_without_rendering()
        legend = axes.get_legend().get_window_extent()
        assert legend.y1 <= axes.xaxis.label.get_window_extent().y0 + 1


def test_what_a_model_returns() -> None:
    """As the docstring says, weights of (frame, node) make the matrix."""
    index = torch.tensor([[0, 1, 2, 1, 2], [0, 0, 0, 1, 1]])
    alpha = torch.tensor([0.2, 0.5, 0.3, 0.4, 0.6])
    weights = torch.zeros(2, 3)
    weights[index[1], index[0]] = alpha
    assert torch.equal(weights[MASK], WEIGHTS[MASK])


def test_draws_where_it_is_told(tmp_path: Path) -> None:
    axes, path = Figure().subplots(), tmp_path / "frames.png"
    assert plot_frame_attention(WEIGHTS, ax=axes, path=path) is axes
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": WEIGHTS[0]}, r"'weights' must have shape \[N, T\].*got \[3\]"),
        ({"weights": WEIGHTS[:0]}, r"none of them 0 \(got \[0, 3\]\); pass one graph"),
        ({"weights": -WEIGHTS}, r"must not be negative \(got -0.6\)"),
        ({"weights": WEIGHTS / 0}, "'weights' must be finite"),
        ({"mask": MASK[:1]}, r"'mask' must be boolean.*\[2, 3\].*got shape \[1, 3\]"),
        ({"mask": MASK.float()}, "'mask' must be boolean.*float32"),
        ({"marked": MARKED[:, :1]}, r"'marked' must be boolean.*got shape \[2, 1\]"),
        ({"names": ["a"]}, "'names' must be a list of 2"),
        ({"path": "a.pdf"}, "'path' must end in"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_frame_attention(**{"weights": WEIGHTS, "mask": MASK, **arguments})


ALPHA = torch.tensor([0.2, 0.8, 1.0, 0.5, 0.3, 0.2])
SEQUENCE = torch.tensor([0, 0, 1, 2, 2, 2])


def test_rows_are_samples_and_columns_steps() -> None:
    ax = plot_steps(ALPHA, SEQUENCE, ["a", "b", "c"])
    (image,) = ax.images
    drawn = np.ma.filled(image.get_array(), np.nan)
    nothing = np.nan
    expected = [[0.2, 0.8, nothing], [1.0, nothing, nothing], [0.5, 0.3, 0.2]]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_words_are_written_into_their_cells(tmp_path: Path) -> None:
    words = [["not", "good"], ["$dull$"], ["a", "fine", "film"]]
    path = tmp_path / "steps.png"
    ax = plot_steps(ALPHA, SEQUENCE, steps=words, path=path)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written[(1, 0)] == "good"
    assert written[(0, 1)] == "$dull$"
    assert written[(2, 2)] == "film"
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_draws_where_it_is_told_steps() -> None:
    from matplotlib.figure import Figure

    ax: Axes = Figure().subplots()
    assert plot_steps(ALPHA, SEQUENCE, ax=ax) is ax


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": ALPHA[:3]}, r"got shapes \[3\] and \[6\]"),
        ({"alpha": ALPHA * torch.nan}, "'alpha' must be finite"),
        ({"sequence": SEQUENCE.flip(0)}, "'sequence' must be ascending"),
        ({"names": ["a"]}, "'names' must be a list of 3"),
        ({"steps": [["a"], ["b"], ["c"]]}, r"'steps\[0\]' must be a list of 2"),
        ({"path": "steps.jpg"}, "'path' must end in"),
    ],
)
def test_what_does_not_fit_is_refused_steps(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        plot_steps(**{"alpha": ALPHA, "sequence": SEQUENCE, **arguments})
