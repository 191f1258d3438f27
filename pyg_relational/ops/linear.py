"""Matrix products of many rows with one weight, on the fastest kernel at hand.

On CPUs oneDNN's kernels run float32 products of this shape at up to twice the rate of
the BLAS behind :func:`torch.mm`; every other case falls back to it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
    r"""Computes :math:`x W^{\top} + b`.

    Args:
        x (torch.Tensor): Rows, shape :math:`[P, I]`.
        weight (torch.Tensor): Weight, shape :math:`[O, I]`.
        bias (torch.Tensor, optional): Bias, shape :math:`[O]`.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: Rows, shape :math:`[P, O]`.
    """
    if _use_onednn(x, x.size(0) * weight.numel(), _MIN_LINEAR):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def linear_weight_grad(grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Computes the gradients :math:`g^{\top} x` and :math:`\sum_p g_p` of a linear
    layer's weight and bias.

    Args:
        grad (torch.Tensor): Gradient of the layer's output, shape :math:`[P, O]`.
        x (torch.Tensor): The layer's input, shape :math:`[P, I]`.

    Returns:
        (torch.Tensor, torch.Tensor): Gradients :math:`[O, I]` and :math:`[O]`.
    """
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
