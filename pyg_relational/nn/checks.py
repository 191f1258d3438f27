"""Checks of the features, edges, rows and tokens that layers and models are given."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_relational.ops.checks import check_device


def forward_arguments(module: nn.Module, data: Data) -> dict[str, Any]:
    r"""Returns the attributes of a graph, or of a batch, that the arguments of a
    module's :meth:`forward` name; :obj:`batch_size` is the number of graphs."""
    known = {"batch_size": getattr(data, "num_graphs", 1)}
    names = inspect.signature(module.forward).parameters
    arguments = {name: known.get(name, data.get(name)) for name in names}
    return {name: value for name, value in arguments.items() if value is not None}


def check_features(
    x: Tensor, channels: int, name: str, like: Tensor | None = None
) -> None:
    r"""Raises an error unless :obj:`x` has rows of the expected width, is of the dtype
    and on the device of the layer, and has only finite values.

    Values are not read while a compiler traces."""
    check_width(x, channels, name, like)
    check_finite(x, name)


def check_width(
    x: Tensor, channels: int, name: str, like: Tensor | None = None
) -> None:
    r"""As :func:`check_features`, without reading values: for layers through which NaN
    and infinity reach the output by themselves."""
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
    on the device of the layer."""
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


class NotFiniteError(ValueError):
    """Features that are not finite, or too large to compute with."""


def check_finite(x: Tensor, name: str) -> None:
    r"""Raises a :class:`NotFiniteError` unless all values are finite; they are not read
    while a compiler traces, nor on the device 'meta', which has none."""
    if torch.compiler.is_compiling() or x.numel() == 0 or x.is_meta:
        return
    low, high = x.detach().aminmax()
    # One number to read; on a device, one wait.
    if not math.isfinite(float(high - low)):
        rows = (~x.detach().flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        if rows:
            raise NotFiniteError(
                f"'{name}' must be finite (got NaN or infinity in {len(rows)} rows, "
                f"first row {rows[0]}); clean or impute the data first"
            )


def check_alike(x: Tensor, other: Tensor | None, names: tuple[str, str]) -> None:
    r"""Raises a :class:`ValueError` unless what is read side by side is of one dtype
    and on one device."""
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
    r"""Returns images as floats from 0 to 1; raises an error unless they are images."""
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
    r"""Checks an input that a layer takes only if it was built for it."""
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


def check_edges(
    edge_index: Any,
    edge_attr: Tensor | None,
    x: Tensor,
    num_nodes: int | tuple[int, int] | None = None,
    name: str = "edge_index",
) -> None:
    r"""Raises a :class:`ValueError` unless edges join rows and edge features belong to
    edges, one row each."""
    if edge_index is None:
        if edge_attr is not None:
            raise ValueError(
                f"'edge_attr' needs '{name}' (got None beside features of shape "
                f"{list(edge_attr.shape)})"
            )
        return
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        return
    check_pairs(edge_index, name, x, num_nodes)
    edges = edge_index.size(1)
    if edge_attr is not None and (edge_attr.dim() < 1 or edge_attr.size(0) != edges):
        raise ValueError(
            f"'edge_attr' must have one row for each of the {edges} edges (got "
            f"shape {list(edge_attr.shape)})"
        )


def check_pairs(
    pairs: Any,
    name: str,
    x: Tensor,
    num_nodes: int | tuple[int, int] | None = None,
    ends: int = 2,
) -> None:
    r"""Raises a :class:`ValueError` unless pairs are columns of row numbers."""
    if not isinstance(pairs, Tensor):
        raise TypeError(f"'{name}' must be a tensor (got {type(pairs).__name__})")
    if pairs.dim() != 2 or pairs.size(0) != ends or pairs.dtype != torch.long:
        raise ValueError(
            f"'{name}' must have shape [{ends}, P] and dtype int64, row numbers (got "
            f"shape {list(pairs.shape)}, dtype {pairs.dtype})"
        )
    check_device(pairs, x.device, name, "'x'")
    if isinstance(num_nodes, tuple):
        if num_nodes[0] != num_nodes[1]:
            check_range(pairs[0], num_nodes[0], name)
            check_range(pairs[1], num_nodes[1], name)
            return
        num_nodes = num_nodes[0]
    if num_nodes is not None:
        check_range(pairs, num_nodes, name)


def check_range(index: Tensor, size: int, name: str) -> None:
    r"""Raises an :class:`IndexError` unless numbers are from 0 to less than
    :obj:`size`; values are not read while a compiler traces."""
    if torch.compiler.is_compiling() or index.numel() == 0:
        return
    # One wait for the device.
    low, high = torch.stack(index.aminmax()).tolist()
    if low < 0 or high >= size:
        raise IndexError(
            f"'{name}' must hold numbers from 0 to less than {size} (got {low} to "
            f"{high})"
        )


def check_tokens(x: Tensor, weight: Tensor, name: str) -> None:
    r"""Raises an error unless :obj:`x` holds ids of known tokens."""
    num_tokens = weight.size(0)
    if not isinstance(x, Tensor):
        raise TypeError(f"'{name}' must be a tensor (got {type(x).__name__})")
    if x.dtype != torch.long:
        raise ValueError(
            f"'{name}' must hold token ids of dtype int64 (got {x.dtype}); the model "
            f"was built with 'num_tokens={num_tokens}'"
        )
    check_device(x, weight.device, name, "the layer")
    if torch.compiler.is_compiling() or x.numel() == 0:
        return
    low, high = (int(value) for value in x.aminmax())
    if low < 0 or high >= num_tokens:
        raise ValueError(
            f"'{name}' must hold token ids from 0 to {num_tokens - 1} (got {low} to "
            f"{high}); encode text with the vocabulary of the training data"
        )
