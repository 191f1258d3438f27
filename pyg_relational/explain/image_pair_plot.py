"""Pictures of the relation of two images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.encoders.image_features import resized
from pyg_relational.encoders.image_files import read_image
from pyg_relational.explain.plot_parts import FONT, check_path, save, short
from pyg_relational.explain.probability_bars import plot_probabilities

# Larger images are scaled down before they are drawn.
SIDE = 600


def plot_image_pair(
    images: Sequence[str | Path | Tensor],
    probabilities: Mapping[str, float],
    *,
    data: Data | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    r"""Draws two images side by side, and the probabilities of their relation.

    Args:
        images (list): Two files, or two images :math:`(3, H, W)`, bytes.
        probabilities (dict): The probability of each relation.
        data (torch_geometric.data.Data, optional): What a model was given; if it has
            :obj:`seen` :math:`(2, h, w)`, the images as the model saw them are drawn
            in the corners. (default: :obj:`None`)
        title (str, optional): Title of the picture. (default: the most probable
            relation)
        path (str or Path, optional): PNG or SVG file, written whole or not at all.
            (default: :obj:`None`)

    Returns:
        matplotlib.figure.Figure: The picture.

    Raises:
        OSError: If a file cannot be read, or :obj:`path` cannot be written.
        ValueError: If there are not two images, one cannot be read, or probabilities
            are none.
    """
    check_path(path)
    if isinstance(images, str) or len(images) != 2:
        raise ValueError(f"'images' must be two files or tensors (got {images!r})")
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axes: Any = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    seen = None if data is None else data.get("seen")
    for place, (ax, image) in enumerate(zip(axes, images, strict=False)):
        pixels = image if isinstance(image, Tensor) else read_image(image)
        ax.imshow(_drawn(pixels))
        name = f": {short(Path(image).name)}" if not isinstance(image, Tensor) else ""
        ax.set_title(f"{('first', 'second')[place]}{name}", fontsize=FONT)
        ax.set_axis_off()
        if seen is not None:
            _draw_seen(ax, seen[place])
    plot_probabilities(probabilities, axes[2])
    best = max(probabilities, key=lambda answer: probabilities[answer])
    figure.suptitle(title or f"second to first: {best}")
    save(axes[2], path)
    return figure


def _drawn(pixels: Tensor) -> np.ndarray:
    """Pixels `[3, H, W]` as they are drawn, `[h, w, 3]` from 0 to 1."""
    longest = max(pixels.shape[1:])
    if longest > SIDE:
        size = [max(1, round(side * SIDE / longest)) for side in pixels.shape[1:]]
        pixels = resized(pixels[None], (size[0], size[1]))[0]
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    # [3, h, w] -> [h, w, 3]
    return pixels.clamp(0, 1).permute(1, 2, 0).numpy()


def _draw_seen(ax: Axes, seen: Tensor) -> None:
    inset = ax.inset_axes((0.68, 0.0, 0.32, 0.32))
    inset.imshow(seen.numpy(), cmap="gray")
    inset.set_xticks([])
    inset.set_yticks([])
    inset.set_xlabel("as compared", fontsize=FONT - 2)
