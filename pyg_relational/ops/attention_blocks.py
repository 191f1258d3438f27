"""How additive attention divides its work: by size of set, then by chunks."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pyg_relational.ops.attention_dense import PAIRS
from pyg_relational.ops.buckets import Block, blocks

_CHUNK = 1 << 20  # numbers in one temporary; a few of them stay in cache
_DENSE_SOURCES = 96  # up to here, the pairs of a set cost less than a sort


def plan(
    target_ptr: Tensor, source_ptr: Tensor, method: str, slope: float, *inputs: Tensor
) -> list[tuple[Block, bool]]:
    r"""The blocks of a batch, and whether each writes its pairs out: where a sort is
    not possible or not cheaper.

    Args:
        target_ptr (torch.Tensor): Boundaries of the targets, shape :math:`[B + 1]`.
        source_ptr (torch.Tensor): Boundaries of the sources, shape :math:`[B + 1]`.
        method (str): What the caller asked for.
        slope (float): The slope below zero; a sort needs one from 0 to 1.
        *inputs (torch.Tensor): What a sort needs to be finite.
    """
    forced = method == "dense" or not 0 <= slope <= 1
    least = _DENSE_SOURCES if method == "auto" else 0
    steps = [
        (block, forced or block.num_sources <= least)
        for block in blocks(target_ptr, source_ptr)
    ]
    if all(is_dense for _, is_dense in steps) or is_finite(*inputs):
        return steps
    return [(block, True) for block, _ in steps]


def is_finite(*tensors: Tensor) -> bool:
    r"""Whether no element of any tensor is infinite or NaN."""
    # A finite sum proves it in one fast pass; a sum that overflowed needs a look.
    total = torch.stack([x.sum() for x in tensors])
    return bool(total.isfinite().all()) or all(
        bool(x.isfinite().all()) for x in tensors
    )


def chunks(block: Block, v: Tensor, is_dense: bool) -> Iterator[tuple[slice, slice]]:
    r"""Sets and heads of a block, few enough that temporaries stay in cache.

    Args:
        block (Block): The block.
        v (torch.Tensor): The values, shape :math:`[M, K, C]`.
        is_dense (bool): Whether the pairs are written out.
    """
    heads, channels = v.shape[1:]
    n, m = block.num_targets, block.num_sources
    rows = PAIRS // (n * m) if is_dense else _CHUNK // (max(n, m) * max(1, channels))
    sets, step = max(1, rows // max(1, heads)), max(1, min(rows, heads))
    for first in range(0, block.num_sets, sets):
        for head in range(0, heads, step):
            yield slice(first, first + sets), slice(head, head + step)


def masks(block: Block, sets: slice) -> tuple[Tensor | None, Tensor | None]:
    r"""Which targets and which sources of some sets of a block are real."""
    target, source = block.target_mask, block.source_mask
    return (
        None if target is None else target[sets],
        None if source is None else source[sets],
    )


def room(block: Block, output: Tensor, of_sources: bool) -> Tensor:
    r"""Where a block's result is computed, shape :math:`[S, n, *]` or, of sources,
    :math:`[S, m, *]`: in place if the block is the whole batch."""
    size = block.num_sources if of_sources else block.num_targets
    shape = (block.num_sets, size, *output.shape[1:])
    return output.view(shape) if block.set_index is None else output.new_empty(shape)


def put(block: Block, output: Tensor, result: Tensor, of_sources: bool) -> None:
    r"""Brings what was computed in :func:`room` to its rows of the output."""
    if block.set_index is not None:
        (block.put_sources if of_sources else block.put_targets)(output, result)
