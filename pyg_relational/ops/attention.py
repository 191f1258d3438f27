"""Additive attention over all pairs of a set, without writing the pairs out."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pyg_relational.ops import attention_dense as dense
from pyg_relational.ops import attention_sorted as by_rank
from pyg_relational.ops.buckets import Block, blocks
from pyg_relational.ops.checks import check_choice, check_pair_inputs, check_sets

METHODS = ("auto", "sorted", "dense")
_CHUNK = 1 << 20  # numbers in one temporary; a few of them stay in cache
_DENSE_PAIRS = 1 << 13  # pairs that cost less than the fixed price of a sort
_DENSE_SIZE = 96  # sources from which a sort beats the pairs


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
    target_ptr, source_ptr = check_pair_inputs(s, t, target_ptr, source_ptr)
    out: Tensor
    out, _, _ = _forward(
        s, t, v, target_ptr, source_ptr, float(negative_slope), method, save
    )
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
    check_choice(method, METHODS, "method")
    if method == "sorted" and not 0 <= slope <= 1:
        raise ValueError(
            f"'negative_slope' must be from 0 to 1 for method='sorted' (got {slope}); "
            f"method='dense' takes any slope"
        )


@torch.library.custom_op("pyg_relational::additive_attention", mutates_args=())
def _forward(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    check_sets(s, t, target_ptr, source_ptr)
    finite = _is_finite(s, t, v)
    outputs = _empty_outputs(s, v, save)
    for block in blocks(target_ptr, source_ptr):
        x = block.take_targets(s), block.take_sources(t), block.take_sources(v)
        results = _empty_outputs(x[0], x[2], save)[: 3 if save else 1]
        is_dense = _is_dense(block, method, slope, finite)
        for sets, heads in _chunks(block, v):
            at = (sets, slice(None), heads)
            mask = _part(block.source_mask, sets)
            q, k, w = (z[at] for z in x)
            if is_dense:
                results[0][at] = dense.forward(q, k, w, mask, slope)
                continue
            y = by_rank.forward(q, k, w, mask, slope)
            for result, part in zip(results, y, strict=False):
                result[at] = part
        for output, result in zip(outputs, results, strict=False):
            block.put_targets(output, result)
    return outputs


@torch.library.custom_op("pyg_relational::additive_attention_backward", mutates_args=())
def _backward(
    grad: Tensor,
    out: Tensor,
    above: Tensor,
    stats: Tensor,
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
) -> tuple[Tensor, Tensor, Tensor]:
    finite = _is_finite(s, t, v, grad)
    d_s, d_t, d_v = torch.zeros_like(s), torch.zeros_like(t), torch.zeros_like(v)
    for block in blocks(target_ptr, source_ptr):
        is_dense = _is_dense(block, method, slope, finite)
        rows = [block.take_targets(x) for x in (s, grad)]
        rows += [block.take_sources(x) for x in (t, v)]
        kept = [] if is_dense else [block.take_targets(x) for x in (out, above, stats)]
        results = [torch.empty_like(rows[at]) for at in (0, 2, 3)]
        for sets, heads in _chunks(block, v):
            at = (sets, slice(None), heads)
            masks = _part(block.target_mask, sets), _part(block.source_mask, sets)
            q, g, k, w = (x[at] for x in rows)
            if is_dense:
                grads = dense.backward(g, q, k, w, *masks, slope)
            else:
                y, high, numbers = (x[at] for x in kept)
                grads = by_rank.backward(g, y, high, numbers, q, k, w, *masks, slope)
            for result, part in zip(results, grads, strict=True):
                result[at] = part
        block.put_targets(d_s, results[0])
        block.put_sources(d_t, results[1])
        block.put_sources(d_v, results[2])
    return d_s, d_t, d_v


def _empty_outputs(s: Tensor, v: Tensor, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    # The result, and what the backward needs: its part from positive scores and
    # three numbers a row.
    out = v.new_zeros(*s.shape, v.size(-1))
    rows = s if save else s[:0]
    stats = s.new_zeros(*rows.shape, 3, dtype=torch.float64)
    return out, v.new_zeros(*rows.shape, v.size(-1)), stats


def _is_finite(*tensors: Tensor) -> bool:
    total = torch.stack([x.sum(dtype=torch.float64) for x in tensors]).sum()
    return bool(total.isfinite())


def _is_dense(block: Block, method: str, slope: float, finite: bool) -> bool:
    if not finite or not 0 <= slope <= 1 or method == "dense":
        return True
    return method == "auto" and block.num_sources <= _DENSE_SIZE


def _chunks(block: Block, v: Tensor) -> Iterator[tuple[slice, slice]]:
    # Sets and heads of a block, few enough that temporaries stay in cache.
    heads, channels = v.shape[1:]
    size = max(block.num_targets, block.num_sources) * max(1, channels)
    rows = max(1, _CHUNK // size)
    sets, step = max(1, rows // max(1, heads)), min(rows, heads)
    for first in range(0, block.num_sets, sets):
        for head in range(0, heads, max(1, step)):
            yield slice(first, first + sets), slice(head, head + step)


def _part(mask: Tensor | None, sets: slice) -> Tensor | None:
    return None if mask is None else mask[sets]


@_forward.register_fake
def _(
    s: Tensor,
    t: Tensor,
    v: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    method: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_outputs(s, v, save)


@_backward.register_fake
def _(
    grad: Tensor, out: Tensor, above: Tensor, stats: Tensor, *inputs: Any
) -> tuple[Tensor, Tensor, Tensor]:
    d_s, d_t, d_v = (torch.zeros_like(x) for x in inputs[:3])
    return d_s, d_t, d_v


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
    grads = _backward(grad.contiguous(), *ctx.saved_tensors, ctx.slope, ctx.method)
    return *grads, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)
