"""Checks of the numbers of rows and tokens that layers and models are given."""

from typing import Any

import torch
from torch import Tensor

from pyg_relational.nn.checks import check_device


def check_edges(
    edge_index: Any,
    edge_attr: Tensor | None,
    x: Tensor,
    num_nodes: int | tuple[int, int] | None = None,
) -> None:
    r"""Raises a :class:`ValueError` unless edges join rows and edge features belong to
    edges, one row each.

    Args:
        edge_index (torch.Tensor or SparseTensor, optional): The edges.
        edge_attr (torch.Tensor, optional): Their features, shape :math:`[E, D]`.
        x (torch.Tensor): The rows that they join.
        num_nodes (int or tuple, optional): The number of rows, or those of sources
            and targets, where nobody else checks that edges stay below it.
            (default: :obj:`None`)
    """
    if edge_index is None:
        if edge_attr is not None:
            raise ValueError(
                f"'edge_attr' needs 'edge_index' (got None beside features of shape "
                f"{list(edge_attr.shape)})"
            )
        return
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        return
    check_pairs(edge_index, "edge_index", x, num_nodes)
    edges = edge_index.size(1)
    if edge_attr is not None and (edge_attr.dim() < 1 or edge_attr.size(0) != edges):
        raise ValueError(
            f"'edge_attr' must have one row for each of the {edges} edges (got "
            f"shape {list(edge_attr.shape)})"
        )


def check_pairs(
    pairs: Tensor,
    name: str,
    x: Tensor,
    num_nodes: int | tuple[int, int] | None = None,
    ends: int = 2,
) -> None:
    r"""Raises a :class:`ValueError` unless pairs are columns of row numbers.

    Args:
        pairs (torch.Tensor): The pairs, shape :math:`[2, P]`, dtype int64.
        name (str): What the argument is called in the error.
        x (torch.Tensor): The rows that they join.
        num_nodes (int or tuple, optional): The number of rows, or those of sources
            and targets; without it, and while a compiler traces, values are not read.
            (default: :obj:`None`)
        ends (int): The number of ends of a pair. (default: :obj:`2`)
    """
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
    :obj:`size`; values are not read while a compiler traces.

    Args:
        index (torch.Tensor): Whole numbers.
        size (int): How many there are to name.
        name (str): What the argument is called in the error.
    """
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
    r"""Raises an error unless :obj:`x` holds ids of known tokens.

    Args:
        x (torch.Tensor): Token ids.
        weight (torch.Tensor): The embeddings of the known tokens, a row each.
        name (str): What the argument is called in the error.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If dtype or device do not fit, or a token is not known.
    """
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
