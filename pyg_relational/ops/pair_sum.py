"""Sums over all pairs of a set at the price of a sort."""

import torch
from torch import Tensor

from pyg_relational.ops.buckets import blocks
from pyg_relational.ops.checks import (
    check_aligned,
    check_choice,
    check_pair_inputs,
    check_sets,
)
from pyg_relational.ops.eager import Eager
from pyg_relational.ops.pair_sum_blocks import (
    SumBlock,
    channel_groups,
    is_finite,
    is_whole,
    sorts,
    take_group,
)
from pyg_relational.ops.workspace import Workspace

METHODS = ("auto", "sorted", "dense", "tiled")
REDUCTIONS = ("sum", "mean")


def relu_pair_sum(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    negative_slope: float = 0.0,
    reduce: str = "sum",
    self_pairs: bool = True,
    method: str = "auto",
) -> Tensor:
    r"""Sums the rectified sums of every target with all sources of its set.

    .. math::
        \mathbf{y}_i = \sum_{j \in \mathcal{S}(i)}
        \mathrm{LeakyReLU}(\mathbf{a}_i + \mathbf{b}_j)

    The sum only depends on which sources exceed :math:`-\mathbf{a}_i`, so one sort per
    channel and prefix sums give it exactly in :math:`O((N + M) \log (N + M))` time and
    :math:`O(N + M)` memory. Gradients are counts and suffix sums in the same order.
    Sums are accumulated in float64. Second derivatives are not available.

    Args:
        target (torch.Tensor): Targets :math:`\mathbf{a}`, shape :math:`[N, H]`.
        source (torch.Tensor): Sources :math:`\mathbf{b}`, shape :math:`[M, H]`.
        target_ptr (torch.Tensor, optional): Boundaries of the sets of targets, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Boundaries of the sets of sources, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        negative_slope (float): The slope below zero. (default: :obj:`0.0`)
        reduce (str): :obj:`"sum"` or :obj:`"mean"` over the sources.
            (default: :obj:`"sum"`)
        self_pairs (bool): Whether row :math:`i` of the targets meets row :math:`i` of
            the sources; :obj:`False` needs both to have the same sets.
            (default: :obj:`True`)
        method (str): :obj:`"sorted"`; :obj:`"dense"` (all pairs at once);
            :obj:`"tiled"` (all pairs, a tile at a time); or :obj:`"auto"`, the
            cheapest for each group of sets. (default: :obj:`"auto"`)

    Returns:
        torch.Tensor: Sums, shape :math:`[N, H]`; zero for a target without sources.
        Non-finite values propagate as they do over explicit pairs; such a call is
        computed pair by pair.

    Raises:
        ValueError: If widths, sets, dtypes or options do not fit.
    """
    return _pair_sum(
        target,
        source,
        target_ptr,
        source_ptr,
        negative_slope,
        reduce,
        self_pairs,
        method,
        total=False,
    )


def relu_pair_total(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
    *,
    negative_slope: float = 0.0,
    reduce: str = "sum",
    self_pairs: bool = True,
    method: str = "auto",
) -> Tensor:
    r"""Sums the rectified sums of all pairs of each set into one row.

    .. math::
        \mathbf{y}_s = \sum_{i \in \mathcal{T}(s)} \sum_{j \in \mathcal{S}(s)}
        \mathrm{LeakyReLU}(\mathbf{a}_i + \mathbf{b}_j)
        = \sum_i c_i \mathbf{a}_i + \sum_j d_j \mathbf{b}_j

    Only the ranks :math:`c, d` of the two groups in each other are needed, and they
    are the gradients too: cheaper than summing :func:`relu_pair_sum`.

    Args:
        target (torch.Tensor): As in :func:`relu_pair_sum`, shape :math:`[N, H]`.
        source (torch.Tensor): Likewise, shape :math:`[M, H]`.
        target_ptr (torch.Tensor, optional): Likewise. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Likewise. (default: :obj:`None`)
        negative_slope (float): The slope below zero. (default: :obj:`0.0`)
        reduce (str): :obj:`"sum"` or :obj:`"mean"` over the pairs.
            (default: :obj:`"sum"`)
        self_pairs (bool): As in :func:`relu_pair_sum`. (default: :obj:`True`)
        method (str): As in :func:`relu_pair_sum`. (default: :obj:`"auto"`)

    Returns:
        torch.Tensor: Sums, shape :math:`[B, H]`; zero for a set without pairs.

    Raises:
        ValueError: If widths, sets, dtypes or options do not fit.
    """
    return _pair_sum(
        target,
        source,
        target_ptr,
        source_ptr,
        negative_slope,
        reduce,
        self_pairs,
        method,
        total=True,
    )


