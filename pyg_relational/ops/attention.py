"""Additive attention over all pairs of a set, without writing the pairs out."""

from typing import Any

import torch
from torch import Tensor

from pyg_relational.ops import attention_blocks as work
from pyg_relational.ops import attention_dense as dense
from pyg_relational.ops import attention_sorted as by_rank
from pyg_relational.ops.checks import check_choice, check_pair_inputs, check_sets
from pyg_relational.ops.eager import Eager

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
    check_choice(method, METHODS, "method")
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
    plan = work.plan(target_ptr, source_ptr, method, slope, s, t, v)
    outputs = _empty_outputs(s, t, v, save)
    if [(block.set_index is None, is_dense) for block, is_dense in plan] != [_WHOLE]:
        for output in outputs:
            output.zero_()
    for block, is_dense in plan:
        x = block.take_targets(s), block.take_sources(t), block.take_sources(v)
        used = outputs[: 4 if save and not is_dense else 1]
        results = [work.room(block, y, i == 3) for i, y in enumerate(used)]
        for sets, heads in work.chunks(block, v, is_dense):
            at = (sets, slice(None), heads)
            masks = work.masks(block, sets)
            q, k, w = (y[at] for y in x)
            if is_dense:
                results[0][at] = dense.forward(q, k, w, masks[1], slope)
                continue
            parts = by_rank.forward(q, k, w, *masks, slope)
            for result, part in zip(results, parts, strict=False):
                result[at] = part
        for i, (output, result) in enumerate(zip(used, results, strict=True)):
            work.put(block, output, result, i == 3)
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
    plan = work.plan(target_ptr, source_ptr, method, slope, s, t, v, grad)
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
        run = dense.backward if is_dense else by_rank.backward
        results = [work.room(block, y, i > 0) for i, y in enumerate(outputs)]
        for sets, heads in work.chunks(block, v, is_dense):
            at = (sets, slice(None), heads)
            masks = work.masks(block, sets)
            grads = run(g[at], [x[at] for x in kept], k[at], w[at], *masks, slope)
            for result, part in zip(results, grads, strict=True):
                result[at] = part
        for i, (output, result) in enumerate(zip(outputs, results, strict=True)):
            work.put(block, output, result, i > 0)
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
