"""Attention over all pairs of a set whose scores or values are functions of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor

from pyg_relational.ops.activation import ACTIVATIONS
from pyg_relational.ops.checks import check_choice, check_layers, check_pair_inputs
from pyg_relational.ops.pair_attention_kernel import (
    Options,
    attend,
    attend_backward,
    empty_outputs,
)
from pyg_relational.ops.pair_tiles import tile_size

Layers = Sequence[tuple[Tensor, Tensor | None]]
SCORES = ("mlp", "dot")


def pair_attention(
    target: Tensor,
    source: Tensor,
    value: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    heads: int = 1,
    score: str = "mlp",
    score_layers: Layers = (),
    score_slope: float = 0.2,
    target_value: Tensor | None = None,
    value_layers: Layers = (),
    act: str = "relu",
    negative_slope: float = 0.01,
    plain_last: bool = False,
    self_pairs: bool = True,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    r"""Attends over all sources of a target's set, for any score and value of a pair.

    .. math::
        \mathbf{out}_i = \sum_j \alpha_{ij} \mathbf{v}_{ij}, \quad
        \alpha_{i \cdot} = \mathrm{softmax}_j(e_{ij}), \quad
        \ell_i = \log \sum_j \exp(e_{ij})

    for each of :math:`K` heads. The score :math:`e_{ij}` is an MLP with leaky ReLUs of
    :math:`\mathbf{s}_i + \mathbf{t}_j`, without activation at the end (no further
    layer: the leaky ReLU itself, as in `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_; one: `"How Attentive are Graph Attention
    Networks?" <https://arxiv.org/abs/2105.14491>`_), or a dot product scaled by
    :math:`1 / \sqrt{C}`. The value :math:`\mathbf{v}_{ij}` is a row of the source, or
    an MLP of :math:`\mathbf{a}_i + \mathbf{b}_j` whose output is shared out to the
    heads.

    Pairs are computed in tiles that fit the cache, with an online softmax, and again
    in the backward pass: :math:`O(N^2)` time, :math:`O(N)` memory. bfloat16 and
    float16 compute in float32. Non-finite inputs propagate as over explicit pairs.
    Results are deterministic on a CPU. Second derivatives are not supported.

    Args:
        target (torch.Tensor): The targets' part :math:`\mathbf{s}` of the score, or
            queries, shape :math:`[N, H]`.
        source (torch.Tensor): The sources' part :math:`\mathbf{t}`, or keys, shape
            :math:`[M, H]`.
        value (torch.Tensor): Values of the sources, shape :math:`[M, F]`; with
            :obj:`target_value`, the sources' part :math:`\mathbf{b}` of the values.
        target_ptr (torch.Tensor, optional): Set boundaries of the targets, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        heads (int): The number of heads :math:`K`. (default: :obj:`1`)
        score (str): :obj:`"mlp"` or :obj:`"dot"`. (default: :obj:`"mlp"`)
        score_layers (list of tuple): Weight and bias of the score's further layers,
            the last of which gives :math:`K` numbers. (default: :obj:`()`)
        score_slope (float): The slope of the score's leaky ReLUs below zero, at least
            zero. (default: :obj:`0.2`)
        target_value (torch.Tensor, optional): The targets' part :math:`\mathbf{a}` of
            the values, shape :math:`[N, H^{\prime}]`. (default: :obj:`None`)
        value_layers (list of tuple): Weight and bias of the values' further layers.
            (default: :obj:`()`)
        act (str): The activation of the values' layers. (default: :obj:`"relu"`)
        negative_slope (float): Its slope, of :obj:`"leaky_relu"`.
            (default: :obj:`0.01`)
        plain_last (bool): Whether the values' last layer has no activation.
            (default: :obj:`False`)
        self_pairs (bool): Whether target :math:`i` meets source :math:`i`.
            (default: :obj:`True`)
        dropout (float): The probability that a weight is dropped, after the softmax;
            the others are scaled up. (default: :obj:`0.0`)

    Returns:
        (torch.Tensor, torch.Tensor): The weighted sums :math:`[N, F]`, zero for
        targets without sources, and :math:`\ell`, shape :math:`[N, K]`, in the dtype
        of computation; its least number for targets without sources.

    Raises:
        ValueError: If shapes, dtypes, boundaries or a named choice do not fit.
    """
    check_choice(score, SCORES, "score")
    check_choice(act, ACTIVATIONS, "act")
    others = {"value": value}
    if target_value is not None:
        others["target_value"] = target_value
    target_ptr, source_ptr = check_pair_inputs(
        target, source, target_ptr, source_ptr, ("target", "source"), **others
    )
    _check_numbers(score_slope, negative_slope, dropout)
    _check_score(target, heads, score, score_layers)
    _check_value(target, source, value, target_value, heads, value_layers)
    tensors = [target, source, *_flat(score_layers)]
    tensors += [value] if target_value is None else [target_value, value]
    tensors += _flat(value_layers)
    width = max(x.size(-1) for x in tensors if x.dim() == 2)
    options = Options(
        heads,
        -1 if score == "dot" else len(score_layers),
        float(score_slope),
        -1 if target_value is None else len(value_layers),
        act,
        float(negative_slope),
        plain_last,
        float(dropout),
        self_pairs,
        tile_size(width, target.device.type),
    )
    # Drawn out of sight of the operator: both of its passes drop the same weights.
    seed = torch.randint(2**62, (1,)) if dropout > 0 else torch.zeros(1).long()
    numbers = astuple(options)
    if torch.compiler.is_compiling():
        out, log_sum = _op(tensors, target_ptr, source_ptr, seed, *numbers)
    else:
        out, log_sum = _Eager.apply(target_ptr, source_ptr, seed, numbers, *tensors)
    dtype = torch.promote_types(target.dtype, value.dtype)
    return out.to(dtype), log_sum


def _flat(layers: Layers) -> list[Tensor]:
    """Weights, then biases; a missing bias has no element."""
    biases = [w.new_empty(0) if b is None else b for w, b in layers]
    return [*(weight for weight, _ in layers), *biases]


def _check_numbers(score_slope: float, negative_slope: float, dropout: float) -> None:
    for name, slope in (
        ("score_slope", score_slope),
        ("negative_slope", negative_slope),
    ):
        if slope < 0:
            raise ValueError(
                f"'{name}' must be at least 0 (got {slope}); a negative slope does not "
                f"leave the sign that the gradient is read from"
            )
    if not 0 <= dropout < 1:
        raise ValueError(f"'dropout' must be from 0 to less than 1 (got {dropout})")


def _check_score(target: Tensor, heads: int, score: str, layers: Layers) -> None:
    if heads < 1:
        raise ValueError(f"'heads' must be at least 1 (got {heads})")
    if score == "dot":
        if layers:
            raise ValueError("'score_layers' must be empty for score='dot'")
        check_heads(target.size(1), heads, "target")
        return
    width = check_layers(layers, target, "score_layers")
    if width != heads:
        what = "the last of 'score_layers'" if layers else "'target' without layers"
        raise ValueError(
            f"{what} must give one score for each of 'heads={heads}' (got {width})"
        )


def _check_value(
    target: Tensor,
    source: Tensor,
    value: Tensor,
    target_value: Tensor | None,
    heads: int,
    layers: Layers,
) -> None:
    given = {"value": (value, source)}
    if target_value is not None:
        given["target_value"] = (target_value, target)
    elif layers:
        raise ValueError("'value_layers' needs 'target_value' (got None)")
    for name, (x, like) in given.items():
        rows = like.size(0)
        if x.dim() != 2 or x.size(0) != rows or not x.is_floating_point():
            raise ValueError(
                f"'{name}' must be floating point of shape [{rows}, F] (got "
                f"{list(x.shape)}, {x.dtype})"
            )
    if target_value is not None and target_value.size(1) != value.size(1):
        raise ValueError(
            f"'target_value' must have the width of 'value', {value.size(1)} (got "
            f"{target_value.size(1)})"
        )
    check_heads(check_layers(layers, value, "value_layers"), heads, "value")


def check_heads(width: int, heads: int, name: str) -> None:
    r"""Raises a :class:`ValueError` unless heads of the same width fill a row."""
    if width % heads:
        raise ValueError(
            f"'{name}' must share its width out to 'heads={heads}' (got {width})"
        )


def _forward(
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> tuple[Tensor, Tensor]:
    return attend(tensors, target_ptr, source_ptr, seed, Options(*numbers))


def _backward(
    grad: Tensor,
    grad_log_sum: Tensor,
    out: Tensor,
    log_sum: Tensor,
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> list[Tensor]:
    return attend_backward(
        grad,
        grad_log_sum,
        out,
        log_sum,
        tensors,
        target_ptr,
        source_ptr,
        seed,
        Options(*numbers),
    )


_INPUTS = (
    "Tensor[] tensors, Tensor target_ptr, Tensor source_ptr, Tensor seed, int heads, "
    "int score_layers, float score_slope, int value_layers, str act, "
    "float negative_slope, bool plain_last, float dropout, bool self_pairs, "
    "int tile_size"
)
_op = torch.library.custom_op(
    "pyg_relational::pair_attention",
    _forward,
    mutates_args=(),
    schema=f"({_INPUTS}) -> (Tensor, Tensor)",
)
_op_backward = torch.library.custom_op(
    "pyg_relational::pair_attention_backward",
    _backward,
    mutates_args=(),
    schema="(Tensor grad, Tensor grad_log_sum, Tensor out, Tensor log_sum, "
    f"{_INPUTS}) -> Tensor[]",
)


class _Eager(torch.autograd.Function):
    r"""The operator for calls that no compiler traces."""

    @staticmethod
    def forward(
        ctx: Any,
        target_ptr: Tensor,
        source_ptr: Tensor,
        seed: Tensor,
        numbers: tuple[Any, ...],
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        outputs = _forward(list(tensors), target_ptr, source_ptr, seed, *numbers)
        ctx.save_for_backward(*outputs, target_ptr, source_ptr, seed, *tensors)
        ctx.numbers = numbers
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, log_sum, target_ptr, source_ptr, seed, *tensors = ctx.saved_tensors
        kept = out, log_sum, list(tensors), target_ptr, source_ptr, seed
        results = _backward(grads[0], grads[1], *kept, *ctx.numbers)
        return (None, None, None, None, *results)


@_op.register_fake
def _(
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> tuple[Tensor, Tensor]:
    return empty_outputs(tensors, Options(*numbers))


@_op_backward.register_fake
def _(
    grad: Tensor,
    grad_log_sum: Tensor,
    out: Tensor,
    log_sum: Tensor,
    tensors: list[Tensor],
    *rest: Any,
) -> list[Tensor]:
    layout = torch.contiguous_format
    return [torch.empty_like(x, memory_format=layout) for x in tensors]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tensors, target_ptr, source_ptr, seed, *numbers = inputs
    ctx.save_for_backward(*output, target_ptr, source_ptr, seed, *tensors)
    ctx.numbers = numbers


def _differentiate(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    out, log_sum, target_ptr, source_ptr, seed, *tensors = ctx.saved_tensors
    results = _op_backward(
        *grads, out, log_sum, tensors, target_ptr, source_ptr, seed, *ctx.numbers
    )
    return (results, None, None, None, *(None for _ in ctx.numbers))


_op.register_autograd(_differentiate, setup_context=_save)
