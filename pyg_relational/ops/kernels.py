"""What operators that run their own backward share: buffers, sorting, matrix products,
activations with their derivatives, and a way past the registered operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class Workspace:
    r"""Named buffers for a loop over chunks of equal or falling size.

    Fresh memory costs more than a pass over it: the system has to map and clear its
    pages. A chunk that fills the buffers of the one before does not pay for that.

    Args:
        device (torch.device): Where the buffers are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        r"""Returns a contiguous tensor with arbitrary content; the next call with the
        same name and dtype returns the same memory."""
        size = prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            buffer = torch.empty(size, dtype=dtype, device=self.device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)


_LOW = 0xFFFFFFFF
_FLIP = 0x7FFFFFFF
_PARALLEL = 1 << 19  # elements from which threads pay


def joint_sort(
    target: Tensor, source: Tensor, workspace: Workspace | None = None
) -> tuple[Tensor, Tensor]:
    r"""Sorts each row of targets together with the same row of sources.

    Equal keys keep targets before sources, and the order within each group. Zeros of
    either sign are equal.

    On a CPU, float32 keys are packed with their index into one integer each, which
    makes an argsort as fast as a plain (vectorised) sort."""
    if target.device.type != "cpu" or target.dtype != torch.float32:
        keys = torch.cat([target, source], dim=1).add_(0.0)
        values, index = keys.sort(dim=1, stable=True)
        return values, index
    workspace = workspace or Workspace(target.device)
    rows, n = target.shape
    shape = rows, n + source.size(1)
    keys = workspace.empty("keys", shape, torch.float32)
    torch.add(target, 0.0, out=keys[:, :n])
    torch.add(source, 0.0, out=keys[:, n:])
    packed = workspace.empty("packed", shape, torch.long)
    # [R, L] of 64 bits -> [R, L, 2] of 32: index below, key above (little-endian)
    halves = packed.view(torch.int32).view(*shape, 2)
    _flip_(keys.view(torch.int32), workspace)
    halves[..., 1] = keys.view(torch.int32)
    halves[..., 0] = torch.arange(shape[1], dtype=torch.int32)
    _sort_rows(packed)
    keys.view(torch.int32).copy_(halves[..., 1])
    _flip_(keys.view(torch.int32), workspace)
    return keys, packed.bitwise_and_(_LOW)


def _flip_(bits: Tensor, workspace: Workspace) -> None:
    # Negative floats order backwards as integers: flip all bits but the sign.
    sign = workspace.empty("sign", tuple(bits.shape), torch.int32)
    torch.bitwise_right_shift(bits, 31, out=sign)
    bits.bitwise_xor_(sign.bitwise_and_(_FLIP))


def _sort_rows(packed: Tensor) -> None:
    array = packed.numpy()
    threads = min(torch.get_num_threads(), array.shape[0])
    if threads < 2 or array.size < _PARALLEL:
        array.sort(axis=1)
        return
    # NumPy releases the interpreter lock while it sorts.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(array, threads)))


def compute_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    r"""Returns float64 if any tensor has it, else float32."""
    double = any(x.dtype == torch.float64 for x in tensors)
    return torch.float64 if double else torch.float32


