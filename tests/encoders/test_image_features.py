import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.encoders.images import image_features, resized


def test_maps_are_averaged_over_the_cells_of_a_grid():
    image = torch.rand(2, 3, 4, 4)
    rows = image_features(lambda image: [image, image[:, :1, :1, :2]], image, grid=2)
    cells = image.view(2, 3, 2, 2, 2, 2).mean(dim=(3, 5)).flatten(1)
    # A map smaller than the grid stays as it is.
    torch.testing.assert_close(rows, torch.cat([cells, image[:, 0, 0, :2]], dim=1))


def test_rows_are_taken_as_they_are():
    image = torch.rand(2, 3, 4, 4)
    rows = image_features(lambda image: image.mean(dim=(2, 3)), image, grid=3)
    torch.testing.assert_close(rows, image.mean(dim=(2, 3)))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_images_of_one_colour_keep_it(height, width, size):
    image = torch.full((1, 1, height, width), 51, dtype=torch.uint8)
    scaled = resized(image, (size, size))
    torch.testing.assert_close(scaled, torch.full((1, 1, size, size), 0.2))


def test_images_are_scaled_where_their_size_differs():
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    given = []
    image_features(lambda image: given.append(image) or image.float(), image, 8)
    image_features(lambda image: given.append(image) or image.float(), image, 4)
    assert given[0] is image
    # Every point counts: nothing is skipped on the way down.
    torch.testing.assert_close(
        given[1].mean(), image.float().mean() / 255, atol=0.02, rtol=0
    )
    assert given[1].shape == (1, 3, 4, 4)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"`image` to have shape \[B, C, H, W\]"):
        image_features(lambda image: image, torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match=r"`network` to return .* got \[4, 2\]"):
        image_features(lambda image: torch.zeros(4, 2), torch.zeros(3, 1, 4, 4))
    with pytest.raises(ValueError, match=r"`network` to return .* got \[3, 2, 2\]"):
        image_features(lambda image: torch.zeros(3, 2, 2), torch.zeros(3, 1, 4, 4))
