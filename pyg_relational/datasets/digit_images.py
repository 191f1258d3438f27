"""Pictures of single digits as scikit-learn's digits are: 8 x 8 counts of ink."""

import numpy as np
import torch
from torch import Tensor

from pyg_relational.encoders.image_features import resized

CELLS = 8
# A count of 4 x 4 points, ink or none.
LEVELS = 16
# What the brightness of paper and ink must differ by, of 255.
MIN_CONTRAST = 50.0


def digit_from_image(image: Tensor, name: str = "image") -> Tensor:
    """Returns a picture of one digit as the digits of scikit-learn are.

    They are scans of 32 x 32 points, ink or none, reduced to counts in cells of
    4 x 4. The edge of the picture says what is paper; ink may be darker or lighter.
    What is ink is cut out, scaled to the full height and set in the middle.

    Args:
        image (torch.Tensor): Red, green and blue, `[3, H, W]` uint8.
        name (str): What the message calls the picture. (default: `"image"`)

    Shapes:
        - **output:** `[8, 8]` uint8, from 0 (paper) to 16 (ink)

    Raises:
        ValueError: Nothing in the picture stands out from its edge.
    """
    weights = image.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)
    # [3, H, W] -> [H, W]
    grey = torch.tensordot(weights, image.float(), dims=1)
    edge = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = (grey - edge.median()).abs()
    contrast = float(ink.max())
    if contrast < MIN_CONTRAST:
        raise ValueError(
            f"{name!r} shows no digit: its brightness differs by {contrast:.0f} of 255 "
            f"from that of its edge, at least {MIN_CONTRAST:.0f} is expected. Take a "
            "picture of one digit on plain paper."
        )
    points = _square(_cut(ink / contrast))
    # [32, 32] -> [8, 4, 8, 4] -> [8, 8]
    cells = (points > 0.5).view(CELLS, 4, CELLS, 4).sum(dim=(1, 3))
    return cells.to(torch.uint8)


def digit_pixels(digits: Tensor | np.ndarray) -> Tensor:
    """Returns digits `[N, 8, 8]` of 0 to 16 as images `[N, 1, 8, 8]` of 0 to 255."""
    values = torch.as_tensor(digits).float() * (255 / LEVELS)
    return values.round().to(torch.uint8).unsqueeze(1)


def _cut(ink: Tensor) -> Tensor:
    """The part of a picture `[H, W]` that has ink."""
    rows = (ink > 0.5).any(dim=1).nonzero()
    columns = (ink > 0.5).any(dim=0).nonzero()
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    return ink[top : bottom + 1, left : right + 1]


def _square(ink: Tensor) -> Tensor:
    """Ink in the middle of 32 x 32 points, in the shape it has."""
    side = 4 * CELLS
    scale = side / max(ink.shape)
    height, width = (max(1, round(length * scale)) for length in ink.shape)
    scaled = resized(ink[None, None], (height, width))[0, 0]
    points = ink.new_zeros(side, side)
    top, left = (side - height) // 2, (side - width) // 2
    points[top : top + height, left : left + width] = scaled
    return points
