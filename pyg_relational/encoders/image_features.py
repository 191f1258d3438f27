"""Rows of features from the feature maps of images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Network = Callable[[Tensor], Tensor | Sequence[Tensor]]


def image_features(
    network: Network, image: Tensor, size: int | None = None, grid: int = 1
) -> Tensor:
    r"""Returns a row of features for each image.

    Args:
        network (Callable): Turns images into a feature map `(B, C, h, w)`, a row of
            features `(B, C)`, or a sequence of such.
        image (torch.Tensor): Images `(B, C, H, W)`, uint8 from 0 to 255 or floats from
            0 to 1.
        size (int, optional): Side of the square that images are scaled to, bilinearly.
            (default: `None`, their own size)
        grid (int): Each feature map is averaged over the cells of a grid with this
            many rows and columns, or with its own sides where these are smaller.
            (default: `1`)

    Shapes:
        - **output:** `(B, F)`, the maps one after the other, channels first

    Raises:
        ValueError: The images or what the network returns has another shape.
    """
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
