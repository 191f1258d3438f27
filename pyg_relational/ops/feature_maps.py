"""Feature maps of images as sets of objects."""

import torch
from torch import Tensor


def map_to_objects(features: Tensor) -> tuple[Tensor, Tensor]:
    r"""Turns the cells of feature maps into objects that carry their place, as in `"A
    simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    Args:
        features (torch.Tensor): A map of each image, shape :math:`[B, C, h, w]`.

    Returns:
        tuple: The objects, row by row, shape :math:`[B \cdot h \cdot w, C + 2]`, whose
        last two features are row and column in :math:`[-1, 1]`, -1 where there is only
        one; and the image of each object, shape :math:`[B \cdot h \cdot w]`.

    Raises:
        ValueError: If the maps do not have four dimensions.
    """
    if features.dim() != 4:
        raise ValueError(
            f"'features' must have shape [B, C, h, w] (got {list(features.shape)})"
        )
    count, _, height, width = features.shape
    rows = torch.linspace(-1, 1, height, device=features.device)
    columns = torch.linspace(-1, 1, width, device=features.device)
    # [2, h, w] -> [B, 2, h, w]
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    places = places.to(features.dtype).expand(count, -1, -1, -1)
    # [B, C + 2, h, w] -> [B, h, w, C + 2] -> [B * h * w, C + 2]
    x = torch.cat([features, places], dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    batch = torch.arange(count, device=features.device)
    return x, batch.repeat_interleave(height * width)
