from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch_geometric.data import Data

from pyg_relational.explain import plot_image_pair
from pyg_relational.explain.plots.parts import plot_probabilities

Image = pytest.importorskip("PIL.Image", reason="needs the extra vision")

PROBABILITIES = {"same": 0.1, "larger": 0.7, "smaller": 0.2}


def test_images_answer_and_bars(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[0, 0] = (255, 0, 51)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    second = torch.full((3, 2, 2), 102, dtype=torch.uint8)
    figure = plot_image_pair([tmp_path / "a.png", second], PROBABILITIES)
    assert figure.get_suptitle() == "second to first: larger"
    first, other, bars = figure.axes
    assert first.get_title() == "first: a.png"
    np.testing.assert_allclose(first.images[0].get_array()[0, 0], [1, 0, 0.2])
    np.testing.assert_allclose(other.images[0].get_array(), 0.4)
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.7, 0.2]
    assert [text.get_text() for text in bars.texts] == ["10.0%", "70.0%", "20.0%"]
    assert not first.child_axes


def test_what_the_model_saw_is_in_the_corner(tmp_path: Path) -> None:
    seen = torch.arange(128).view(2, 8, 8)
    image = torch.zeros(3, 4, 4)
    path = tmp_path / "out.png"
    figure = plot_image_pair(
        [image, image], PROBABILITIES, data=Data(seen=seen), title="digits", path=path
    )
    assert figure.get_suptitle() == "digits"
    for number in range(2):
        (inset,) = figure.axes[number].child_axes
        np.testing.assert_array_equal(inset.images[0].get_array(), seen[number])
    with Image.open(path) as written:
        assert written.size[0] > 500
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_large_images_are_scaled_down() -> None:
    image = torch.zeros(3, 1200, 300, dtype=torch.uint8)
    figure = plot_image_pair([image, image], PROBABILITIES)
    assert figure.axes[0].images[0].get_array().shape == (600, 150, 3)


def test_the_largest_bar_stands_out() -> None:
    ax = Figure().subplots()
    plot_probabilities(PROBABILITIES, ax)
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert colours[0] == colours[2] != colours[1]
    # The first answer is on top.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize(
    ("images", "probabilities", "path", "message"),
    [
        (["a.png"], PROBABILITIES, None, "'images' must be two files or tensors"),
        ("ab", PROBABILITIES, None, "'images' must be two files or tensors"),
        ([torch.zeros(3, 2, 2)] * 2, {}, None, "'probabilities' must name one"),
        ([torch.zeros(3, 2, 2)] * 2, {"a": 1.5}, None, r"between 0 and 1 \(got 1.5"),
        ([torch.zeros(3, 2, 2)] * 2, PROBABILITIES, "a.jpg", "'path' must end in"),
    ],
)
def test_bad_input_is_named(
    images: object, probabilities: dict[str, float], path: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_image_pair(images, probabilities, path=path)