def _pair_sum(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor | None,
    source_ptr: Tensor | None,
    negative_slope: float,
    reduce: str,
    self_pairs: bool,
    method: str,
    total: bool,
) -> Tensor:
    check_choice(method, METHODS, "method")
    check_choice(reduce, REDUCTIONS, "reduce")
    target_ptr, source_ptr = check_pair_inputs(target, source, target_ptr, source_ptr)
    tensors = target, source, target_ptr, source_ptr
    options = float(negative_slope), self_pairs, method, total
    if torch.compiler.is_compiling():
        out = _op(*tensors, *options)[0]
    else:
        out = Eager.apply(_forward, _backward, len(tensors), *tensors, *options)
    if reduce == "sum":
        return out
    count = source_ptr.diff() - (0 if self_pairs else 1)
    count = count * target_ptr.diff() if total else _per_row(count, target_ptr, target)
    return out / count.clamp_min(1).unsqueeze(1).to(out.dtype)


def _per_row(value: Tensor, ptr: Tensor, x: Tensor) -> Tensor:
    return value.repeat_interleave(ptr.diff(), output_size=x.size(0))


def _forward(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    self_pairs: bool,
    method: str,
    total: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the sums, and for the backward: how many sources a target meets above
    zero, how many targets a source does not, and the order of the targets.
    """
    check_sets(target, source, target_ptr, source_ptr)
    if not self_pairs:
        check_aligned(target_ptr, source_ptr)
    out, *saved = _empty(target, source, target_ptr, total)
    space, steps = Workspace(target.device), blocks(target_ptr, source_ptr)
    if not is_whole(steps):
        out.zero_()
    for block in steps:
        by_sorting = sorts(block, target, source, method, total)
        for part in channel_groups(block, target.size(1)):
            x = target[:, part], source[:, part]
            sums = SumBlock(block, *x, slope, self_pairs, total, space)
            if by_sorting:
                y = sums.sorted_forward(*(take_group(s, block, part) for s in saved))
            else:
                y = sums.pairs_forward(method)
            (block.put_sets if total else block.put_targets)(out[:, part], y)
    return out, saved[0], saved[1], saved[2]


_op = torch.library.custom_op(
    "pyg_relational::relu_pair_sum", _forward, mutates_args=()
)


@_op.register_fake
def _(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    slope: float,
    self_pairs: bool,
    method: str,
    total: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(target, source, target_ptr, total)


def _backward(
    grad: Tensor,
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor,
    source_ptr: Tensor,
    above: Tensor,
    below: Tensor,
    order: Tensor,
    slope: float,
    self_pairs: bool,
    method: str,
    total: bool,
) -> tuple[Tensor, Tensor]:
    grad_target = torch.empty_like(target, memory_format=torch.contiguous_format)
    grad_source = torch.empty_like(source, memory_format=torch.contiguous_format)
    space, steps = Workspace(target.device), blocks(target_ptr, source_ptr)
    if not is_whole(steps):
        grad_target.zero_()
        grad_source.zero_()
    for block in steps:
        by_sorting = sorts(block, target, source, method, total) and is_finite(
            block.take_sets(grad) if total else block.take_targets(grad)
        )
        for part in channel_groups(block, target.size(1)):
            x = target[:, part], source[:, part]
            sums = SumBlock(block, *x, slope, self_pairs, total, space)
            g = grad[:, part]
            # [S, 1, H] for a gradient per set, [S, n, H] for one per target
            g = block.take_sets(g).unsqueeze(1) if total else block.take_targets(g)
            if by_sorting:
                kept = (take_group(s, block, part) for s in (above, below, order))
                grads = sums.sorted_backward(g, *kept)
            else:
                grads = sums.pairs_backward(g, method)
            block.put_targets(grad_target[:, part], grads[0])
            block.put_sources(grad_source[:, part], grads[1])
    return grad_target, grad_source


_op_backward = torch.library.custom_op(
    "pyg_relational::relu_pair_sum_backward", _backward, mutates_args=()
)


@_op_backward.register_fake
def _(
    grad: Tensor, target: Tensor, source: Tensor, *args: object
) -> tuple[Tensor, Tensor]:
    return (
        torch.empty_like(target, memory_format=torch.contiguous_format),
        torch.empty_like(source, memory_format=torch.contiguous_format),
    )


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:4], *output[1:])
    ctx.options = inputs[4:]
    ctx.set_materialize_grads(False)


def _differentiate(ctx, grad, *_):  # type: ignore[no-untyped-def]
    if grad is None:
        return (None,) * 8
    target, source, target_ptr, source_ptr, *saved = ctx.saved_tensors
    grads = _op_backward(
        grad.contiguous(), target, source, target_ptr, source_ptr, *saved, *ctx.options
    )
    return (*grads, *(None,) * 6)


_op.register_autograd(_differentiate, setup_context=_setup_context)


def _empty(
    target: Tensor, source: Tensor, target_ptr: Tensor, total: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    (n, width), m = target.shape, source.size(0)
    return (
        target.new_empty(target_ptr.size(0) - 1 if total else n, width),
        target.new_empty(n, width, dtype=torch.int32),
        target.new_empty(m, width, dtype=torch.int32),
        target.new_empty(0 if total else n, width, dtype=torch.int32),
    )
