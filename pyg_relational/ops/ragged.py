"""Ragged sets: a batch of sets is one tensor of rows and the boundaries of its sets.

Sets of equal size need no copy at all. Otherwise sets are grouped so that padding
within a group at most doubles each side; one set of 1,000 beside 500 sets of 5 becomes
two blocks, not 501 sets of 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.index import index2ptr, ptr2index

from pyg_relational.ops.checks import (
    MAX_SETS,
    check_aligned,
    check_count,
    check_device,
    check_ptr,
    check_vector,
    reads_for_free,
)
from pyg_relational.ops.pair_tiles import pair_list

# Feature maps of images as sets of objects.


def map_to_objects(features: Tensor) -> tuple[Tensor, Tensor]:
    r"""Turns the cells of feature maps into objects that carry their place, as in `"A
    simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    Args:
        features (torch.Tensor): A map of each image, shape :math:`[B, C, h, w]`.

    Returns:
        tuple: The objects, row by row, shape :math:`[B \cdot h \cdot w, C + 2]`, whose
        last two features are row and column in :math:`[-1, 1]`, -1 where there is only
        one; and the image of each object, shape :math:`[B \cdot h \cdot w]`.

    Raises:
        ValueError: If the maps do not have four dimensions.
    """
    if features.dim() != 4:
        raise ValueError(
            f"'features' must have shape [B, C, h, w] (got {list(features.shape)})"
        )
    count, _, height, width = features.shape
    rows = torch.linspace(-1, 1, height, device=features.device)
    columns = torch.linspace(-1, 1, width, device=features.device)
    # [2, h, w] -> [B, 2, h, w]
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    places = places.to(features.dtype).expand(count, -1, -1, -1)
    # [B, C + 2, h, w] -> [B, h, w, C + 2] -> [B * h * w, C + 2]
    x = torch.cat([features, places], dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    batch = torch.arange(count, device=features.device)
    return x, batch.repeat_interleave(height * width)


# Size classes: how ragged sets become a few dense blocks without large padding.


@dataclass(frozen=True)
class Block:
    r"""A group of :math:`S` sets that is processed as one dense block, padded to
    :math:`n` targets and :math:`m` sources a set."""

    num_sets: int
    num_targets: int
    num_sources: int
    #: The sets in the block, [S]; none where it is the whole batch.
    set_index: Tensor | None = None
    #: The row of each target, [S, n]; none where rows are already in place.
    target_rows: Tensor | None = None
    #: True where a target is real, [S, n]; none where all are.
    target_mask: Tensor | None = None
    #: As for targets, [S, m].
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
    zero (or the reduction's empty value), which the caller's buffer already holds."""
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


# More pairs than any memory holds: 16 bytes each.
_MAX_PAIRS = 2.0**36


def fully_connected_edges(
    batch: Tensor | None = None,
    batch_size: int | None = None,
    *,
    ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    self_pairs: bool = True,
) -> Tensor:
    r"""Lists all ordered pairs of rows inside each set as edges.

    The operators of this package never need them: all pairs are their default.

    Args:
        batch (torch.Tensor, optional): The set of each row, ascending, shape
            :math:`[N]`. (default: :obj:`None`)
        batch_size (int, optional): The number of sets :math:`B`; needed when sets are
            empty. (default: :obj:`None`)
        ptr (torch.Tensor, optional): Set boundaries instead of :obj:`batch`, shape
            :math:`[B + 1]`. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, if these
            are other rows than the targets, shape :math:`[B + 1]`.
            (default: :obj:`None`)
        self_pairs (bool): Whether to include the pairs :math:`(i, i)`.
            (default: :obj:`True`)

    Returns:
        torch.Tensor: Edges from sources (first row) to targets (second row), shape
        :math:`[2, E]` with :math:`E = \sum_s n_s^2` (:math:`n_s (n_s - 1)` without
        self pairs), sorted by target and then by source.

    Raises:
        ValueError: If both or none of :obj:`batch` and :obj:`ptr` are given,
            :obj:`batch` is not sorted or skips a set that :obj:`batch_size` does not
            count, or boundaries do not start at zero, are not ascending, or differ
            where self pairs are left out.
    """
    ptr = _boundaries(batch, batch_size, ptr)
    if batch is not None and batch_size is None and bool((ptr.diff() == 0).any()):
        empty = int((ptr.diff() == 0).nonzero()[0])
        raise ValueError(
            f"'batch' names no row of set {empty} (got {batch[:8].tolist()}, ...); "
            f"pass boundaries of sets as 'ptr=', or 'batch_size=' if sets are empty"
        )
    source_ptr = ptr if source_ptr is None else source_ptr
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


def _boundaries(
    batch: Tensor | None, batch_size: int | None, ptr: Tensor | None
) -> Tensor:
    """The boundaries of sets, in whichever of two ways they are told."""
    if (batch is None) == (ptr is None):
        got = "neither" if ptr is None else "both"
        raise ValueError(
            f"either 'batch', the set of each row, or 'ptr', the boundaries of the "
            f"sets, must be given (got {got})"
        )
    if ptr is None:
        assert batch is not None
        return batch_to_ptr(batch, batch_size)
    check_vector(ptr, "ptr")
    return ptr


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
    x: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    *,
    ptr: Tensor | None = None,
    fill_value: float = 0.0,
    max_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Pads the sets of a ragged batch to the same size.

    Args:
        x (torch.Tensor): Rows, shape :math:`[N, *]`.
        batch (torch.Tensor, optional): The set of each row, ascending, shape
            :math:`[N]`. (default: :obj:`None`)
        batch_size (int, optional): The number of sets :math:`B`; needed when the last
            sets are empty. (default: :obj:`None`)
        ptr (torch.Tensor, optional): Set boundaries instead of :obj:`batch`, shape
            :math:`[B + 1]`. (default: :obj:`None`)
        fill_value (float): The value of padded rows. (default: :obj:`0.0`)
        max_size (int, optional): The padded size :math:`n`; by default that of the
            largest set. (default: :obj:`None`)

    Returns:
        (torch.Tensor, torch.Tensor): Rows :math:`[B, n, *]`, and a mask
        :math:`[B, n]` that is true where a row is real.

    Raises:
        ValueError: If both or none of :obj:`batch` and :obj:`ptr` are given, it does
            not fit :obj:`x`, or a set exceeds :obj:`max_size`.
    """
    ptr = _boundaries(batch, batch_size, ptr)
    name = "ptr" if batch is None else "batch"
    check_device(ptr, x.device, name, "'x'")
    if batch is not None and batch.numel() != x.size(0):
        raise ValueError(
            f"'batch' must name the set of each of the {x.size(0)} rows of 'x' (got "
            f"{batch.numel()} entries)"
        )
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
