"""The registered operators behind :func:`~pyg_relational.ops.mlp_pair_reduce`."""

from typing import Any

import torch
from torch import Tensor

from pyg_relational.ops.pair_reduce_kernel import (
    TilePass,
    new_arg,
    reduce_pairs,
    reduce_pairs_backward,
)

_INPUTS = (
    "Tensor target, Tensor source, Tensor[] weights, Tensor[] biases, "
    "Tensor target_ptr, Tensor source_ptr, str reduce, str act, "
    "float negative_slope, bool plain_last, bool self_pairs, int tile_size"
)
pair_reduce = torch.library.custom_op(
    "pyg_relational::pair_reduce",
    reduce_pairs,
    mutates_args=(),
    schema=f"({_INPUTS}) -> (Tensor, Tensor, Tensor)",
)
pair_reduce_backward = torch.library.custom_op(
    "pyg_relational::pair_reduce_backward",
    reduce_pairs_backward,
    mutates_args=(),
    schema=f"(Tensor grad_out, Tensor arg, {_INPUTS}) "
    "-> (Tensor, Tensor, Tensor[], Tensor[])",
)


class EagerPairReduce(torch.autograd.Function):
    r"""The operator for calls that no compiler traces: it spares the registered
    operator's handling of tensor lists, about a millisecond a call, and keeps the
    layers of a few tiles for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        target: Tensor,
        source: Tensor,
        target_ptr: Tensor,
        source_ptr: Tensor,
        options: tuple[Any, ...],
        *layers: Tensor,
    ) -> tuple[Tensor, Tensor]:
        num_layers = len(layers) // 2
        weights, biases = list(layers[:num_layers]), list(layers[num_layers:])
        kept: list[TilePass] | None = [] if any(ctx.needs_input_grad) else None
        out, arg, count = reduce_pairs(
            target, source, weights, biases, target_ptr, source_ptr, *options, kept=kept
        )
        ctx.kept = kept
        ctx.save_for_backward(arg, target, source, target_ptr, source_ptr, *layers)
        ctx.options = options
        ctx.mark_non_differentiable(count)
        return out, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor, _: Any) -> tuple[Any, ...]:
        arg, target, source, target_ptr, source_ptr, *layers = ctx.saved_tensors
        num_layers = len(layers) // 2
        # Freed by the first backward pass; a second one computes them again.
        kept, ctx.kept = ctx.kept, []
        grad_target, grad_source, grad_weights, grad_biases = reduce_pairs_backward(
            grad_out,
            arg,
            target,
            source,
            layers[:num_layers],
            layers[num_layers:],
            target_ptr,
            source_ptr,
            *ctx.options,
            kept=kept,
        )
        return (
            grad_target,
            grad_source,
            None,
            None,
            None,
            *grad_weights,
            *grad_biases,
        )


@pair_reduce.register_fake
def _pair_reduce_fake(
    target: Tensor,
    source: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    reduce: str,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    width = weights[-1].size(0) if weights else target.size(1)
    return (
        target.new_empty((target.size(0), width)),
        new_arg(target, width, reduce),
        target.new_empty(target.size(0), dtype=torch.long),
    )


@pair_reduce_backward.register_fake
def _pair_reduce_backward_fake(
    grad_out: Tensor,
    arg: Tensor,
    target: Tensor,
    source: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    *options: Any,
) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
    return (
        torch.empty_like(target, memory_format=torch.contiguous_format),
        torch.empty_like(source, memory_format=torch.contiguous_format),
        [torch.empty_like(x, memory_format=torch.contiguous_format) for x in weights],
        [torch.empty_like(x, memory_format=torch.contiguous_format) for x in biases],
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    target, source, weights, biases, target_ptr, source_ptr, *options = inputs
    ctx.save_for_backward(
        output[1], target, source, target_ptr, source_ptr, *weights, *biases
    )
    ctx.num_layers = len(weights)
    ctx.options = options


def _backward(
    ctx: Any, grad_out: Tensor, grad_arg: Tensor, grad_count: Tensor
) -> tuple[Any, ...]:
    arg, target, source, target_ptr, source_ptr, *layers = ctx.saved_tensors
    grads = torch.ops.pyg_relational.pair_reduce_backward(
        grad_out,
        arg,
        target,
        source,
        layers[: ctx.num_layers],
        layers[ctx.num_layers :],
        target_ptr,
        source_ptr,
        *ctx.options,
    )
    return (*grads, *[None] * 8)


pair_reduce.register_autograd(_backward, setup_context=_setup_context)
