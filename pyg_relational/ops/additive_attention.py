r"""Additive attention over all pairs of a set, without writing the pairs out.

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

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, pad

from pyg_relational._checks import check_name
from pyg_relational.ops.checks import check_pair_inputs, check_sets
from pyg_relational.ops.kernels import Eager, joint_sort
from pyg_relational.ops.ragged import Block, blocks

_RUN = 64  # rows that are summed at once, in cache; their totals are summed apart


def _sorted_forward(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Attends over the sources of each set."""
    (sets, m, heads), n, channels = t.shape, s.size(1), v.size(3)
    s_rows, t_rows = _sorted_rows(s), _sorted_rows(t)
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


def _sorted_backward(
    grad: Tensor,
    kept: list[Tensor],
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`forward` for the two scores and the values."""
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
    order, rank, dot = (
        _inverse(place.long()),
        _sorted_rows(source_rank),
        _sorted_rows(dot),
    )
    one, two = one.gather(1, order), two.gather(1, order).flip(1)
    dot = dot.gather(1, order)
    dot_above = pad((one * dot).cumsum(1), (1, 0)).gather(1, rank)
    dot_below = pad((two * dot.flip(1)).cumsum(1), (1, 0)).gather(1, n - rank)

    high, low, _ = _source_parts(_sorted_rows(t), _row_mask(source_mask, heads), slope)
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


def _sorted_rows(x: Tensor) -> Tensor:
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


# Additive attention by writing the pairs out, a bounded number at a time.


PAIRS = 1 << 18  # pairs alive at once; a few numbers for each stay in cache
_VECTOR = 16  # numbers in a vector register


def _dense_forward(
    s: Tensor, t: Tensor, v: Tensor, source_mask: Tensor | None, slope: float
) -> Tensor:
    r"""Attends over the sources of each set, without the pairs of padded sources."""
    sets, n, heads = s.shape
    t, v = _dense_rows(t.unsqueeze(3)).mT, _dense_rows(v)
    out = v.new_empty(sets, heads, n, v.size(2))
    for part in _parts(s, t):
        _, alpha = _attend(s[:, part], t, source_mask, slope)
        # [S * K, n, C] -> [S, K, n, C]
        out[:, :, part] = torch.bmm(alpha, v).view(sets, heads, -1, v.size(2))
    return out.transpose(1, 2)


def _dense_backward(
    grad: Tensor,
    kept: list[Tensor],
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`forward` for the two scores and the values."""
    (s,) = kept
    if target_mask is not None:
        grad = grad.where(target_mask[..., None, None], 0)
    sets, m, heads, channels = v.shape
    t, v, grad = _dense_rows(t.unsqueeze(3)).mT, _dense_rows(v), _dense_rows(grad)
    d_s, d_t, d_v = torch.empty_like(s), torch.zeros_like(t), torch.zeros_like(v)
    for part in _parts(s, t):
        score, alpha = _attend(s[:, part], t, source_mask, slope)
        g = grad[:, part]
        d_v.baddbmm_(alpha.mT, g)
        d_alpha = torch.bmm(g, v.mT)
        d_score = torch.ops.aten._softmax_backward_data(d_alpha, alpha, -1, alpha.dtype)
        d_score = torch.ops.aten.leaky_relu_backward(d_score, score, slope, False)
        # [S * K, n] -> [S, n, K]
        d_s[:, part] = d_score.sum(2).view(sets, heads, -1).transpose(1, 2)
        d_t += d_score.sum(1, keepdim=True)
    # [S * K, m, *] -> [S, m, K, *]
    d_t = d_t.view(sets, heads, m).transpose(1, 2)
    return d_s, d_t, d_v.view(sets, heads, m, channels).transpose(1, 2)


def _dense_rows(x: Tensor) -> Tensor:
    # [S, n, K, C] -> [S * K, n, C]
    return x.transpose(1, 2).reshape(-1, x.size(1), x.size(3))


def _parts(s: Tensor, t: Tensor) -> Iterator[slice]:
    n = s.size(1)
    step = max(1, PAIRS // max(1, t.numel()))
    return (slice(start, min(n, start + step)) for start in range(0, n, step))


def _attend(
    s: Tensor, t: Tensor, mask: Tensor | None, slope: float
) -> tuple[Tensor, Tensor]:
    # The scores are [S * K, n, m], those of a set's heads beside each other.
    score = _dense_rows(s.unsqueeze(3)) + t
    active = leaky_relu(score, slope)
    if mask is not None:
        mask = mask.repeat_interleave(s.size(2), dim=0).unsqueeze(1)
        active.masked_fill_(~mask, -torch.inf)
    if t.size(2) >= _VECTOR:
        return score, active.softmax(-1)
    # On short rows, the library's softmax is several times slower than its parts.
    weight = active.sub_(active.amax(-1, keepdim=True)).exp_()
    return score, weight.div_(weight.sum(-1, keepdim=True))


# How additive attention divides its work: by size of set, then by chunks.


_CHUNK = 1 << 20  # numbers in one temporary; a few of them stay in cache
_DENSE_SOURCES = 96  # up to here, the pairs of a set cost less than a sort


def _plan(
    target_ptr: Tensor, source_ptr: Tensor, method: str, slope: float, *inputs: Tensor
) -> list[tuple[Block, bool]]:
    r"""The blocks of a batch, and whether each writes its pairs out: where a sort is
    not possible or not cheaper."""
    forced = method == "dense" or not 0 <= slope <= 1
    least = _DENSE_SOURCES if method == "auto" else 0
    steps = [
        (block, forced or block.num_sources <= least)
        for block in blocks(target_ptr, source_ptr)
    ]
    if all(is_dense for _, is_dense in steps) or _is_finite(*inputs):
        return steps
    return [(block, True) for block, _ in steps]


def _is_finite(*tensors: Tensor) -> bool:
    r"""Whether no element of any tensor is infinite or NaN."""
    # A finite sum proves it in one fast pass; a sum that overflowed needs a look.
    total = torch.stack([x.sum() for x in tensors])
    return bool(total.isfinite().all()) or all(
        bool(x.isfinite().all()) for x in tensors
    )


def _chunks(block: Block, v: Tensor, is_dense: bool) -> Iterator[tuple[slice, slice]]:
    r"""Sets and heads of a block, few enough that temporaries stay in cache."""
    heads, channels = v.shape[1:]
    n, m = block.num_targets, block.num_sources
    rows = PAIRS // (n * m) if is_dense else _CHUNK // (max(n, m) * max(1, channels))
    sets, step = max(1, rows // max(1, heads)), max(1, min(rows, heads))
    for first in range(0, block.num_sets, sets):
        for head in range(0, heads, step):
            yield slice(first, first + sets), slice(head, head + step)


def _masks(block: Block, sets: slice) -> tuple[Tensor | None, Tensor | None]:
    r"""Which targets and which sources of some sets of a block are real."""
    target, source = block.target_mask, block.source_mask
    return (
        None if target is None else target[sets],
        None if source is None else source[sets],
    )


def _room(block: Block, output: Tensor, of_sources: bool) -> Tensor:
    r"""Where a block's result is computed, shape :math:`[S, n, *]` or, of sources,
    :math:`[S, m, *]`: in place if the block is the whole batch."""
    size = block.num_sources if of_sources else block.num_targets
    shape = (block.num_sets, size, *output.shape[1:])
    return output.view(shape) if block.set_index is None else output.new_empty(shape)


def _put(block: Block, output: Tensor, result: Tensor, of_sources: bool) -> None:
    r"""Brings what was computed in :func:`room` to its rows of the output."""
    if block.set_index is not None:
        (block.put_sources if of_sources else block.put_targets)(output, result)


METHODS = ("auto", "sorted", "dense")
_WHOLE = (True, False)  # one block that is the whole batch, sorted: fills everything


def additive_attention(
    target_score: Tensor,
    source_score: Tensor,
    value: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    negative_slope: float = 0.2,
    method: str = "auto",
) -> Tensor:
    r"""Graph attention over all sources of a target's set.

    .. math::
        \mathbf{out}_{i,k} = \sum_j \alpha_{ij,k} \mathbf{v}_{j,k}, \quad
        \alpha_{i \cdot,k} = \mathrm{softmax}_j \left(
        \mathrm{LeakyReLU}(s_{i,k} + t_{j,k}) \right)

    These are the attention coefficients of `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_ (Eq. 3) on the complete graph of each set,
    the pair of an object with itself included.

    The sorted method is exact and takes :math:`O(N \log N)` time and :math:`O(N)`
    memory: in the order of :math:`t`, the exponential of a LeakyReLU splits at
    :math:`t_j = -s_i` into two products of a target's and a source's part, so both
    sums over the sources are prefix sums. Exponents are taken relative to the largest
    score of the set, in float64; only differences of scores beyond the 53 bits of a
    float64 are lost. bfloat16 and float16 compute in float32. Non-finite inputs
    propagate as in the dense computation. Results are deterministic on a CPU. Second
    derivatives are not supported.

    Args:
        target_score (torch.Tensor): Scores :math:`s` of the targets, shape
            :math:`[N, K]` for :math:`K` heads.
        source_score (torch.Tensor): Scores :math:`t` of the sources, shape
            :math:`[M, K]`.
        value (torch.Tensor): Values of the sources, shape :math:`[M, K, C]`.
        target_ptr (torch.Tensor, optional): Set boundaries of the targets, shape
            :math:`[B + 1]`; by default all are one set. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, shape
            :math:`[B + 1]`; by default all are one set. (default: :obj:`None`)
        negative_slope (float): The slope of LeakyReLU below zero.
            (default: :obj:`0.2`)
        method (str): :obj:`"sorted"` (slopes from 0 to 1), :obj:`"dense"` (any
            slope, :math:`O(N^2)` time) or :obj:`"auto"`, the cheaper one for each
            size of set. (default: :obj:`"auto"`)

    Returns:
        torch.Tensor: Shape :math:`[N, K, C]`, in the dtype of :obj:`value`; zero
        for targets of a set without sources.

    Raises:
        TypeError: If an input is not floating point.
        ValueError: If shapes or boundaries do not fit each other, :obj:`method` is
            unknown, or :obj:`"sorted"` is forced for a slope outside of 0 to 1.
    """
    _check(target_score, source_score, value, negative_slope, method)
    inputs = (target_score, source_score, value)
    save = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    dtype = torch.promote_types(target_score.dtype, source_score.dtype)
    dtype = torch.promote_types(torch.promote_types(dtype, value.dtype), torch.float32)
    s, t, v = (x.to(dtype) for x in inputs)
    target_ptr, source_ptr = check_pair_inputs(
        s, t, target_ptr, source_ptr, ("target_score", "source_score"), value=v
    )
    tensors = s, t, v, target_ptr, source_ptr
    options = float(negative_slope), method, save
    if torch.compiler.is_compiling():
        out = _op(*tensors, *options)[0]
    else:
        out = Eager.apply(_keep_all, _eager_backward, len(tensors), *tensors, *options)
    return out.to(value.dtype)


def _check(
    target_score: Tensor, source_score: Tensor, value: Tensor, slope: float, method: str
) -> None:
    inputs = {
        "target_score": (target_score, 2, "[N, K]"),
        "source_score": (source_score, 2, "[M, K]"),
        "value": (value, 3, "[M, K, C]"),
    }
    for name, (x, dim, shape) in inputs.items():
        if not x.is_floating_point():
            raise TypeError(f"'{name}' must be floating point (got {x.dtype})")
        if x.dim() != dim:
            raise ValueError(
                f"'{name}' must have the shape {shape} (got {list(x.shape)})"
            )
    if source_score.shape != value.shape[:2]:
        raise ValueError(
            f"'value' must have the sources and heads of 'source_score', "
            f"{list(source_score.shape)} (got shape {list(value.shape)})"
        )
    if target_score.size(1) != source_score.size(1):
        raise ValueError(
            f"'target_score' must have the heads of 'source_score', "
            f"{source_score.size(1)} (got {target_score.size(1)})"
        )
    check_name("method", method, METHODS)
    if method == "sorted" and not 0 <= slope <= 1:
        raise ValueError(
            f"'negative_slope' must be from 0 to 1 for method='sorted' (got {slope}); "
            f"method='dense' takes any slope"
        )


def _forward(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the result, and for the backward (without rows unless `save`) what
    :func:`attention_sorted.forward` returns beside it.
    """
    check_sets(s, t, target_ptr, source_ptr)
    plan = _plan(target_ptr, source_ptr, method, slope, s, t, v)
    outputs = _empty_outputs(s, t, v, save)
    if [(block.set_index is None, is_dense) for block, is_dense in plan] != [_WHOLE]:
        for output in outputs:
            output.zero_()
    for block, is_dense in plan:
        x = block.take_targets(s), block.take_sources(t), block.take_sources(v)
        used = outputs[: 4 if save and not is_dense else 1]
        results = [_room(block, y, i == 3) for i, y in enumerate(used)]
        for sets, heads in _chunks(block, v, is_dense):
            at = (sets, slice(None), heads)
            masks = _masks(block, sets)
            q, k, w = (y[at] for y in x)
            if is_dense:
                results[0][at] = _dense_forward(q, k, w, masks[1], slope)
                continue
            parts = _sorted_forward(q, k, w, *masks, slope)
            for result, part in zip(results, parts, strict=False):
                result[at] = part
        for i, (output, result) in enumerate(zip(used, results, strict=True)):
            _put(block, output, result, i == 3)
    return outputs


_op = torch.library.custom_op(
    "pyg_relational::additive_attention", _forward, mutates_args=()
)


def _keep_all(*arguments: Any) -> tuple[Tensor, ...]:
    """The result, and all that the operator returns for the backward."""
    outputs = _forward(*arguments)
    return outputs[0], *outputs


def _backward(
    grad: Tensor,
    out: Tensor,
    above: Tensor,
    stats: Tensor,
    source_rank: Tensor,
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
) -> tuple[Tensor, Tensor, Tensor]:
    outputs = (_contiguous_like(s), _contiguous_like(t), _contiguous_like(v))
    plan = _plan(target_ptr, source_ptr, method, slope, s, t, v, grad)
    if [block.set_index for block, _ in plan] != [None]:
        for output in outputs:
            output.zero_()
    for block, is_dense in plan:
        g, k, w = block.take_targets(grad), block.take_sources(t), block.take_sources(v)
        if is_dense:
            kept = [block.take_targets(s)]
        else:
            kept = [block.take_targets(x) for x in (out, above, stats)]
            kept.append(block.take_sources(source_rank))
        run = _dense_backward if is_dense else _sorted_backward
        results = [_room(block, y, i > 0) for i, y in enumerate(outputs)]
        for sets, heads in _chunks(block, v, is_dense):
            at = (sets, slice(None), heads)
            masks = _masks(block, sets)
            grads = run(g[at], [x[at] for x in kept], k[at], w[at], *masks, slope)
            for result, part in zip(results, grads, strict=True):
                result[at] = part
        for i, (output, result) in enumerate(zip(outputs, results, strict=True)):
            _put(block, output, result, i > 0)
    return outputs


_op_backward = torch.library.custom_op(
    "pyg_relational::additive_attention_backward", _backward, mutates_args=()
)


def _eager_backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    inputs, kept, options = arguments[:5], arguments[5:9], arguments[9:11]
    return _backward(grad, *kept, *inputs, *options)


def _empty_outputs(
    s: Tensor, t: Tensor, v: Tensor, save: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = v.new_empty(*s.shape, v.size(-1))
    kept, t = (s, t) if save else (s[:0], t[:0])
    stats = s.new_empty(*kept.shape, 4, dtype=torch.float64)
    rank = torch.empty(t.shape, dtype=torch.long, device=t.device)
    return out, v.new_empty(*kept.shape, v.size(-1)), stats, rank


def _contiguous_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_op.register_fake
def _(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty_outputs(s, t, v, save)


@_op_backward.register_fake
def _(grad: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    s, t, v = args[4:7]
    return _contiguous_like(s), _contiguous_like(t), _contiguous_like(v)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output, *inputs[:5])
    ctx.slope, ctx.method = inputs[5:7]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad: Tensor | None, *_: Tensor | None
) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    grads = _op_backward(grad.contiguous(), *ctx.saved_tensors, ctx.slope, ctx.method)
    return *grads, None, None, None, None, None


_op.register_autograd(_differentiate, setup_context=_save)
