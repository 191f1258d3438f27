"""Images from files of the user."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_relational.extras import require

MAX_PIXELS = 64_000_000


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Returns an image file as pixels, upright as the camera noted it.

    Transparent parts become white, or black where what is visible is bright. Of an
    animation, the first picture is read; 16 bits are reduced to 8.

    Args:
        path (str or Path): A file of any format that Pillow reads.
        max_pixels (int): Pixels from which a file is refused before it is unpacked.
            (default: `64_000_000`)

    Shapes:
        - **output:** `(3, H, W)` uint8, red, green and blue

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: Pillow is not installed.
        ValueError: The file is no image, is damaged, or has too many pixels.
    """
    pillow = require("PIL.Image", "vision")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no image file at {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            # The size is checked here, in the same way for all formats.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(path) as image:
                _check_size(path, image.size, max_pixels)
                upright = require("PIL.ImageOps", "vision").exif_transpose(image)
                pixels = _colours(upright)
    except pillow.DecompressionBombError as error:
        raise ValueError(
            f"The image {str(path)!r} is too large ({error}); scale it down to at most "
            f"{max_pixels:,} pixels."
        ) from error
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"The file {str(path)!r} cannot be read as an image ({error}); it may be "
            "damaged or of a format that Pillow does not know."
        ) from error
    # [H, W, 3] -> [3, H, W]
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _check_size(path: str | Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ValueError(
            f"The image {str(path)!r} is too large: {width} x {height} pixels, at most "
            f"{max_pixels:,} are read; scale it down."
        )


def _colours(image: Any) -> np.ndarray:
    """The colours of an image, `[H, W, 3]` uint8."""
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=np.float64)
        # 16 bits; or floats of any scale.
        top = 65535.0 if image.mode.startswith("I") else max(1.0, grey.max())
        grey = (grey * (255 / top)).round().clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"))
    pixels = np.asarray(image.convert("RGBA"), dtype=np.float64)
    colour, visible = pixels[:, :, :3], pixels[:, :, 3:] / 255
    total = max(visible.sum() * 3, 1e-9)
    ground = 0.0 if (colour * visible).sum() / total > 127 else 255.0
    mixed = colour * visible + ground * (1 - visible)
    return mixed.round().astype(np.uint8)
