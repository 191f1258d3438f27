"""The two passes of :func:`~pyg_relational.ops.mlp_pair_reduce`, tile by tile."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from pyg_relational.ops.checks import check_aligned, check_sets
from pyg_relational.ops.pair_mlp import PairMLP
from pyg_relational.ops.pair_tiles import PairTile, pair_list
from pyg_relational.ops.precision import compute_dtype, no_autocast

# A tile, the outputs of its layers, and what their activations' derivatives read.
TilePass = tuple[PairTile, list[Tensor], list[Tensor]]

# Values of layers that a backward pass may find ready instead of computing them again:
# all of a small batch, a small part of a large one.
_KEPT_VALUES = 2**24

_EXTREMES = {"max": ("amax", -torch.inf), "min": ("amin", torch.inf)}


def reduce_pairs(
    target: Tensor,
    source: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    reduce: str,
    act: str,
    negative_slope: float,
    plain_last: bool,
    self_pairs: bool,
    tile_size: int,
    *,
    kept: list[TilePass] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns the reduced values :math:`[N, H]`, the source that attains each maximum
    or minimum :math:`[N, H]` (else :math:`[0]`), and the number of sources
    :math:`[N]`; fills :obj:`kept` with the first tiles' layers while they are few."""
    check_sets(target, source, target_ptr, source_ptr)
    if not self_pairs:
        check_aligned(target_ptr, source_ptr)
    with no_autocast(target):
        t, s, w, b = _compute_inputs(target, source, weights, biases)
        mlp = PairMLP(w, b, act, negative_slope, plain_last)
        pairs = pair_list(target_ptr, source_ptr, t.size(0), s.size(0), self_pairs)
        count = pairs.counts()
        width = weights[-1].size(0) if weights else target.size(1)
        empty_value = _EXTREMES[reduce][1] if reduce in _EXTREMES else 0.0
        out = t.new_full((t.size(0), width), empty_value)
        arg = new_arg(target, width, reduce)
        if reduce in _EXTREMES:
            arg.fill_(s.size(0))
        budget = _KEPT_VALUES
        for tile in pairs.tiles(tile_size):
            if kept is not None and budget >= 0:
                kept.append((tile, *mlp.forward_and_save(tile, t, s)))
                h = kept[-1][1][-1]
                budget -= sum(map(Tensor.numel, {*kept[-1][1], *kept[-1][2]}))
            else:
                h = mlp.forward(tile, t, s)
            if reduce in _EXTREMES:
                _take_extreme(tile, h, out, arg, reduce)
            else:
                tile.sum_by_target(h, out)
        if reduce == "mean":
            out /= count.clamp_min(1).unsqueeze(1)
        elif reduce in _EXTREMES:
            out.masked_fill_((count == 0).unsqueeze(1), 0.0)
        return out.to(target.dtype), arg, count


def reduce_pairs_backward(
    grad_out: Tensor,
    arg: Tensor,
    target: Tensor,
    source: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    reduce: str,
    act: str,
    negative_slope: float,
    plain_last: bool,
    self_pairs: bool,
    tile_size: int,
    *,
    kept: Sequence[TilePass] = (),
) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
    r"""Returns the gradients of targets, sources, weights and biases; tiles that are
    not :obj:`kept` are computed again."""
    with no_autocast(target):
        t, s, w, b = _compute_inputs(target, source, weights, biases)
        mlp = PairMLP(w, b, act, negative_slope, plain_last)
        pairs = pair_list(target_ptr, source_ptr, t.size(0), s.size(0), self_pairs)
        grad_out = grad_out.to(t.dtype)
        if reduce == "mean":
            grad_out = grad_out / pairs.counts().clamp_min(1).unsqueeze(1)
        grad_target, grad_source = torch.zeros_like(t), torch.zeros_like(s)
        grad_weights = [torch.zeros_like(weight) for weight in w]
        grad_biases = [torch.zeros_like(bias) for bias in b]
        rest = (
            (tile, *mlp.forward_and_save(tile, t, s))
            for tile in pairs.tiles(tile_size, skip=len(kept))
        )
        for tile, outputs, saved in chain(kept, rest):
            grad = _spread(tile, grad_out, arg, reduce)
            grad = mlp.backward(grad, outputs, saved, grad_weights, grad_biases)
            tile.sum_by_target(grad, grad_target)
            tile.sum_by_source(grad, grad_source)
        return (
            grad_target.to(target.dtype),
            grad_source.to(source.dtype),
            [g.to(x.dtype) for g, x in zip(grad_weights, weights, strict=True)],
            [g.to(x.dtype) for g, x in zip(grad_biases, biases, strict=True)],
        )


def _compute_inputs(
    target: Tensor, source: Tensor, weights: list[Tensor], biases: list[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
    dtype = compute_dtype((target, *weights, *biases))
    return (
        target.to(dtype).contiguous(),
        source.to(dtype).contiguous(),
        [weight.to(dtype).contiguous() for weight in weights],
        [bias.to(dtype).contiguous() for bias in biases],
    )


def new_arg(target: Tensor, width: int, reduce: str) -> Tensor:
    r"""Allocates the sources that attain the extremes, :math:`[N, H]`, or nothing for
    other reductions, :math:`[0]`."""
    shape = (target.size(0), width) if reduce in _EXTREMES else (0,)
    return target.new_empty(shape, dtype=torch.int32)


def _take_extreme(
    tile: PairTile, h: Tensor, out: Tensor, arg: Tensor, reduce: str
) -> None:
    none = torch.iinfo(torch.int32).max
    old, old_arg = out[tile.targets], arg[tile.targets]
    index = tile.target_index.unsqueeze(1).expand_as(h)
    new = old.scatter_reduce(0, index, h, _EXTREMES[reduce][0])
    # NaN wins every comparison, as in torch.amax.
    hit = (h == new.index_select(0, tile.target_index)) | h.isnan()
    row = (tile.source_index + tile.sources.start).int().unsqueeze(1)
    stays = (old == new) | old.isnan()
    arg[tile.targets] = old_arg.masked_fill(~stays, none).scatter_reduce(
        0, index, row.where(hit, none), "amin"
    )
    out[tile.targets] = new


def _spread(tile: PairTile, grad_out: Tensor, arg: Tensor, reduce: str) -> Tensor:
    index = tile.target_index
    grad = grad_out[tile.targets].index_select(0, index)
    if reduce in _EXTREMES:
        row = (tile.source_index + tile.sources.start).int().unsqueeze(1)
        grad.masked_fill_(arg[tile.targets].index_select(0, index) != row, 0.0)
    # Pairs that only fill the tile up must not reach the layers' gradients.
    grad[tile.num_pairs :] = 0.0
    return grad
