"""Attention over all pairs of a set whose scores or values are functions of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pyg_relational._checks import check_name
from pyg_relational.ops.checks import (
    check_aligned,
    check_layers,
    check_pair_inputs,
    check_sets,
)
from pyg_relational.ops.kernels import ACTIVATIONS, compute_dtype, no_autocast
from pyg_relational.ops.pair_tiles import (
    PairList,
    PairMLP,
    PairTile,
    pair_list,
    tile_size,
)

# What a tile's pairs are worth, with gradients that add up over tiles.


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
    r"""An MLP of the sum of a target's row, :math:`[N, H]`, and a source's,
    :math:`[M, H]`."""

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
    r"""The scaled dot product of a target's row, :math:`[N, K C]`, and a source's,
    :math:`[M, K C]`, for every head."""

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
    r"""The source's row, :math:`[M, H]`, whatever the target."""

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


# The two passes of :func:`~pyg_relational.ops.pair_attention`, tile by tile.


@dataclass(frozen=True)
class Options:
    r"""What is computed for each pair."""

    heads: int
    #: The number of the score's layers after the first; -1 for dot products.
    score_layers: int
    score_slope: float
    #: The number of the values' layers after the first; -1 for rows of sources.
    value_layers: int
    value_act: str
    value_slope: float
    plain_last: bool
    dropout: float
    self_pairs: bool
    #: The number of pairs in a tile.
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


Layers = Sequence[tuple[Tensor, Tensor | None]]
SCORES = ("mlp", "dot")


