"""A multi-layer pair function over all pairs of a ragged batch, reduced per target."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_relational._checks import check_name
from pyg_relational.ops.checks import (
    check_aligned,
    check_layers,
    check_pair_inputs,
    check_sets,
)
from pyg_relational.ops.kernels import ACTIVATIONS, compute_dtype, no_autocast
from pyg_relational.ops.pair_tiles import PairMLP, PairTile, pair_list, tile_size

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


# The registered operators behind :func:`~pyg_relational.ops.mlp_pair_reduce`.


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


_REDUCTIONS = ("sum", "mean", "max", "min")
_METHODS = ("auto", "dense", "tiled")


def mlp_pair_reduce(
    target: Tensor,
    source: Tensor,
    layers: Sequence[tuple[Tensor, Tensor | None]],
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    reduce: str = "sum",
    act: str = "relu",
    negative_slope: float = 0.01,
    plain_last: bool = False,
    self_pairs: bool = True,
    method: str = "auto",
) -> Tensor:
    r"""Applies a multi-layer pair function to all pairs of each set and reduces over
    the sources of each target.

    .. math::
        \mathbf{o}_i = \bigoplus_{j \in \mathcal{S}(i)} \mathbf{h}^{(L)}_{ij}, \quad
        \mathbf{h}^{(0)}_{ij} = \sigma(\mathbf{t}_i + \mathbf{s}_j), \quad
        \mathbf{h}^{(k)}_{ij} = \sigma(\mathbf{W}_k \mathbf{h}^{(k-1)}_{ij} +
        \mathbf{b}_k)

    where :math:`\mathcal{S}(i)` holds the sources of target :math:`i`'s set. Pairs are
    built and reduced in tiles and recomputed in the backward pass, but for as many as
    64 MB hold, so the extra memory is :math:`O(N + M)`. Half-precision inputs are
    computed in float32. Non-finite values propagate to the outputs and gradients of
    their own set, and to the layers' gradients, as in the dense computation. The
    gradient of a maximum or minimum goes to the first source that attains it. Second
    derivatives are not available.

    Args:
        target (torch.Tensor): What the first layer computes of each target, with its
            bias, shape :math:`[N, H]`.
        source (torch.Tensor): What the first layer computes of each source, shape
            :math:`[M, H]`.
        layers (sequence of (torch.Tensor, torch.Tensor or None)): Weight
            :math:`[H_k, H_{k-1}]` and bias :math:`[H_k]` of each further layer; may
            be empty.
        target_ptr (torch.Tensor, optional): Boundaries of the targets' sets, shape
            :math:`[B + 1]`; :obj:`None` means one set. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Boundaries of the sources' sets, shape
            :math:`[B + 1]`; :obj:`None` means one set. (default: :obj:`None`)
        reduce (str): The reduction :math:`\bigoplus`: :obj:`"sum"`, :obj:`"mean"`,
            :obj:`"max"` or :obj:`"min"`. A target without sources gets zeros.
            (default: :obj:`"sum"`)
        act (str): The activation :math:`\sigma`: :obj:`"relu"`,
            :obj:`"leaky_relu"`, :obj:`"elu"`, :obj:`"gelu"`, :obj:`"silu"` or
            :obj:`"tanh"`. (default: :obj:`"relu"`)
        negative_slope (float): The slope of :obj:`"leaky_relu"`, at least zero.
            (default: :obj:`0.01`)
        plain_last (bool): If :obj:`True`, the last layer has no activation; it then
            commutes with sum and mean and is applied to :math:`N` rows.
            (default: :obj:`False`)
        self_pairs (bool): If :obj:`False`, target :math:`i` is not paired with source
            :math:`i`; both must then be the same objects in the same order.
            (default: :obj:`True`)
        method (str): :obj:`"tiled"` (tiles that fit the cache), :obj:`"dense"` (all
            pairs at once) or :obj:`"auto"` (tiled, which is dense where all pairs fit
            one tile). (default: :obj:`"auto"`)

    Returns:
        torch.Tensor: Reduced values, shape :math:`[N, H_L]`.

    Raises:
        ValueError: If shapes, dtypes, boundaries, devices or a named choice do not
            fit.
    """
    check_name("reduce", reduce, _REDUCTIONS)
    check_name("act", act, ACTIVATIONS)
    check_name("method", method, _METHODS)
    target_ptr, source_ptr = check_pair_inputs(target, source, target_ptr, source_ptr)
    if plain_last and len(layers) == 0:
        raise ValueError(
            "'plain_last=True' needs at least one layer in 'layers' (got none)"
        )
    check_layers(layers, target, "layers")
    if negative_slope < 0:
        raise ValueError(
            f"'negative_slope' must be at least 0 (got {negative_slope}); a negative "
            f"slope does not leave the sign that the gradient is read from"
        )
    # The last linear layer commutes with sums, so it need not see the pairs.
    last = None
    if plain_last and reduce in ("sum", "mean"):
        *layers, last = layers
        plain_last = False
    weights = [weight for weight, _ in layers]
    biases = [w.new_empty(0) if b is None else b for w, b in layers]
    width = max([target.size(1), *(weight.size(0) for weight in weights)])
    options = (
        reduce,
        act,
        negative_slope,
        plain_last,
        self_pairs,
        0 if method == "dense" else tile_size(width, target.device.type),
    )
    if torch.compiler.is_compiling():
        out, _, count = pair_reduce(
            target, source, weights, biases, target_ptr, source_ptr, *options
        )
    else:
        out, count = EagerPairReduce.apply(
            target, source, target_ptr, source_ptr, options, *weights, *biases
        )
    if last is None:
        return out
    return _linear_of_reduced(out, count, last, reduce)


def _linear_of_reduced(
    out: Tensor, count: Tensor, layer: tuple[Tensor, Tensor | None], reduce: str
) -> Tensor:
    weight, bias = layer
    out = F.linear(out, weight.to(out.dtype))
    if bias is None:
        return out
    # [N] -> [N, 1]
    count = count.clamp_max(1) if reduce == "mean" else count
    return out + count.to(out.dtype).unsqueeze(1) * bias.to(out.dtype)
