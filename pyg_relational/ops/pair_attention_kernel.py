"""The two passes of :func:`~pyg_relational.ops.pair_attention`, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.ops.checks import check_aligned, check_sets
from pyg_relational.ops.pair_functions import (
    DotOfPairs,
    MLPOfPairs,
    PairFunction,
    RowsOfSources,
    by_head,
)
from pyg_relational.ops.pair_mlp import PairMLP
from pyg_relational.ops.pair_tiles import PairList, pair_list
from pyg_relational.ops.precision import compute_dtype, no_autocast


@dataclass(frozen=True)
class Options:
    r"""What is computed for each pair.

    Args:
        heads (int): The number of heads :math:`K`.
        score_layers (int): The number of the score's layers after the first; -1 where
            scores are dot products.
        score_slope (float): The slope of the score's leaky ReLU.
        value_layers (int): The number of the values' layers after the first; -1 where
            values are rows of sources.
        value_act (str): The activation of the values' MLP.
        value_slope (float): Its negative slope.
        plain_last (bool): Whether the values' MLP ends without activation.
        dropout (float): The probability that a weight is dropped.
        self_pairs (bool): Whether target :math:`i` meets source :math:`i`.
        tile_size (int): The number of pairs in a tile.
    """

    heads: int
    score_layers: int
    score_slope: float
    value_layers: int
    value_act: str
    value_slope: float
    plain_last: bool
    dropout: float
    self_pairs: bool
    tile_size: int

    def functions(self, tensors: list[Tensor]) -> tuple[PairFunction, PairFunction]:
        r"""The score and the value of a pair, from the operator's inputs."""
        score: PairFunction
        rest: list[Tensor]
        if self.score_layers < 0:
            (query, key), rest = tensors[:2], tensors[2:]
            score = DotOfPairs(query, key, self.heads)
        else:
            used = 2 + 2 * self.score_layers
            score = _mlp(
                tensors[:used],
                "leaky_relu",
                self.score_slope,
                self.score_layers > 0,
            )
            rest = tensors[used:]
        if self.value_layers < 0:
            return score, RowsOfSources(*rest)
        return score, _mlp(rest, self.value_act, self.value_slope, self.plain_last)


def _mlp(
    tensors: list[Tensor], act: str, negative_slope: float, plain_last: bool
) -> MLPOfPairs:
    target, source, *layers = tensors
    weights, biases = layers[: len(layers) // 2], layers[len(layers) // 2 :]
    return MLPOfPairs(
        PairMLP(weights, biases, act, negative_slope, plain_last), target, source
    )


def attend(
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    options: Options,
) -> tuple[Tensor, Tensor]:
    r"""Returns the weighted sums :math:`[N, K D]` and the logarithms of the sums of
    exponentials :math:`[N, K]`, in the dtype of computation.

    A target's pairs may lie in several tiles: what is summed so far is scaled down
    whenever a larger score turns up (online softmax).
    """
    pairs = _pairs(tensors, target_ptr, source_ptr, options)
    with no_autocast(tensors[0]):
        total, log_sum = empty_outputs(tensors, options)
        score, value = options.functions(_compute_inputs(tensors))
        total.zero_()
        largest = log_sum.fill_(torch.finfo(log_sum.dtype).min)
        sums = torch.zeros_like(largest)
        for number, tile in enumerate(pairs.tiles(options.tile_size)):
            rows, index = tile.targets, tile.target_index
            weight = score.forward(tile)
            new = largest[rows].scatter_reduce(
                0, index.unsqueeze(1).expand_as(weight), weight, "amax"
            )
            shrink = (largest[rows] - new).exp_()
            largest[rows] = new
            weight = (weight - new.index_select(0, index)).exp_()
            sums[rows] *= shrink
            tile.sum_by_target(weight, sums)
            if options.dropout > 0:
                weight *= _kept(weight, seed, number, options.dropout)
            h = value.forward(tile)
            by_head(h, options.heads).mul_(weight.unsqueeze(-1))
            by_head(total[rows], options.heads).mul_(shrink.unsqueeze(-1))
            tile.sum_by_target(h, total)
        # Targets without sources keep zeros and the least number.
        sums.masked_fill_(pairs.counts().unsqueeze(1) == 0, 1.0)
        by_head(total, options.heads).div_(sums.unsqueeze(-1))
        return total, largest.add_(sums.log_())


def attend_backward(
    grad: Tensor,
    grad_log_sum: Tensor,
    total: Tensor,
    log_sum: Tensor,
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    options: Options,
) -> list[Tensor]:
    r"""Returns the gradients of :obj:`tensors`; every tile is computed again."""
    pairs = _pairs(tensors, target_ptr, source_ptr, options)
    with no_autocast(tensors[0]):
        inputs = _compute_inputs(tensors)
        score, value = options.functions(inputs)
        # Softmax subtracts the mean of what the weights receive, which the output has.
        mean = by_head(grad * total, options.heads).sum(-1) - grad_log_sum
        for number, tile in enumerate(pairs.tiles(options.tile_size)):
            rows, index = tile.targets, tile.target_index
            weight, score_saved = score.forward_and_save(tile)
            weight = (weight - log_sum[rows].index_select(0, index)).exp_()
            weight[tile.num_pairs :] = 0.0  # those only fill the tile up
            kept = weight
            h, value_saved = value.forward_and_save(tile)
            g = grad[rows].index_select(0, index)
            received = by_head(g * h, options.heads).sum(-1)
            if options.dropout > 0:
                mask = _kept(weight, seed, number, options.dropout)
                received *= mask
                kept = weight * mask
            received -= mean[rows].index_select(0, index)
            by_head(g, options.heads).mul_(kept.unsqueeze(-1))
            value.backward(tile, g, value_saved)
            score.backward(tile, received.mul_(weight), score_saved)
    grads = [*score.grads, *value.grads] or [torch.zeros_like(x) for x in inputs]
    return [g.to(x.dtype) for g, x in zip(grads, tensors, strict=True)]


def empty_outputs(tensors: list[Tensor], options: Options) -> tuple[Tensor, Tensor]:
    r"""Room for what :func:`attend` returns."""
    if options.value_layers > 0:
        width = tensors[-options.value_layers - 1].size(0)
    else:
        width = tensors[-1].size(1)
    dtype, rows = compute_dtype(tensors), tensors[0].size(0)
    return (
        tensors[0].new_empty((rows, width), dtype=dtype),
        tensors[0].new_empty((rows, options.heads), dtype=dtype),
    )


def _pairs(
    tensors: list[Tensor], target_ptr: Tensor, source_ptr: Tensor, options: Options
) -> PairList:
    target, source = tensors[:2]
    check_sets(target, source, target_ptr, source_ptr)
    if not options.self_pairs:
        check_aligned(target_ptr, source_ptr)
    return pair_list(
        target_ptr, source_ptr, target.size(0), source.size(0), options.self_pairs
    )


def _compute_inputs(tensors: list[Tensor]) -> list[Tensor]:
    dtype = compute_dtype(tensors)
    return [x.to(dtype).contiguous() for x in tensors]


def _kept(weight: Tensor, seed: Tensor, number: int, dropout: float) -> Tensor:
    # The same for a tile in both passes: one for kept weights, scaled to mean one.
    generator = torch.Generator(weight.device).manual_seed(int(seed) + number)
    chance = torch.rand(weight.shape, generator=generator, device=weight.device)
    return (chance >= dropout).to(weight.dtype).div_(1 - dropout)
