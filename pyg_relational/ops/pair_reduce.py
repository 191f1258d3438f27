"""A multi-layer pair function over all pairs of a ragged batch, reduced per target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_relational.ops.activation import ACTIVATIONS
from pyg_relational.ops.checks import check_choice, check_layers, check_pair_inputs
from pyg_relational.ops.pair_reduce_op import EagerPairReduce, pair_reduce
from pyg_relational.ops.pair_tiles import tile_size

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
    check_choice(reduce, _REDUCTIONS, "reduce")
    check_choice(act, ACTIVATIONS, "act")
    check_choice(method, _METHODS, "method")
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
