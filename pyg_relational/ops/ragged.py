"""Ragged sets: a batch of sets is one tensor of rows and the boundaries of its sets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.index import index2ptr, ptr2index

from pyg_relational.ops.checks import (
    MAX_SETS,
    check_count,
    check_device,
    check_ptr,
    check_vector,
    reads_for_free,
)


def batch_to_ptr(
    batch: Tensor,
    batch_size: int | None = None,
    names: tuple[str, str] = ("batch", "batch_size"),
) -> Tensor:
    r"""Turns a sorted set index per row into set boundaries.

    Args:
        batch (torch.Tensor): The set of each row, ascending, shape :math:`[N]`.
        batch_size (int, optional): The number of sets :math:`B`; by default the
            last index plus one. Needed when the last sets are empty.
            (default: :obj:`None`)
        names (tuple of str): What both arguments are called in errors.
            (default: :obj:`("batch", "batch_size")`)

    Returns:
        torch.Tensor: Boundaries :math:`[B + 1]`; set :math:`s` owns the rows
        ``ptr[s]`` to ``ptr[s + 1]``.

    Values are not read while a compiler traces with a known :obj:`batch_size`.

    Raises:
        TypeError: If :obj:`batch_size` is no whole number.
        ValueError: If :obj:`batch` is not sorted, negative or exceeds
            :obj:`batch_size`, or there are 2**31 sets or more.
    """
    name, size_name = names
    check_vector(batch, name)
    if torch.compiler.is_compiling() and batch_size is not None:
        # `index2ptr` would fix the number of sets at the one that is traced.
        starts = torch.arange(batch_size + 1, device=batch.device)
        return torch.searchsorted(batch, starts)
    if batch_size is not None:
        check_count(batch_size, size_name)
    if batch.numel() == 0:
        return batch.new_zeros((batch_size or 0) + 1)
    if bool((batch[1:] < batch[:-1]).any()):
        raise ValueError(
            f"'{name}' must be sorted in ascending order (got an unsorted vector); "
            f"sort the nodes by graph first, e.g. 'perm = batch.argsort(stable=True)'"
        )
    first, last = int(batch[0]), int(batch[-1])
    if first < 0:
        raise ValueError(f"'{name}' must not be negative (got {first})")
    if last >= (MAX_SETS if batch_size is None else batch_size):
        known = f"'{size_name}' is {batch_size}; pass at least {last + 1}"
        if batch_size is None:
            known = f"more than {MAX_SETS} sets fit in no memory; number them from 0"
        raise ValueError(f"'{name}' names set {last}, but {known}")
    return index2ptr(batch, last + 1 if batch_size is None else batch_size)


def ptr_to_batch(ptr: Tensor, num_rows: int | None = None) -> Tensor:
    r"""Turns set boundaries :math:`[B + 1]` into the set of each row :math:`[N]`.

    Args:
        ptr (torch.Tensor): Set boundaries, shape :math:`[B + 1]`.
        num_rows (int, optional): The number of rows :math:`N`, which spares reading
            it from :obj:`ptr`. (default: :obj:`None`)

    Raises:
        ValueError: If :obj:`ptr` is no vector, or, on a CPU, does not run from 0 to
            the number of rows in ascending order.
    """
    check_vector(ptr, "ptr")
    if reads_for_free(ptr) and ptr.numel():
        check_ptr(ptr, int(ptr[-1]) if num_rows is None else num_rows, "ptr")
    return ptr2index(ptr, output_size=num_rows)


def to_dense(
    x: Tensor, ptr: Tensor, fill_value: float = 0.0, max_size: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Pads the sets of a ragged batch to the same size.

    Args:
        x (torch.Tensor): Rows, shape :math:`[N, *]`.
        ptr (torch.Tensor): Set boundaries, shape :math:`[B + 1]`.
        fill_value (float): The value of padded rows. (default: :obj:`0.0`)
        max_size (int, optional): The padded size :math:`n`; by default that of the
            largest set. (default: :obj:`None`)

    Returns:
        (torch.Tensor, torch.Tensor): Rows :math:`[B, n, *]`, and a mask
        :math:`[B, n]` that is true where a row is real.

    Raises:
        ValueError: If :obj:`ptr` does not fit :obj:`x`, or a set exceeds
            :obj:`max_size`.
    """
    check_vector(ptr, "ptr")
    check_device(ptr, x.device, "ptr", "'x'")
    check_ptr(ptr, x.size(0), "ptr")
    sizes = ptr.diff()
    largest = int(sizes.max()) if sizes.numel() else 0
    if max_size is None:
        max_size = largest
    elif largest > max_size:
        raise ValueError(
            f"'max_size' must be at least the largest set, {largest} (got {max_size})"
        )
    mask = torch.arange(max_size, device=x.device) < sizes.unsqueeze(1)
    dense = x.new_full((sizes.numel(), max_size, *x.shape[1:]), fill_value)
    dense[mask] = x
    return dense, mask


def from_dense(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Drops the padding of a dense batch: the inverse of :func:`to_dense`.

    Args:
        x (torch.Tensor): Rows, shape :math:`[B, n, *]`.
        mask (torch.Tensor, optional): True where a row is real, shape
            :math:`[B, n]`; by default all are. (default: :obj:`None`)

    Returns:
        (torch.Tensor, torch.Tensor): Rows :math:`[N, *]` and set boundaries
        :math:`[B + 1]`.

    Raises:
        ValueError: If :obj:`mask` does not have the shape :math:`[B, n]`.
    """
    if mask is None:
        mask = x.new_ones(x.shape[:2], dtype=torch.bool)
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"'mask' must be boolean of shape {list(x.shape[:2])} (got shape "
            f"{list(mask.shape)}, dtype {mask.dtype})"
        )
    check_device(mask, x.device, "mask", "'x'")
    sizes = mask.sum(dim=1)
    return x[mask], torch.nn.functional.pad(sizes.cumsum(0), (1, 0))


def gather_sets(ptr: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    r"""Lists the rows of chosen sets, so that a set may be used any number of times.

    Args:
        ptr (torch.Tensor): Set boundaries, shape :math:`[B + 1]`.
        index (torch.Tensor): The chosen sets, shape :math:`[Q]`.

    Returns:
        (torch.Tensor, torch.Tensor): The rows of the chosen sets one after another,
        and the boundaries of the result, shape :math:`[Q + 1]`.

    Raises:
        ValueError: If shapes, dtypes or devices do not fit, or, on a CPU, a chosen set
            is not there.
    """
    check_vector(ptr, "ptr")
    check_vector(index, "index")
    check_device(index, ptr.device, "index", "'ptr'")
    if reads_for_free(ptr) and ptr.numel():
        check_ptr(ptr, int(ptr[-1]), "ptr")
        low, high = map(int, index.aminmax()) if index.numel() else (0, -1)
        if low < 0 or high >= ptr.numel() - 1:
            raise ValueError(
                f"'index' must name sets 0 to {ptr.numel() - 2} (got {low} to {high})"
            )
    sizes = ptr.diff()[index]
    out_ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    shift = (ptr[index] - out_ptr[:-1]).repeat_interleave(sizes)
    return torch.arange(shift.numel(), device=ptr.device) + shift, out_ptr
