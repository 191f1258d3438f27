"""Explicit complete graphs, for those who want edges."""

import torch
from torch import Tensor

from pyg_relational.ops.checks import (
    check_aligned,
    check_device,
    check_ptr,
    check_vector,
)
from pyg_relational.ops.pair_tiles import pair_list

# More pairs than any memory holds: 16 bytes each.
_MAX_PAIRS = 2.0**36


def fully_connected_edges(
    ptr: Tensor, self_pairs: bool = True, source_ptr: Tensor | None = None
) -> Tensor:
    r"""Lists all ordered pairs of rows inside each set as edges.

    The operators of this package never need them: all pairs are their default.

    Args:
        ptr (torch.Tensor): Set boundaries, shape :math:`[B + 1]`.
        self_pairs (bool): Whether to include the pairs :math:`(i, i)`.
            (default: :obj:`True`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, if these
            are other rows than the targets, shape :math:`[B + 1]`.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: Edges from sources (first row) to targets (second row), shape
        :math:`[2, E]` with :math:`E = \sum_s n_s^2` (:math:`n_s (n_s - 1)` without
        self pairs), sorted by target and then by source.

    Raises:
        ValueError: If boundaries do not start at zero, are not ascending, or differ
            where self pairs are left out.
    """
    source_ptr = ptr if source_ptr is None else source_ptr
    check_vector(ptr, "ptr")
    check_vector(source_ptr, "source_ptr")
    check_device(source_ptr, ptr.device, "source_ptr", "'ptr'")
    n, m = (int(x[-1]) if x.numel() else 0 for x in (ptr, source_ptr))
    check_ptr(ptr, n, "ptr")
    check_ptr(source_ptr, m, "source_ptr")
    _check_pairs(ptr, source_ptr)
    if not self_pairs:
        check_aligned(ptr, source_ptr)
    pairs = pair_list(ptr, source_ptr, n, m, self_pairs)
    target = torch.arange(n, device=ptr.device).repeat_interleave(pairs.counts())
    position = torch.arange(target.numel(), device=ptr.device)
    shift = pairs.source_start - pairs.pair_ptr[:-1]
    source = position + shift[target]
    if not self_pairs:
        # Sources behind the one that is left out lie one further.
        source += source >= target
    return torch.stack([source, target])


def _check_pairs(ptr: Tensor, source_ptr: Tensor) -> None:
    if ptr.numel() != source_ptr.numel():
        raise ValueError(
            f"'ptr' and 'source_ptr' must bound the same number of sets (got "
            f"{ptr.numel() - 1} and {source_ptr.numel() - 1})"
        )
    if torch.compiler.is_compiling():
        return
    # Whole numbers would overflow.
    pairs = float((ptr.diff().double() * source_ptr.diff()).sum())
    if pairs > _MAX_PAIRS:
        raise ValueError(
            f"'ptr' and 'source_ptr' must make pairs that fit in memory (got "
            f"{pairs:.1e} pairs); the layers take all pairs without a list of them"
        )
