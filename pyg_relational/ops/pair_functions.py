"""What a tile's pairs are worth, with gradients that add up over tiles."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from pyg_relational.ops.pair_mlp import PairMLP
from pyg_relational.ops.pair_tiles import PairTile


class PairFunction(Protocol):
    r"""A function of pairs; :attr:`grads` holds the gradients of its inputs, in their
    order, summed over the tiles that :meth:`backward` has seen."""

    grads: list[Tensor]

    def forward(self, tile: PairTile) -> Tensor:
        r"""Returns the pairs' values, :math:`[P, H]`, in memory of their own."""
        ...

    def forward_and_save(self, tile: PairTile) -> tuple[Tensor, Any]:
        r"""Returns the pairs' values, not to be changed, and what :meth:`backward`
        reads."""
        ...

    def backward(self, tile: PairTile, grad: Tensor, saved: Any) -> None:
        r"""Adds a tile's part to the gradients; :obj:`grad` is :math:`[P, H]`, zero
        for the pairs that fill the tile up, and overwritten."""
        ...


class MLPOfPairs:
    r"""An MLP of the sum of a target's and a source's row.

    Args:
        mlp (PairMLP): The layers.
        target (torch.Tensor): Rows of the targets, :math:`[N, H]`.
        source (torch.Tensor): Rows of the sources, :math:`[M, H]`.
    """

    def __init__(self, mlp: PairMLP, target: Tensor, source: Tensor) -> None:
        self.mlp, self.target, self.source = mlp, target, source
        self.grads: list[Tensor] = []

    def forward(self, tile: PairTile) -> Tensor:
        return self.mlp.forward(tile, self.target, self.source)

    def forward_and_save(self, tile: PairTile) -> tuple[Tensor, Any]:
        outputs, saved = self.mlp.forward_and_save(tile, self.target, self.source)
        return outputs[-1], (outputs, saved)

    def backward(self, tile: PairTile, grad: Tensor, saved: Any) -> None:
        if not self.grads:
            inputs = (self.target, self.source, *self.mlp.weights, *self.mlp.biases)
            self.grads = [torch.zeros_like(x) for x in inputs]
        layers = len(self.mlp.weights)
        weights, biases = self.grads[2 : 2 + layers], self.grads[2 + layers :]
        outputs, read = saved
        grad = self.mlp.backward(grad, outputs, read, weights, biases)
        tile.sum_by_target(grad, self.grads[0])
        tile.sum_by_source(grad, self.grads[1])


class DotOfPairs:
    r"""The scaled dot product of a target's and a source's row, for every head.

    Args:
        query (torch.Tensor): Rows of the targets, :math:`[N, K C]`.
        key (torch.Tensor): Rows of the sources, :math:`[M, K C]`.
        heads (int): The number of heads :math:`K`.
    """

    def __init__(self, query: Tensor, key: Tensor, heads: int) -> None:
        self.query, self.key, self.heads = query, key, heads
        self.scale = (query.size(1) // heads) ** -0.5
        self.grads: list[Tensor] = []

    def forward(self, tile: PairTile) -> Tensor:
        return self.forward_and_save(tile)[0]

    def forward_and_save(self, tile: PairTile) -> tuple[Tensor, Any]:
        query = self.query[tile.targets].index_select(0, tile.target_index)
        query *= self.scale
        key = self.key[tile.sources].index_select(0, tile.source_index)
        return by_head(query * key, self.heads).sum(-1), (query, key)

    def backward(self, tile: PairTile, grad: Tensor, saved: Any) -> None:
        if not self.grads:
            self.grads = [torch.zeros_like(self.query), torch.zeros_like(self.key)]
        query, key = saved
        grad = grad.unsqueeze(-1)
        to_key = (by_head(query, self.heads) * grad).flatten(1)
        to_query = (by_head(key, self.heads) * grad).flatten(1).mul_(self.scale)
        tile.sum_by_target(to_query, self.grads[0])
        tile.sum_by_source(to_key, self.grads[1])


class RowsOfSources:
    r"""The source's row, whatever the target.

    Args:
        source (torch.Tensor): Rows of the sources, :math:`[M, H]`.
    """

    def __init__(self, source: Tensor) -> None:
        self.source = source
        self.grads: list[Tensor] = []

    def forward(self, tile: PairTile) -> Tensor:
        return self.source[tile.sources].index_select(0, tile.source_index)

    def forward_and_save(self, tile: PairTile) -> tuple[Tensor, Any]:
        return self.forward(tile), None

    def backward(self, tile: PairTile, grad: Tensor, saved: Any) -> None:
        if not self.grads:
            self.grads = [torch.zeros_like(self.source)]
        tile.sum_by_source(grad, self.grads[0])


def by_head(x: Tensor, heads: int) -> Tensor:
    """Shares the channels of each pair out to the heads."""
    # [P, K * C] -> [P, K, C]
    return x.view(x.size(0), heads, x.size(1) // heads)
