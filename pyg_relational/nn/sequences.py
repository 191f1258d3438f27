"""Ragged sequences: whose step a row is, and whose sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.nn.checks import check_device
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import batch_to_ptr, ptr_to_batch
from pyg_relational.ops.checks import check_vector


@dataclass(frozen=True)
class Sequences:
    r"""Sequences of steps, and the samples that hold them.

    Args:
        ptr (torch.Tensor): Boundaries of the sequences among the steps,
            :math:`[E + 1]`.
        sample_ptr (torch.Tensor): Boundaries of the samples among the sequences,
            :math:`[B + 1]`.
    """

    ptr: Tensor
    sample_ptr: Tensor


def read_sequences(
    x: Tensor,
    length: Tensor | None = None,
    batch: Tensor | None = None,
    batch_size: int | None = None,
) -> Sequences:
    r"""Finds the sequences in the steps of a batch."""
    sample_ptr = set_ptr(batch, x.size(0), batch_size, x.device)
    if length is None:
        _check_steps(sample_ptr.diff(), "'batch'", "leave empty samples out")
        one_each = torch.arange(sample_ptr.numel(), device=x.device)
        return Sequences(sample_ptr, one_each)
    check_vector(length, "length")
    check_device(length, x.device, "length", "'x'")
    _check_steps(length, "'length'", "leave out sequences without steps")
    ptr = torch.cat([length.new_zeros(1), length.cumsum(0)])
    if int(ptr[-1]) != x.size(0):
        raise ValueError(
            f"'length' must sum to the number of rows of 'x' (got a sum of "
            f"{int(ptr[-1])} for {x.size(0)} rows)"
        )
    if batch is None:
        return Sequences(ptr, ptr.new_tensor([0, length.numel()]))
    first, last = batch[ptr[:-1]], batch[ptr[1:] - 1]
    if not torch.equal(first, last):
        number = int((first != last).nonzero()[0])
        raise ValueError(
            f"'length' must not cross samples (got sequence {number}, which starts in "
            f"sample {int(first[number])} and ends in sample {int(last[number])})"
        )
    return Sequences(ptr, batch_to_ptr(first, sample_ptr.numel() - 1))


def _check_steps(length: Tensor, name: str, remedy: str) -> None:
    if bool((length < 1).any()):
        number = int((length < 1).nonzero()[0])
        raise ValueError(
            f"{name} must give each sequence at least one step (got "
            f"{int(length[number])} steps for sequence {number}); {remedy}"
        )


def packed_order(ptr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Orders steps by time, within a step by falling length of the sequence."""
    length, owner = ptr.diff(), ptr_to_batch(ptr)
    time = torch.arange(owner.numel(), device=ptr.device) - ptr[owner]
    rank = length.argsort(descending=True, stable=True).argsort()
    order = (time * length.numel() + rank[owner]).argsort()
    return order, time.bincount().cpu()