def no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    r"""Turns autocast off where it is on: it stays active inside an operator and
    would mix its dtypes."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


# oneDNN's kernels multiply many float32 rows with one weight on CPUs at up to twice the
# rate of the BLAS behind torch.mm; every other case falls back to it.


_HAS_ONEDNN_LINEAR = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)

# oneDNN's set-up pays from about this many multiplications on: in a product with a
# weight, and in a weight's gradient, where the weight must not be small either.
_MIN_LINEAR = 2**21
_MIN_WEIGHT_GRAD = 2**24
_MIN_WEIGHT = 2**14

# oneDNN splits a convolution's weight gradient over images; 16 of them also make
# PyTorch choose oneDNN for 1 x 1 kernels when it runs on one thread.
_IMAGES = 16


def _use_onednn(x: Tensor, size: int, min_size: int) -> bool:
    return (
        size >= min_size
        and _HAS_ONEDNN_LINEAR
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous()
        and bool(torch.backends.mkldnn.enabled)
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Computes :math:`x W^{\top} + b`."""
    if _use_onednn(x, x.size(0) * weight.numel(), _MIN_LINEAR):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def linear_weight_grad(grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Computes the gradients :math:`g^{\top} x` and :math:`\sum_p g_p` of a linear
    layer's weight and bias."""
    rows, out_size, in_size = grad.size(0), grad.size(1), x.size(1)
    weight_size = out_size * in_size
    if (
        weight_size >= _MIN_WEIGHT
        and rows % _IMAGES == 0
        and _use_onednn(x, rows * weight_size, _MIN_WEIGHT_GRAD)
        and grad.is_contiguous()
    ):
        # A linear layer is a 1 x 1 convolution over channels-last images.
        grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            _as_images(grad),
            _as_images(x),
            x.new_empty(1).expand(out_size, in_size, 1, 1),
            [out_size],
            [1, 1],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [False, True, True],
        )[1:]
        # [O, I, 1, 1] -> [O, I]
        return grad_weight.reshape(out_size, in_size), grad_bias
    return torch.mm(grad.t(), x), grad.sum(0)


def _as_images(x: Tensor) -> Tensor:
    # [P, C] -> [16, P / 16, 1, C] -> [16, C, P / 16, 1]
    return x.view(_IMAGES, -1, 1, x.size(1)).permute(0, 3, 1, 2)


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


_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    r"""An activation that works in place, and its derivative.

    Args:
        forward_ (Callable): Applies the activation to a tensor in place, given the
            tensor and the negative slope.
        backward_ (Callable): Multiplies a gradient in place by the derivative, given
            the gradient, the saved tensor and the negative slope.
        saves_input (bool): Whether the derivative reads the activation's input;
            otherwise it reads the output. (default: :obj:`False`)
    """

    forward_: Callable[[Tensor, float], Tensor]
    backward_: Callable[[Tensor, Tensor, float], Tensor]
    saves_input: bool = False


def _relu_backward_(grad: Tensor, output: Tensor, slope: float) -> Tensor:
    return _aten.threshold_backward.grad_input(grad, output, 0, grad_input=grad)


def _leaky_relu_backward_(grad: Tensor, output: Tensor, slope: float) -> Tensor:
    return _aten.leaky_relu_backward.grad_input(
        grad, output, slope, True, grad_input=grad
    )


def _elu_backward_(grad: Tensor, output: Tensor, slope: float) -> Tensor:
    return _aten.elu_backward.grad_input(grad, 1, 1, 1, True, output, grad_input=grad)


def _gelu_backward_(grad: Tensor, x: Tensor, slope: float) -> Tensor:
    return _aten.gelu_backward.grad_input(grad, x, grad_input=grad)


def _silu_backward_(grad: Tensor, x: Tensor, slope: float) -> Tensor:
    return _aten.silu_backward.grad_input(grad, x, grad_input=grad)


def _tanh_backward_(grad: Tensor, output: Tensor, slope: float) -> Tensor:
    return _aten.tanh_backward.grad_input(grad, output, grad_input=grad)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda x, slope: x.relu_(), _relu_backward_),
    "leaky_relu": Activation(
        lambda x, slope: F.leaky_relu_(x, slope), _leaky_relu_backward_
    ),
    "elu": Activation(lambda x, slope: F.elu_(x), _elu_backward_),
    "gelu": Activation(lambda x, slope: _aten.gelu_(x), _gelu_backward_, True),
    "silu": Activation(lambda x, slope: F.silu(x, inplace=True), _silu_backward_, True),
    "tanh": Activation(lambda x, slope: x.tanh_(), _tanh_backward_),
}
