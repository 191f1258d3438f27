"""A shortcut past registered operators for calls that no compiler traces."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Eager(torch.autograd.Function):
    r"""Runs the functions behind a registered operator directly.

    A registered operator is opaque to compilers, but its bookkeeping costs about a
    millisecond a call, more than the work on a few small sets.

    Call it as ``Eager.apply(forward, backward, count, *arguments)``: ``forward`` takes
    the arguments and returns the result and further tensors to save; ``backward`` takes
    the gradient, the first ``count`` arguments, the saved tensors and the other
    arguments, and returns a gradient for each of the leading arguments that has one.
    """

    @staticmethod
    def forward(
        ctx: Any,
        forward: Callable[..., tuple[Tensor, ...]],
        backward: Callable[..., tuple[Tensor, ...]],
        count: int,
        *arguments: Any,
    ) -> Tensor:
        out, *saved = forward(*arguments)
        ctx.save_for_backward(*arguments[:count], *saved)
        ctx.run, ctx.options = backward, arguments[count:]
        ctx.total = 3 + len(arguments)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = ctx.run(grad.contiguous(), *ctx.saved_tensors, *ctx.options)
        rest = ctx.total - 3 - len(grads)
        return (None, None, None, *grads, *(None,) * rest)
