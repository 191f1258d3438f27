"""The pair function of one tile: built, pushed through its layers, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.ops.activation import ACTIVATIONS
from pyg_relational.ops.linear import linear, linear_weight_grad
from pyg_relational.ops.pair_tiles import PairTile


@dataclass(frozen=True)
class PairMLP:
    r"""The pair function :math:`h_0 = \sigma(t_i + s_j)`,
    :math:`h_k = \sigma(W_k h_{k-1} + b_k)`, with a backward of its own.

    Args:
        weights (list of torch.Tensor): Weights :math:`W_k`, each :math:`[O, I]`.
        biases (list of torch.Tensor): Biases :math:`b_k`, each :math:`[O]`, or of no
            element where a layer has none.
        act (str): The name of :math:`\sigma`.
        negative_slope (float): The slope of a leaky ReLU.
        plain_last (bool): Whether the last layer has no activation.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    act: str
    negative_slope: float
    plain_last: bool

    def forward(self, tile: PairTile, target: Tensor, source: Tensor) -> Tensor:
        r"""Returns the tile's values :math:`[P, H_{out}]`."""
        act = ACTIVATIONS[self.act]
        h = act.forward_(_pair_sum(tile, target, source), self.negative_slope)
        for k in range(len(self.weights)):
            h = self._linear(k, h)
            if self._is_active(k):
                act.forward_(h, self.negative_slope)
        return h

    def forward_and_save(
        self, tile: PairTile, target: Tensor, source: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        r"""Returns the outputs of all layers that :meth:`backward` reads, and the
        tensors that the activations' derivatives read."""
        act = ACTIVATIONS[self.act]
        outputs: list[Tensor] = []
        saved: list[Tensor] = []
        h = _pair_sum(tile, target, source)
        for k in range(-1, len(self.weights)):
            if k >= 0:
                h = self._linear(k, outputs[-1])
            if self._is_active(k):
                saved.append(h)
                h = act.forward_(
                    h.clone() if act.saves_input else h, self.negative_slope
                )
            outputs.append(h)
        return outputs, saved

    def backward(
        self,
        grad: Tensor,
        outputs: list[Tensor],
        saved: list[Tensor],
        grad_weights: list[Tensor],
        grad_biases: list[Tensor],
    ) -> Tensor:
        r"""Adds to the layers' gradients and returns that of :math:`t_i + s_j`.

        Args:
            grad (torch.Tensor): Gradient of the tile's values, :math:`[P, H_{out}]`;
                overwritten.
            outputs (list of torch.Tensor): As :meth:`forward_and_save` returns it.
            saved (list of torch.Tensor): As :meth:`forward_and_save` returns it.
            grad_weights (list of torch.Tensor): Sums over tiles, changed in place.
            grad_biases (list of torch.Tensor): Sums over tiles, changed in place.
        """
        act = ACTIVATIONS[self.act]
        for k in range(len(self.weights) - 1, -1, -1):
            if self._is_active(k):
                act.backward_(grad, saved[k + 1], self.negative_slope)
            grad_weight, grad_bias = linear_weight_grad(grad, outputs[k])
            grad_weights[k] += grad_weight
            if grad_biases[k].numel():
                grad_biases[k] += grad_bias
            grad = linear(grad, self.weights[k].t())
        return act.backward_(grad, saved[0], self.negative_slope)

    def _linear(self, k: int, x: Tensor) -> Tensor:
        bias = self.biases[k]
        return linear(x, self.weights[k], bias if bias.numel() else None)

    def _is_active(self, k: int) -> bool:
        return not (self.plain_last and k == len(self.weights) - 1)


def _pair_sum(tile: PairTile, target: Tensor, source: Tensor) -> Tensor:
    h = torch.index_select(target[tile.targets], 0, tile.target_index)
    h += torch.index_select(source[tile.sources], 0, tile.source_index)
    return h
