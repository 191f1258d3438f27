r"""Additive attention by prefix sums in the order of the scores.

For source scores :math:`t` in ascending order, target :math:`i` has a positive
:math:`s_i + t_j` with the sources from some rank on. Above it,
:math:`e^{s_i + t_j}`, and below it, :math:`e^{\lambda (s_i + t_j)}` is a product of a
target's and a source's part. Both are scaled by the largest weight of the row: with
:math:`T = \max_j t_j`, the sources' parts are :math:`e^{t_j - T}` and
:math:`e^{\lambda (t_j - T)}`, the targets' are :math:`1` and
:math:`e^{(\lambda - 1) \max(s_i + T, 0)}`. No part exceeds one, and the normaliser
is never below one. The gradients are the same sums over targets in the order of
:math:`-s`.

Blocks are dense here: :math:`S` sets of :math:`n` targets and :math:`m` sources, with
:math:`R = S K` rows of scores.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from pyg_relational.ops.joint_sort import joint_sort

_RUN = 64  # rows that are summed at once, in cache; their totals are summed apart


def forward(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Attends over the sources of each set.

    Args:
        s (torch.Tensor): Target scores, shape :math:`[S, n, K]`.
        t (torch.Tensor): Source scores, shape :math:`[S, m, K]`.
        v (torch.Tensor): Values, shape :math:`[S, m, K, C]`.
        target_mask (torch.Tensor, optional): True for real targets, which come
            first, shape :math:`[S, n]`.
        source_mask (torch.Tensor, optional): As :obj:`target_mask`,
            :math:`[S, m]`.
        slope (float): The slope below zero, from 0 to 1.

    Returns:
        (torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor): The result, and
        for the backward: its part from positive scores, both :math:`[S, n, K, C]`;
        four numbers a target in float64, :math:`[S, n, K, 4]`: its factors of both
        parts, divided by the normaliser, the weight of the positive part, and its
        place in the order of :math:`-s`; and how many targets precede each source,
        :math:`[S, m, K]`.
    """
    (sets, m, heads), n, channels = t.shape, s.size(1), v.size(3)
    s_rows, t_rows = _rows(s), _rows(t)
    keys, mask = -s_rows, _row_mask(target_mask, heads)
    if mask is not None:
        keys.masked_fill_(~mask, torch.inf)
    place, target_place, rank, source_rank = _merge(t_rows, keys)
    order = _inverse(place)
    high, low, top = _source_parts(t_rows, _row_mask(source_mask, heads), slope)
    high, low = high.gather(1, order), low.gather(1, order)

    # Normaliser: positive weights from the largest down, the others from the smallest.
    weight_above = pad(high.flip(1).cumsum(1), (1, 0)).gather(1, m - rank)
    weight_below = pad(low.cumsum(1), (1, 0)).gather(1, rank)
    factor = torch.exp((slope - 1) * (s_rows.double() + top).clamp_min_(0))
    total = weight_above + factor * weight_below
    one, two = total.reciprocal(), factor / total
    stats = torch.stack([one, two, weight_above / total, target_place.double()], 1)

    index = _row_index(order, heads)
    rows = v.reshape(-1, channels)
    above = _sums(rows, index.flip(1), high.flip(1))
    below = _sums(rows, index, low)
    above = _look_up(above, m - rank, one, heads)
    out = _look_up(below, rank, two, heads).add_(above)
    shape = (sets, n, heads, channels)
    # [R, 4, n] -> [S, n, K, 4], and [R, m] -> [S, m, K]
    stats = stats.view(sets, heads, 4, n).permute(0, 3, 1, 2)
    source_rank = source_rank.view(sets, heads, m).transpose(1, 2)
    return out.view(shape), above.view(shape), stats, source_rank


