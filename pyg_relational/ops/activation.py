"""Activations with explicit derivatives, for operators that run their own backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
