from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from pyg_relational.explain import plot_steps

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


def test_draws_where_it_is_told() -> None:
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
def test_what_does_not_fit_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        plot_steps(**{"alpha": ALPHA, "sequence": SEQUENCE, **arguments})