def backward(
    grad: Tensor,
    kept: list[Tensor],
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`forward` for the two scores and the values.

    Args:
        grad (torch.Tensor): The gradient of the result, :math:`[S, n, K, C]`.
        kept (list[torch.Tensor]): What :func:`forward` returned.
        t, v (torch.Tensor): Its inputs.
        target_mask (torch.Tensor, optional): True for real targets, :math:`[S, n]`.
        source_mask (torch.Tensor, optional): True for real sources, :math:`[S, m]`.
        slope (float): The slope below zero.
    """
    out, above, stats, source_rank = kept
    (sets, m, heads), n, channels = t.shape, grad.size(1), v.size(3)
    dot = (grad * out).sum(-1).double()
    d_s = (1 - slope) * ((grad * above).sum(-1) - dot * stats[..., 2])

    # [S, n, K, 4] -> [4, S, K, n] -> [4, S * K, n]
    one, two, _, place = stats.permute(3, 0, 2, 1).reshape(4, -1, n)
    mask = _row_mask(target_mask, heads)
    if mask is not None:
        # Padded targets were sorted to the end, where they are in a block as well.
        place = place.where(mask, torch.arange(n, device=place.device).double())
        one, two = one * mask, two * mask
    order, rank, dot = _inverse(place.long()), _rows(source_rank), _rows(dot)
    one, two = one.gather(1, order), two.gather(1, order).flip(1)
    dot = dot.gather(1, order)
    dot_above = pad((one * dot).cumsum(1), (1, 0)).gather(1, rank)
    dot_below = pad((two * dot.flip(1)).cumsum(1), (1, 0)).gather(1, n - rank)

    high, low, _ = _source_parts(_rows(t), _row_mask(source_mask, heads), slope)
    index = _row_index(order, heads)
    rows = grad.reshape(-1, channels)
    d_above = _look_up(_sums(rows, index, one), rank, high, heads)
    d_v = _look_up(_sums(rows, index.flip(1), two), n - rank, low, heads)
    # d_t = (v . above - dot_above) + slope (v . below - dot_below)
    mixed = torch.add(d_above, d_v, alpha=slope).mul_(v.reshape(-1, channels))
    scalar = high * dot_above + slope * (low * dot_below)
    # [R, m] -> [S, m, K]
    scalar = scalar.view(sets, heads, m).transpose(1, 2)
    d_t = mixed.sum(-1).view(sets, m, heads) - scalar
    return d_s, d_t, d_v.add_(d_above).view(sets, m, heads, channels)


def _rows(x: Tensor) -> Tensor:
    # [S, n, K] -> [S * K, n]
    return x.transpose(1, 2).reshape(-1, x.size(1))


def _row_mask(mask: Tensor | None, heads: int) -> Tensor | None:
    return None if mask is None else mask.repeat_interleave(heads, dim=0)


def _row_index(order: Tensor, heads: int) -> Tensor:
    # Where place r of row (set, head) lies among the rows of [S, m, K].
    rows, m = order.shape
    row = torch.arange(rows, device=order.device)
    start = row.div(heads, rounding_mode="floor") * (m * heads) + row % heads
    return order * heads + start.unsqueeze(1)


def _merge(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # The place of each source and target among its own kind, and how many of the
    # other kind precede it; at a tie, sources do: LeakyReLU'(0) is the lower slope.
    _, index = joint_sort(source, target)
    m, size = source.size(1), index.size(1)
    sources = torch.empty_like(index)
    sources.scatter_(1, index, (index < m).cumsum(1))
    places = torch.arange(size, device=index.device).expand_as(index)
    place = torch.empty_like(index).scatter_(1, index, places)
    source_place, source_rank = sources[:, :m] - 1, place[:, :m] - sources[:, :m] + 1
    target_rank = sources[:, m:]
    return source_place, place[:, m:] - target_rank, target_rank, source_rank


def _inverse(place: Tensor) -> Tensor:
    places = torch.arange(place.size(1), device=place.device).expand_as(place)
    return torch.empty_like(place).scatter_(1, place, places)


def _source_parts(
    t: Tensor, mask: Tensor | None, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    t = t.double()
    if mask is not None:
        t = t.masked_fill(~mask, -torch.inf)
    top = t.amax(1, keepdim=True)
    t = t - top
    low = torch.exp(slope * t)
    if mask is not None:
        low = low.where(mask, 0)
    return torch.exp(t), low, top


def _sums(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    # Running sums of the rows x[index] * weight along each row of the index. Runs are
    # summed in cache, and their totals in float64.
    rows, size = index.shape
    run = min(size, _RUN)
    short = -size % run
    index, weight = pad(index, (0, short)), pad(weight, (0, short))
    x = x.index_select(0, index.flatten())
    x.mul_(weight.to(x.dtype).view(-1, 1))
    # [R * m, C] -> [R, m / run, run, C]
    runs = x.view(rows, -1, run, x.size(1)).cumsum_(2)
    if runs.size(1) > 1:
        total = runs[:, :-1, -1:].cumsum(1, dtype=torch.float64)
        runs[:, 1:] += total.to(x.dtype)
    return runs.view(rows, size + short, -1)


def _look_up(sums: Tensor, count: Tensor, factor: Tensor, heads: int) -> Tensor:
    # The sums of the first `count` terms times a factor, as rows of [S, n, K].
    factor = factor.where(count > 0, 0).to(sums.dtype)
    start = torch.arange(sums.size(0), device=sums.device) * sums.size(1)
    index = (count - 1).clamp_min_(0) + start.unsqueeze(1)
    # [R, n] -> [S, n, K]
    n = count.size(1)
    index = index.view(-1, heads, n).transpose(1, 2)
    factor = factor.view(-1, heads, n).transpose(1, 2)
    return (
        sums.flatten(0, 1).index_select(0, index.flatten()).mul_(factor.reshape(-1, 1))
    )