def pair_attention(
    target: Tensor,
    source: Tensor,
    value: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    heads: int = 1,
    score: str = "mlp",
    score_layers: Layers = (),
    score_slope: float = 0.2,
    target_value: Tensor | None = None,
    value_layers: Layers = (),
    act: str = "relu",
    negative_slope: float = 0.01,
    plain_last: bool = False,
    self_pairs: bool = True,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    r"""Attends over all sources of a target's set, for any score and value of a pair.

    .. math::
        \mathbf{out}_i = \sum_j \alpha_{ij} \mathbf{v}_{ij}, \quad
        \alpha_{i \cdot} = \mathrm{softmax}_j(e_{ij}), \quad
        \ell_i = \log \sum_j \exp(e_{ij})

    for each of :math:`K` heads. The score :math:`e_{ij}` is an MLP with leaky ReLUs of
    :math:`\mathbf{s}_i + \mathbf{t}_j`, without activation at the end (no further
    layer: the leaky ReLU itself, as in `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_; one: `"How Attentive are Graph Attention
    Networks?" <https://arxiv.org/abs/2105.14491>`_), or a dot product scaled by
    :math:`1 / \sqrt{C}`. The value :math:`\mathbf{v}_{ij}` is a row of the source, or
    an MLP of :math:`\mathbf{a}_i + \mathbf{b}_j` whose output is shared out to the
    heads.

    Pairs are computed in tiles that fit the cache, with an online softmax, and again
    in the backward pass: :math:`O(N^2)` time, :math:`O(N)` memory. bfloat16 and
    float16 compute in float32. Non-finite inputs propagate as over explicit pairs.
    Results are deterministic on a CPU. Second derivatives are not supported.

    Args:
        target (torch.Tensor): The targets' part :math:`\mathbf{s}` of the score, or
            queries, shape :math:`[N, H]`.
        source (torch.Tensor): The sources' part :math:`\mathbf{t}`, or keys, shape
            :math:`[M, H]`.
        value (torch.Tensor): Values of the sources, shape :math:`[M, F]`; with
            :obj:`target_value`, the sources' part :math:`\mathbf{b}` of the values.
        target_ptr (torch.Tensor, optional): Set boundaries of the targets, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        heads (int): The number of heads :math:`K`. (default: :obj:`1`)
        score (str): :obj:`"mlp"` or :obj:`"dot"`. (default: :obj:`"mlp"`)
        score_layers (list of tuple): Weight and bias of the score's further layers,
            the last of which gives :math:`K` numbers. (default: :obj:`()`)
        score_slope (float): The slope of the score's leaky ReLUs below zero, at least
            zero. (default: :obj:`0.2`)
        target_value (torch.Tensor, optional): The targets' part :math:`\mathbf{a}` of
            the values, shape :math:`[N, H^{\prime}]`. (default: :obj:`None`)
        value_layers (list of tuple): Weight and bias of the values' further layers.
            (default: :obj:`()`)
        act (str): The activation of the values' layers. (default: :obj:`"relu"`)
        negative_slope (float): Its slope, of :obj:`"leaky_relu"`.
            (default: :obj:`0.01`)
        plain_last (bool): Whether the values' last layer has no activation.
            (default: :obj:`False`)
        self_pairs (bool): Whether target :math:`i` meets source :math:`i`.
            (default: :obj:`True`)
        dropout (float): The probability that a weight is dropped, after the softmax;
            the others are scaled up. (default: :obj:`0.0`)

    Returns:
        (torch.Tensor, torch.Tensor): The weighted sums :math:`[N, F]`, zero for
        targets without sources, and :math:`\ell`, shape :math:`[N, K]`, in the dtype
        of computation; its least number for targets without sources.

    Raises:
        ValueError: If shapes, dtypes, boundaries or a named choice do not fit.
    """
    check_name("score", score, SCORES)
    check_name("act", act, ACTIVATIONS)
    others = {"value": value}
    if target_value is not None:
        others["target_value"] = target_value
    target_ptr, source_ptr = check_pair_inputs(
        target, source, target_ptr, source_ptr, ("target", "source"), **others
    )
    _check_numbers(score_slope, negative_slope, dropout)
    _check_score(target, heads, score, score_layers)
    _check_value(target, source, value, target_value, heads, value_layers)
    tensors = [target, source, *_flat(score_layers)]
    tensors += [value] if target_value is None else [target_value, value]
    tensors += _flat(value_layers)
    width = max(x.size(-1) for x in tensors if x.dim() == 2)
    options = Options(
        heads,
        -1 if score == "dot" else len(score_layers),
        float(score_slope),
        -1 if target_value is None else len(value_layers),
        act,
        float(negative_slope),
        plain_last,
        float(dropout),
        self_pairs,
        tile_size(width, target.device.type),
    )
    # Drawn out of sight of the operator: both of its passes drop the same weights.
    seed = torch.randint(2**62, (1,)) if dropout > 0 else torch.zeros(1).long()
    numbers = astuple(options)
    if torch.compiler.is_compiling():
        out, log_sum = _op(tensors, target_ptr, source_ptr, seed, *numbers)
    else:
        out, log_sum = _Eager.apply(target_ptr, source_ptr, seed, numbers, *tensors)
    dtype = torch.promote_types(target.dtype, value.dtype)
    return out.to(dtype), log_sum


def _flat(layers: Layers) -> list[Tensor]:
    """Weights, then biases; a missing bias has no element."""
    biases = [w.new_empty(0) if b is None else b for w, b in layers]
    return [*(weight for weight, _ in layers), *biases]


def _check_numbers(score_slope: float, negative_slope: float, dropout: float) -> None:
    for name, slope in (
        ("score_slope", score_slope),
        ("negative_slope", negative_slope),
    ):
        if slope < 0:
            raise ValueError(
                f"'{name}' must be at least 0 (got {slope}); a negative slope does not "
                f"leave the sign that the gradient is read from"
            )
    if not 0 <= dropout < 1:
        raise ValueError(f"'dropout' must be from 0 to less than 1 (got {dropout})")


def _check_score(target: Tensor, heads: int, score: str, layers: Layers) -> None:
    if heads < 1:
        raise ValueError(f"'heads' must be at least 1 (got {heads})")
    if score == "dot":
        if layers:
            raise ValueError("'score_layers' must be empty for score='dot'")
        check_heads(target.size(1), heads, "target")
        return
    width = check_layers(layers, target, "score_layers")
    if width != heads:
        what = "the last of 'score_layers'" if layers else "'target' without layers"
        raise ValueError(
            f"{what} must give one score for each of 'heads={heads}' (got {width})"
        )


def _check_value(
    target: Tensor,
    source: Tensor,
    value: Tensor,
    target_value: Tensor | None,
    heads: int,
    layers: Layers,
) -> None:
    given = {"value": (value, source)}
    if target_value is not None:
        given["target_value"] = (target_value, target)
    elif layers:
        raise ValueError("'value_layers' needs 'target_value' (got None)")
    for name, (x, like) in given.items():
        rows = like.size(0)
        if x.dim() != 2 or x.size(0) != rows or not x.is_floating_point():
            raise ValueError(
                f"'{name}' must be floating point of shape [{rows}, F] (got "
                f"{list(x.shape)}, {x.dtype})"
            )
    if target_value is not None and target_value.size(1) != value.size(1):
        raise ValueError(
            f"'target_value' must have the width of 'value', {value.size(1)} (got "
            f"{target_value.size(1)})"
        )
    check_heads(check_layers(layers, value, "value_layers"), heads, "value")


def check_heads(width: int, heads: int, name: str) -> None:
    r"""Raises a :class:`ValueError` unless heads of the same width fill a row."""
    if width % heads:
        raise ValueError(
            f"'{name}' must share its width out to 'heads={heads}' (got {width})"
        )


def _forward(
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> tuple[Tensor, Tensor]:
    return attend(tensors, target_ptr, source_ptr, seed, Options(*numbers))


def _backward(
    grad: Tensor,
    grad_log_sum: Tensor,
    out: Tensor,
    log_sum: Tensor,
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> list[Tensor]:
    return attend_backward(
        grad,
        grad_log_sum,
        out,
        log_sum,
        tensors,
        target_ptr,
        source_ptr,
        seed,
        Options(*numbers),
    )


_INPUTS = (
    "Tensor[] tensors, Tensor target_ptr, Tensor source_ptr, Tensor seed, int heads, "
    "int score_layers, float score_slope, int value_layers, str act, "
    "float negative_slope, bool plain_last, float dropout, bool self_pairs, "
    "int tile_size"
)
_op = torch.library.custom_op(
    "pyg_relational::pair_attention",
    _forward,
    mutates_args=(),
    schema=f"({_INPUTS}) -> (Tensor, Tensor)",
)
_op_backward = torch.library.custom_op(
    "pyg_relational::pair_attention_backward",
    _backward,
    mutates_args=(),
    schema="(Tensor grad, Tensor grad_log_sum, Tensor out, Tensor log_sum, "
    f"{_INPUTS}) -> Tensor[]",
)


class _Eager(torch.autograd.Function):
    r"""The operator for calls that no compiler traces."""

    @staticmethod
    def forward(
        ctx: Any,
        target_ptr: Tensor,
        source_ptr: Tensor,
        seed: Tensor,
        numbers: tuple[Any, ...],
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        outputs = _forward(list(tensors), target_ptr, source_ptr, seed, *numbers)
        ctx.save_for_backward(*outputs, target_ptr, source_ptr, seed, *tensors)
        ctx.numbers = numbers
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, log_sum, target_ptr, source_ptr, seed, *tensors = ctx.saved_tensors
        kept = out, log_sum, list(tensors), target_ptr, source_ptr, seed
        results = _backward(grads[0], grads[1], *kept, *ctx.numbers)
        return (None, None, None, None, *results)


@_op.register_fake
def _(
    tensors: list[Tensor],
    target_ptr: Tensor,
    source_ptr: Tensor,
    seed: Tensor,
    *numbers: Any,
) -> tuple[Tensor, Tensor]:
    return empty_outputs(tensors, Options(*numbers))


@_op_backward.register_fake
def _(
    grad: Tensor,
    grad_log_sum: Tensor,
    out: Tensor,
    log_sum: Tensor,
    tensors: list[Tensor],
    *rest: Any,
) -> list[Tensor]:
    layout = torch.contiguous_format
    return [torch.empty_like(x, memory_format=layout) for x in tensors]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tensors, target_ptr, source_ptr, seed, *numbers = inputs
    ctx.save_for_backward(*output, target_ptr, source_ptr, seed, *tensors)
    ctx.numbers = numbers


def _differentiate(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    out, log_sum, target_ptr, source_ptr, seed, *tensors = ctx.saved_tensors
    results = _op_backward(
        *grads, out, log_sum, tensors, target_ptr, source_ptr, seed, *ctx.numbers
    )
    return (results, None, None, None, *(None for _ in ctx.numbers))


_op.register_autograd(_differentiate, setup_context=_save)
