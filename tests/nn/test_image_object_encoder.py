import pytest
import torch

from pyg_relational.nn import ImageObjectEncoder


def test_objects_carry_their_place_and_image():
    torch.manual_seed(0)
    encoder = ImageObjectEncoder(3, [4, 5]).eval()
    assert str(encoder) == "ImageObjectEncoder(3, [4, 5])"
    image = torch.rand(2, 3, 12, 8)
    x, batch = encoder(image)
    features = encoder.layers(image)
    assert x.shape == (2 * 3 * 2, 7)
    assert batch.tolist() == [0] * 6 + [1] * 6
    for s in range(2):
        for row in range(3):
            for column in range(2):
                cell = x[s * 6 + row * 2 + column]
                torch.testing.assert_close(cell[:5], features[s, :, row, column])
                assert cell[5:].tolist() == [row - 1.0, 2.0 * column - 1.0]


def test_bytes_are_scaled():
    encoder = ImageObjectEncoder(3, [4]).eval()
    image = torch.randint(0, 256, (1, 3, 6, 6), dtype=torch.uint8)
    torch.testing.assert_close(encoder(image)[0], encoder(image.float() / 255)[0])


def test_bad_input_names_the_argument():
    with pytest.raises(ValueError, match=r"'image' must have shape \[B, 3, H, W\]"):
        ImageObjectEncoder(3, [4])(torch.zeros(2, 1, 6, 6))
