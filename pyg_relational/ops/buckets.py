"""Size classes: how ragged sets become a few dense blocks without large padding.

Sets of equal size need no copy at all. Otherwise sets are grouped so that padding
within a group at most doubles each side; one set of 1,000 beside 500 sets of 5 becomes
two blocks, not 501 sets of 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Block:
    r"""A group of sets that is processed as one dense block.

    Args:
        num_sets (int): The number of sets :math:`S` in the block.
        num_targets (int): The padded number of targets :math:`n` per set.
        num_sources (int): The padded number of sources :math:`m` per set.
        set_index (torch.Tensor, optional): The sets in the block, shape
            :math:`[S]`; :obj:`None` where the block is the whole batch.
        target_rows (torch.Tensor, optional): The row of each target, shape
            :math:`[S, n]`; :obj:`None` where rows are already in place.
        target_mask (torch.Tensor, optional): True where a target is real, shape
            :math:`[S, n]`; :obj:`None` where all are.
        source_rows (torch.Tensor, optional): As :obj:`target_rows`, :math:`[S, m]`.
        source_mask (torch.Tensor, optional): As :obj:`target_mask`, :math:`[S, m]`.
    """

    num_sets: int
    num_targets: int
    num_sources: int
    set_index: Tensor | None = None
    target_rows: Tensor | None = None
    target_mask: Tensor | None = None
    source_rows: Tensor | None = None
    source_mask: Tensor | None = None

    def take_targets(self, x: Tensor) -> Tensor:
        r"""Brings rows :math:`[N, *]` into block form :math:`[S, n, *]`; the content
        of padded rows is arbitrary (rows of other sets)."""
        return _take(x, self.target_rows, self.num_sets, self.num_targets)

    def take_sources(self, x: Tensor) -> Tensor:
        r"""Brings rows :math:`[M, *]` into block form :math:`[S, m, *]`; the content
        of padded rows is arbitrary (rows of other sets)."""
        return _take(x, self.source_rows, self.num_sets, self.num_sources)

    def put_targets(self, out: Tensor, x: Tensor) -> None:
        r"""Writes the real rows of :math:`[S, n, *]` to their places in
        :math:`[N, *]`."""
        _put(out, x, self.target_rows, self.target_mask)

    def put_sources(self, out: Tensor, x: Tensor) -> None:
        r"""Writes the real rows of :math:`[S, m, *]` to their places in
        :math:`[M, *]`."""
        _put(out, x, self.source_rows, self.source_mask)

    def put_sets(self, out: Tensor, x: Tensor) -> None:
        r"""Writes the sets' values :math:`[S, *]` to their places in
        :math:`[B, *]`."""
        if self.set_index is None:
            out.copy_(x)
        else:
            out[self.set_index] = x.to(out.dtype)

    def take_sets(self, x: Tensor) -> Tensor:
        r"""Brings one value per set :math:`[B, *]` into block form
        :math:`[S, *]`."""
        return x if self.set_index is None else x[self.set_index]


def _take(x: Tensor, rows: Tensor | None, num_sets: int, size: int) -> Tensor:
    if rows is not None:
        x = x.index_select(0, rows.flatten())
    # [S * n, *] -> [S, n, *]
    return x.reshape(num_sets, size, *x.shape[1:])


def _put(out: Tensor, x: Tensor, rows: Tensor | None, mask: Tensor | None) -> None:
    if rows is None:
        # [S, n, *] -> [S * n, *]
        out.copy_(x.reshape(out.shape))
    elif mask is None:
        out.index_copy_(0, rows.flatten(), x.flatten(0, 1).to(out.dtype))
    else:
        out.index_copy_(0, rows[mask], x[mask].to(out.dtype))


def blocks(target_ptr: Tensor, source_ptr: Tensor) -> list[Block]:
    r"""Groups the sets of a ragged batch into dense blocks with little padding.

    Sets without targets or without sources form no block: what they contribute is
    zero (or the reduction's empty value), which the caller's buffer already holds.

    Args:
        target_ptr (torch.Tensor): Boundaries of the targets, shape :math:`[B + 1]`.
        source_ptr (torch.Tensor): Boundaries of the sources, shape :math:`[B + 1]`.
    """
    n, m = target_ptr.diff(), source_ptr.diff()
    if n.numel() == 0:
        return []
    low_n, high_n, low_m, high_m = torch.stack(
        [n.min(), n.max(), m.min(), m.max()]
    ).tolist()
    if high_n == 0 or high_m == 0:
        return []
    if low_n == high_n and low_m == high_m:
        return [Block(n.numel(), high_n, high_m)]
    # Exponents of the next power of two; a pair of them is a size class.
    class_n = torch.frexp((n - 1).clamp_min(0).double()).exponent
    class_m = torch.frexp((m - 1).clamp_min(0).double()).exponent
    label = class_n.long() * 64 + class_m
    label[(n == 0) | (m == 0)] = -1
    return [
        _block((label == value).nonzero().flatten(), n, m, target_ptr, source_ptr)
        for value in label.unique().tolist()
        if value >= 0
    ]


def _block(
    sets: Tensor, n: Tensor, m: Tensor, target_ptr: Tensor, source_ptr: Tensor
) -> Block:
    target_rows, target_mask = _rows(target_ptr[sets], n[sets])
    source_rows, source_mask = _rows(source_ptr[sets], m[sets])
    return Block(
        sets.numel(),
        target_rows.size(1),
        source_rows.size(1),
        sets,
        target_rows,
        target_mask,
        source_rows,
        source_mask,
    )


def _rows(start: Tensor, size: Tensor) -> tuple[Tensor, Tensor | None]:
    position = torch.arange(int(size.max()), device=start.device)
    mask = position < size.unsqueeze(1)
    if bool(mask.all()):
        return start.unsqueeze(1) + position, None
    # A padded row repeats the set's first one, so every index is valid.
    return start.unsqueeze(1) + position * mask, mask
