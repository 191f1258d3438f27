"""Tiles: a ragged batch's pairs, listed a few thousand at a time and never all at once.

Pairs are ordered by target, then by source. A tile is a range of that order, so every
tile but the last has the same number of pairs however ragged the sets are, and no pair
is padding that a matrix product would pay for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.ops.kernels import ACTIVATIONS, linear, linear_weight_grad

# Values in one layer of a tile: what lets a tile's layers share the last-level cache
# of a CPU, and what keeps a GPU busy.
_TILE_VALUES = {"cpu": 2**19, "cuda": 2**25}


def tile_size(width: int, device_type: str) -> int:
    r"""Returns the number of pairs in a tile."""
    values = _TILE_VALUES.get(device_type, _TILE_VALUES["cuda"])
    # A multiple of 256, so that all tiles but the last have a round size.
    return max(values // max(width, 1) // 256, 1) * 256


@dataclass(frozen=True)
class PairTile:
    r"""A range of the pairs.

    The last tile repeats its last pair until its size is round: kernels are prepared
    once for each size, and batches differ in theirs. Repetitions count for nothing
    in :meth:`sum_by_target` and :meth:`sum_by_source`."""

    #: The number of pairs p, without repetitions.
    num_pairs: int
    #: The rows of the targets that occur, and the rows in which the sources lie.
    targets: slice
    sources: slice
    #: Each pair's target and source, counted from the first of those rows, [P], P >= p.
    target_index: Tensor
    source_index: Tensor
    #: Where each target's pairs begin and end.
    target_offsets: Tensor

    def sum_by_target(self, x: Tensor, out: Tensor) -> None:
        r"""Adds the pairs' values :math:`[P, H]` to the rows :math:`[N, H]` of their
        targets."""
        if self._is_run():
            out[self.targets] += x[: self.num_pairs].sum(0)
            return
        order = torch.arange(self.num_pairs, device=x.device)
        out[self.targets] += _bag_sum(x, order, self.target_offsets)

    def sum_by_source(self, x: Tensor, out: Tensor) -> None:
        r"""Adds the pairs' values :math:`[P, H]` to the rows :math:`[M, H]` of their
        sources."""
        rows = out[self.sources]
        if self._is_run():
            rows += x[: self.num_pairs]
            return
        source, order = self.source_index[: self.num_pairs].sort(stable=True)
        row = torch.arange(rows.size(0) + 1, device=x.device)
        rows += _bag_sum(x, order, torch.searchsorted(source, row))

    def _is_run(self) -> bool:
        """Whether the pairs are those of one target with sources in a row."""
        targets = self.targets.stop - self.targets.start
        sources = self.sources.stop - self.sources.start
        return targets == 1 and sources == self.num_pairs


def _bag_sum(x: Tensor, order: Tensor, offsets: Tensor) -> Tensor:
    return torch.embedding_bag(
        x, order, offsets, mode=0, sparse=False, include_last_offset=True
    )[0]


@dataclass(frozen=True)
class PairList:
    r"""All pairs of a ragged batch, described by a few numbers per target."""

    #: Where the pairs of each target begin and end in the list of all pairs, [N + 1].
    pair_ptr: Tensor
    #: The first source of each target, [N].
    source_start: Tensor
    num_sources: int
    #: Whether target i is paired with source i.
    self_pairs: bool

    def counts(self) -> Tensor:
        r"""Returns the number of pairs of each target, shape :math:`[N]`."""
        return self.pair_ptr.diff()

    def tiles(self, size: int, skip: int = 0) -> Iterator[PairTile]:
        r"""Lists all pairs in order, :obj:`size` of them at a time."""
        total = int(self.pair_ptr[-1])
        if total == 0:
            return
        if size == 0 or total <= size:
            num_targets = self.source_start.numel()
            bounds = [[0, total, 0, num_targets, 0, self.num_sources]]
        else:
            bounds = self._bounds(total, size)
        for bound in bounds[skip:]:
            yield self._tile(*bound)

    def _bounds(self, total: int, size: int) -> list[list[int]]:
        start = torch.arange(0, total, size, device=self.pair_ptr.device)
        stop = (start + size).clamp_max(total)
        first = torch.searchsorted(self.pair_ptr, start, right=True) - 1
        last = torch.searchsorted(self.pair_ptr, stop - 1, right=True) - 1
        # All sources of the tile's targets, and no more than needed where the tile
        # holds a part of one target's sources.
        one = first == last
        low = self.source_start[first]
        low = low + torch.where(one, start - self.pair_ptr[first], 0)
        high = self.source_start[last]
        high = high + torch.where(one, stop - self.pair_ptr[last], self.counts()[last])
        # Sources behind the one that is left out lie one further.
        high = high + (0 if self.self_pairs else 1)
        return torch.stack([start, stop, first, last + 1, low, high], dim=1).tolist()

    def _tile(
        self, start: int, stop: int, first: int, last: int, low: int, high: int
    ) -> PairTile:
        num_pairs = stop - start
        position = torch.arange(
            start, start + _round_up(num_pairs), device=self.pair_ptr.device
        ).clamp_max_(stop - 1)
        bounds = self.pair_ptr[first : last + 1]
        target = torch.searchsorted(bounds[1:], position, right=True)
        # A pair's position among the pairs of its target, then its source.
        shift = self.source_start[first:last] - bounds[:-1]
        source = position + shift.index_select(0, target)
        if not self.self_pairs:
            source += source >= target + first
        source -= low
        return PairTile(
            num_pairs,
            slice(first, last),
            slice(low, high),
            target,
            source,
            (bounds - start).clamp(0, num_pairs),
        )


def _round_up(num_pairs: int) -> int:
    step = 16 if num_pairs <= 256 else 256
    return -(-num_pairs // step) * step


def pair_list(
    target_ptr: Tensor,
    source_ptr: Tensor,
    num_targets: int,
    num_sources: int,
    self_pairs: bool,
) -> PairList:
    r"""Describes the pairs of a batch whose targets meet the sources of their set."""
    sizes = torch.stack([source_ptr[:-1], source_ptr.diff()], dim=1)
    sizes = sizes.repeat_interleave(target_ptr.diff(), dim=0, output_size=num_targets)
    start, count = sizes.unbind(1)
    if not self_pairs:
        count = count - 1
    pair_ptr = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    return PairList(pair_ptr, start, num_sources, self_pairs)


# The pair function of one tile: built, pushed through its layers, and back.


@dataclass(frozen=True)
class PairMLP:
    r"""The pair function :math:`h_0 = \sigma(t_i + s_j)`,
    :math:`h_k = \sigma(W_k h_{k-1} + b_k)`, with a backward of its own.

    A layer without bias has one of no element."""

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
        r"""Adds to the layers' gradients and returns that of :math:`t_i + s_j`."""
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
