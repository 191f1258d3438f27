"""Checks of what layers and models are given."""

from typing import Any

import torch
from torch import Tensor


def check_features(x: Tensor, channels: int, name: str) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`x` has the expected width and only
    finite values.

    Values are not read while a compiler traces.

    Args:
        x (torch.Tensor): Features, shape :math:`[*, F]`.
        channels (int): The expected width :math:`F`.
        name (str): What the argument is called in the error.
    """
    if x.dim() < 2 or x.size(-1) != channels:
        raise ValueError(
            f"'{name}' must have {channels} features per row, shape [*, {channels}] "
            f"(got shape {list(x.shape)}); check the layer's channels or the data"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"'{name}' must be floating point (got {x.dtype}); convert with '.float()'"
        )
    if torch.compiler.is_compiling() or x.numel() == 0:
        return
    low, high = x.detach().aminmax()
    if not bool((high - low).isfinite()):
        rows = (~x.detach().isfinite().all(dim=-1)).nonzero()[:, 0].tolist()
        if rows:
            raise ValueError(
                f"'{name}' must be finite (got NaN or infinity in {len(rows)} rows, "
                f"first row {rows[0]}); clean or impute the data first"
            )


def check_edges(edge_index: Any, edge_attr: Tensor | None) -> None:
    r"""Raises a :class:`ValueError` unless edge features belong to edges, one row
    each.

    Args:
        edge_index (torch.Tensor or SparseTensor, optional): The edges.
        edge_attr (torch.Tensor, optional): Their features, shape :math:`[E, D]`.
    """
    if edge_attr is None:
        return
    if edge_index is None:
        raise ValueError("'edge_attr' needs 'edge_index' (got None)")
    if isinstance(edge_index, Tensor) and edge_index.layout == torch.strided:
        edges = edge_index.size(1)
        if edge_attr.size(0) != edges:
            raise ValueError(
                f"'edge_attr' must have one row for each of the {edges} edges (got "
                f"{edge_attr.size(0)} rows)"
            )


def check_optional(
    x: Tensor | None, channels: int | None, name: str, option: str
) -> None:
    r"""Checks an input that a layer takes only if it was built for it.

    Args:
        x (torch.Tensor, optional): The input.
        channels (int, optional): Its width, or :obj:`None` where the layer was built
            without it.
        name (str): What the argument is called in the error.
        option (str): The constructor argument that sets the width.
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
    check_features(x, channels, name)


def check_tokens(x: Tensor, num_tokens: int, name: str) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`x` holds ids of known tokens.

    Args:
        x (torch.Tensor): Token ids.
        num_tokens (int): The number of known tokens.
        name (str): What the argument is called in the error.
    """
    if x.dtype != torch.long:
        raise ValueError(
            f"'{name}' must hold token ids of dtype int64 (got {x.dtype}); the model "
            f"was built with 'num_tokens={num_tokens}'"
        )
    if torch.compiler.is_compiling() or x.numel() == 0:
        return
    low, high = (int(value) for value in x.aminmax())
    if low < 0 or high >= num_tokens:
        raise ValueError(
            f"'{name}' must hold token ids from 0 to {num_tokens - 1} (got {low} to "
            f"{high}); encode text with the vocabulary of the training data"
        )
