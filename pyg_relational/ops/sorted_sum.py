"""Rectified pair sums over rows of keys, by sorting each row once."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pyg_relational.ops.joint_sort import joint_sort
from pyg_relational.ops.workspace import Workspace

_CHUNK = 1 << 19  # keys sorted at once: a few buffers of 4 MB, which caches hold


def sorted_sum(
    a: Tensor,
    b: Tensor,
    slope: float,
    b_sum: Tensor | None,
    out: Tensor,
    above: Tensor,
    below: Tensor,
    order: Tensor,
    space: Workspace,
) -> None:
    r"""Computes :math:`y_i = \sum_j \mathrm{LeakyReLU}(a_i + b_j)` in every row.

    With :math:`\beta = -b` and both groups sorted together, the pairs above zero of
    :math:`a_i` are the :math:`\beta_j` before it. Prefix sums start at the smallest
    :math:`\beta` and are taken in float64, so terms that do not belong to a sum are
    never subtracted from it.

    Args:
        a (torch.Tensor): Finite values, shape :math:`[R, n]`; padding must be the
            largest finite value.
        b (torch.Tensor): Finite values, shape :math:`[R, m]`; padding must be the
            lowest finite value.
        slope (float): The slope below zero.
        b_sum (torch.Tensor, optional): Sums of :math:`b` without padding in float64,
            shape :math:`[R, 2]`, and the number of real sources in a second column;
            needed where :obj:`slope` is not zero.
        out (torch.Tensor): Receives the sums, shape :math:`[R, n]`.
        above (torch.Tensor): Receives how many sources each target meets above zero,
            int32, shape :math:`[R, n]`.
        below (torch.Tensor): Receives how many targets each source does not meet
            above zero, int32, shape :math:`[R, m]`.
        order (torch.Tensor): Receives the ascending order of the targets, int32,
            shape :math:`[R, n]`.
        space (Workspace): Buffers.
    """
    (num_rows, n), m = a.shape, b.size(1)
    for rows in _chunks(num_rows, n + m):
        values, index, is_source, met = _ranks(a, b, above, below, rows, space)
        shape = tuple(values.shape)
        sums = space.empty("sums", shape, torch.float64).copy_(values)
        prefix = space.empty("prefix", shape, torch.float64)
        torch.mul(sums, is_source, out=prefix).cumsum_(1)
        if b_sum is None:
            sums.mul_(met).sub_(prefix)
        else:
            linear = sums * b_sum[rows, 1:] + b_sum[rows, :1]
            sums.mul_(met).sub_(prefix).mul_(1 - slope).add_(linear, alpha=slope)
        # Only the targets' sums are wanted; the sources' are meaningless.
        sums = space.empty("out", shape, out.dtype).copy_(sums)
        joint = space.empty("joint", shape, out.dtype).scatter_(1, index, sums)
        out[rows] = joint[:, :n]
        order[rows] = _targets(is_source, index, n, space)


def sorted_ranks(
    a: Tensor, b: Tensor, above: Tensor, below: Tensor, space: Workspace
) -> None:
    r"""Computes only the ranks :obj:`above` and :obj:`below` of :func:`sorted_sum`."""
    for rows in _chunks(a.size(0), a.size(1) + b.size(1)):
        _ranks(a, b, above, below, rows, space)


def sorted_sum_backward(
    g: Tensor, below: Tensor, order: Tensor, out: Tensor, space: Workspace
) -> None:
    r"""Sums, for every source, the gradients of the targets it meets above zero.

    Args:
        g (torch.Tensor): Gradients of the targets, zero in padding, :math:`[R, n]`.
        below (torch.Tensor): From :func:`sorted_sum`, shape :math:`[R, m]`.
        order (torch.Tensor): From :func:`sorted_sum`, shape :math:`[R, n]`.
        out (torch.Tensor): Receives the sums, shape :math:`[R, m]`.
        space (Workspace): Buffers.
    """
    (num_rows, n), m = g.shape, below.size(1)
    for rows in _chunks(num_rows, n + m):
        count = len(g[rows])
        index = space.empty("index", (count, n), torch.long).copy_(order[rows])
        taken = space.empty("taken", (count, n), g.dtype)
        torch.gather(g[rows], 1, index, out=taken)
        sums = space.empty("sums", (count, n + 1), torch.float64)
        # The targets above a source are the last ones: sum from that end.
        sums[:, 0] = 0
        sums[:, 1:] = taken.flip(1)
        sums.cumsum_(1)
        place = space.empty("place", (count, m), torch.long).copy_(below[rows])
        place.neg_().add_(n)
        met = space.empty("met", (count, m), torch.float64)
        out[rows] = torch.gather(sums, 1, place, out=met)


def _ranks(
    a: Tensor, b: Tensor, above: Tensor, below: Tensor, rows: slice, space: Workspace
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = a.size(1)
    beta = space.empty("beta", tuple(b[rows].shape), b.dtype)
    values, index = joint_sort(a[rows], torch.neg(b[rows], out=beta), space)
    shape = tuple(index.shape)
    is_source = torch.ge(index, n, out=space.empty("is_source", shape, torch.bool))
    met = space.empty("met", shape, torch.int32)
    torch.cumsum(is_source, 1, dtype=torch.int32, out=met)
    # A source's rank is its place less the sources up to it (a selection in
    # arithmetic, which is faster than torch.where).
    place = torch.arange(1, shape[1] + 1, dtype=torch.int32, device=a.device)
    rank = torch.mul(met, -2, out=space.empty("rank", shape, torch.int32))
    rank.add_(place).mul_(is_source).add_(met)
    joint = space.empty("joint", shape, torch.int32).scatter_(1, index, rank)
    above[rows], below[rows] = joint[:, :n], joint[:, n:]
    return values, index, is_source, met


def _chunks(num_rows: int, length: int) -> Iterator[slice]:
    step = max(_CHUNK // length, torch.get_num_threads())
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _targets(is_source: Tensor, index: Tensor, n: int, space: Workspace) -> Tensor:
    """The entries of the targets in each row, in their order."""
    is_target = space.empty("is_target", tuple(index.shape), torch.bool)
    torch.logical_not(is_source, out=is_target)
    if index.device.type != "cpu":
        return index[is_target].view(-1, n)
    # NumPy's compress is several times faster than a masked selection.
    out = space.empty("targets", (len(index), n), torch.long)
    flat = index.numpy().ravel(), out.numpy().ravel()
    np.compress(is_target.numpy().ravel(), flat[0], out=flat[1])
    return out
