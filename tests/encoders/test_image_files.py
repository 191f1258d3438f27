import struct
import sys
import zlib

import numpy as np
import pytest
import torch

from pyg_relational.encoders.images import read_image

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
