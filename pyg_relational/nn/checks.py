"""Checks of the features that layers and models are given."""

import math

import torch
from torch import Tensor

from pyg_relational.ops.checks import check_device


def check_features(
    x: Tensor, channels: int, name: str, like: Tensor | None = None
) -> None:
    r"""Raises an error unless :obj:`x` has rows of the expected width, is of the dtype
    and on the device of the layer, and has only finite values.

    Values are not read while a compiler traces.

    Args:
        x (torch.Tensor): Features, shape :math:`[N, F]`.
        channels (int): The expected width :math:`F`.
        name (str): What the argument is called in the error.
        like (torch.Tensor, optional): A weight that they meet. (default: :obj:`None`)

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it does not fit, or is not finite.
    """
    check_width(x, channels, name, like)
    check_finite(x, name)


def check_width(
    x: Tensor, channels: int, name: str, like: Tensor | None = None
) -> None:
    r"""As :func:`check_features`, without reading values: for layers through which NaN
    and infinity reach the output by themselves.

    Args:
        x (torch.Tensor): Features, shape :math:`[N, F]`.
        channels (int): The expected width :math:`F`.
        name (str): What the argument is called in the error.
        like (torch.Tensor, optional): A weight that they meet. (default: :obj:`None`)
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"'{name}' must be a tensor (got {type(x).__name__})")
    if x.dim() != 2 or x.size(-1) != channels:
        raise ValueError(
            f"'{name}' must have {channels} features per row, shape [N, {channels}] "
            f"(got shape {list(x.shape)}); check the layer's channels or the data"
        )
    check_kind(x, name, like)


def check_kind(x: Tensor, name: str, like: Tensor | None = None) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`x` is floating point, of the dtype and
    on the device of the layer.

    Args:
        x (torch.Tensor): Features.
        name (str): What the argument is called in the error.
        like (torch.Tensor, optional): A weight that they meet. (default: :obj:`None`)
    """
    if not x.is_floating_point():
        raise ValueError(
            f"'{name}' must be floating point (got {x.dtype}); convert with '.float()'"
        )
    if like is None:
        return
    check_device(x, like.device, name, "the layer")
    if x.dtype == like.dtype or not like.is_floating_point():
        return
    if not torch.is_autocast_enabled(x.device.type):
        raise ValueError(
            f"'{name}' must have the dtype of the layer's weights, {like.dtype} (got "
            f"{x.dtype}); convert it with '.to({like.dtype})', or the layer with "
            f"'.to({x.dtype})'"
        )


def check_finite(x: Tensor, name: str) -> None:
    r"""Raises a :class:`ValueError` unless all values are finite; they are not read
    while a compiler traces, nor on the device 'meta', which has none.

    Args:
        x (torch.Tensor): Values, at least two dimensions.
        name (str): What the argument is called in the error.
    """
    if torch.compiler.is_compiling() or x.numel() == 0 or x.is_meta:
        return
    low, high = x.detach().aminmax()
    # One number to read; on a device, one wait.
    if not math.isfinite(float(high - low)):
        rows = (~x.detach().flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        if rows:
            raise ValueError(
                f"'{name}' must be finite (got NaN or infinity in {len(rows)} rows, "
                f"first row {rows[0]}); clean or impute the data first"
            )


def check_alike(x: Tensor, other: Tensor | None, names: tuple[str, str]) -> None:
    r"""Raises a :class:`ValueError` unless what is read side by side is of one dtype
    and on one device.

    Args:
        x (torch.Tensor): Features.
        other (torch.Tensor, optional): Other features.
        names (tuple of str): What both arguments are called in the error.
    """
    if other is None or (x.dtype == other.dtype and x.device == other.device):
        return
    if x.device != other.device or not torch.is_autocast_enabled(x.device.type):
        raise ValueError(
            f"'{names[0]}' and '{names[1]}' must have one dtype and device (got "
            f"{x.dtype} on {x.device} and {other.dtype} on {other.device}); convert "
            f"one of them with '.to(...)'"
        )


def check_image(
    image: Tensor, channels: tuple[int, ...], like: Tensor | None
) -> Tensor:
    r"""Returns images as floats from 0 to 1; raises an error unless they are images.

    Args:
        image (torch.Tensor): Images, bytes or floats, shape :math:`[B, C, H, W]`.
        channels (tuple of int): The numbers of colours :math:`C` that fit.
        like (torch.Tensor, optional): A weight that they meet.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If shape, dtype or device do not fit, or a value is not finite.
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"'image' must be a tensor (got {type(image).__name__})")
    if image.dim() != 4 or image.size(1) not in channels:
        colours = " or ".join(map(str, channels))
        raise ValueError(
            f"'image' must have shape [B, {colours}, H, W] (got {list(image.shape)})"
        )
    if image.dtype == torch.uint8:
        if like is not None:
            check_device(image, like.device, "image", "the layer")
        return image.to(torch.float32 if like is None else like.dtype) / 255
    check_kind(image, "image", like)
    check_finite(image, "image")
    return image


def check_optional(
    x: Tensor | None,
    channels: int | None,
    name: str,
    option: str,
    like: Tensor | None = None,
) -> None:
    r"""Checks an input that a layer takes only if it was built for it.

    Args:
        x (torch.Tensor, optional): The input.
        channels (int, optional): Its width, or :obj:`None` where the layer was built
            without it.
        name (str): What the argument is called in the error.
        option (str): The constructor argument that sets the width.
        like (torch.Tensor, optional): A weight that it meets. (default: :obj:`None`)
    """
    if channels is None:
        if x is not None:
            raise ValueError(
                f"'{name}' was given (shape {list(x.shape)}), but the layer was built "
                f"without it; pass '{option}={x.size(-1)}' to the constructor"
            )
        return
    if x is None:
        raise ValueError(
            f"'{name}' is missing; the layer was built with '{option}={channels}' and "
            f"needs it with {channels} features per row"
        )
    check_features(x, channels, name, like)
