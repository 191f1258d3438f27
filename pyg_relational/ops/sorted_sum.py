"""Rectified pair sums over rows of keys, by sorting each row once."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pyg_relational.ops.joint_sort import joint_sort

_CHUNK = 1 << 19  # keys sorted at once: a few buffers of 4 MB, which caches hold


def sorted_sum(
    a: Tensor, b: Tensor, slope: float, b_sum: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Computes :math:`y_i = \sum_j \mathrm{LeakyReLU}(a_i + b_j)` in every row.

    With :math:`\beta = -b` and both groups sorted together, the pairs above zero of
    :math:`a_i` are the :math:`\beta_j` before it. Prefix sums start at the smallest
    :math:`\beta`, so terms that do not belong to a sum are never subtracted from it.

    Args:
        a (torch.Tensor): Finite values, shape :math:`[R, n]`; padding must be the
            largest finite value.
        b (torch.Tensor): Finite values, shape :math:`[R, m]`; padding must be the
            lowest finite value.
        slope (float): The slope below zero.
        b_sum (torch.Tensor, optional): Sums of :math:`b` without padding in float64,
            shape :math:`[R, 1]`, and the number of real sources in a second column;
            needed where :obj:`slope` is not zero.

    Returns:
        Sums in float64 :math:`[R, n]`; how many sources each target meets above zero,
        :math:`[R, n]`; how many targets each source does not, :math:`[R, m]`; and the
        ascending order of the targets, :math:`[R, n]`; the latter three int32.
    """
    (num_rows, n), m = a.shape, b.size(1)
    out = a.new_empty(num_rows, n, dtype=torch.float64)
    above, order = (a.new_empty(num_rows, n, dtype=torch.int32) for _ in range(2))
    below = a.new_empty(num_rows, m, dtype=torch.int32)
    for rows in _chunks(num_rows, n + m):
        values, index, is_source, met = _ranks(a[rows], b[rows], above, below, rows)
        beta = values.double()
        sums = beta * met - (beta * is_source).cumsum(1)
        if b_sum is not None:
            linear = beta * b_sum[rows, 1:] + b_sum[rows, :1]
            sums = sums.mul_(1 - slope).add_(linear, alpha=slope)
        # Only the targets' sums are wanted; the sources' are meaningless.
        out[rows] = torch.empty_like(sums).scatter_(1, index, sums)[:, :n]
        order[rows] = _compress(~is_source, index).view(-1, n)
    return out, above, below, order


def sorted_ranks(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r"""Computes only the ranks :obj:`above` and :obj:`below` of :func:`sorted_sum`."""
    above = torch.empty_like(a, dtype=torch.int32)
    below = torch.empty_like(b, dtype=torch.int32)
    for rows in _chunks(a.size(0), a.size(1) + b.size(1)):
        _ranks(a[rows], b[rows], above, below, rows)
    return above, below


def sorted_sum_backward(g: Tensor, below: Tensor, order: Tensor) -> Tensor:
    r"""Sums, for every source, the gradients of the targets it meets above zero.

    Args:
        g (torch.Tensor): Gradients of the targets, zero in padding, :math:`[R, n]`.
        below (torch.Tensor): From :func:`sorted_sum`, shape :math:`[R, m]`.
        order (torch.Tensor): From :func:`sorted_sum`, shape :math:`[R, n]`.

    Returns:
        torch.Tensor: Sums in float64, shape :math:`[R, m]`.
    """
    (num_rows, n), m = g.shape, below.size(1)
    out = g.new_empty(num_rows, m, dtype=torch.float64)
    for rows in _chunks(num_rows, n + m):
        sums = g.new_zeros(len(g[rows]), n + 1, dtype=torch.float64)
        # The targets above a source are the last ones: sum from that end.
        sums[:, 1:] = g[rows].gather(1, order[rows].long()).flip(1)
        torch.gather(sums.cumsum(1), 1, n - below[rows].long(), out=out[rows])
    return out


def _ranks(
    a: Tensor, b: Tensor, above: Tensor, below: Tensor, rows: slice
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = a.size(1)
    values, index = joint_sort(a, b.neg())
    is_source = index >= n
    met = is_source.cumsum(1, dtype=torch.int32)
    # A source's rank is its place less the sources up to it (a selection in
    # arithmetic, which is faster than torch.where).
    place = torch.arange(1, index.size(1) + 1, dtype=torch.int32, device=a.device)
    rank = (place - 2 * met).mul_(is_source).add_(met)
    rank = torch.empty_like(rank).scatter_(1, index, rank)
    above[rows], below[rows] = rank[:, :n], rank[:, n:]
    return values, index, is_source, met


def _chunks(num_rows: int, length: int) -> Iterator[slice]:
    step = max(_CHUNK // length, torch.get_num_threads())
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _compress(mask: Tensor, x: Tensor) -> Tensor:
    if x.device.type != "cpu":
        return x[mask]
    # NumPy's compress is several times faster than a masked selection.
    return torch.from_numpy(np.compress(mask.numpy().ravel(), x.numpy().ravel()))
