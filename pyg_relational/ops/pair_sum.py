"""Sums over all pairs of a set at the price of a sort."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_relational._checks import check_name
from pyg_relational.ops.checks import check_aligned, check_pair_inputs, check_sets
from pyg_relational.ops.kernels import Eager, Workspace, joint_sort
from pyg_relational.ops.ragged import Block, blocks

# Rectified pair sums over rows of keys, by sorting each row once.


_CHUNK = 1 << 19  # keys sorted at once: a few buffers of 4 MB, which caches hold


def sorted_sum(
    a: Tensor,
    b: Tensor,
    slope: float,
    b_sum: Tensor | None,
    out: Tensor,
    above: Tensor,
    below: Tensor,
    order: Tensor,
    space: Workspace,
) -> None:
    r"""Computes :math:`y_i = \sum_j \mathrm{LeakyReLU}(a_i + b_j)` in every row.

    With :math:`\beta = -b` and both groups sorted together, the pairs above zero of
    :math:`a_i` are the :math:`\beta_j` before it. Prefix sums start at the smallest
    :math:`\beta` and are taken in float64, so terms that do not belong to a sum are
    never subtracted from it."""
    (num_rows, n), m = a.shape, b.size(1)
    for rows in _chunks(num_rows, n + m):
        values, index, is_source, met = _ranks(a, b, above, below, rows, space)
        shape = tuple(values.shape)
        sums = space.empty("sums", shape, torch.float64).copy_(values)
        prefix = space.empty("prefix", shape, torch.float64)
        torch.mul(sums, is_source, out=prefix).cumsum_(1)
        if b_sum is None:
            sums.mul_(met).sub_(prefix)
        else:
            linear = sums * b_sum[rows, 1:] + b_sum[rows, :1]
            sums.mul_(met).sub_(prefix).mul_(1 - slope).add_(linear, alpha=slope)
        # Only the targets' sums are wanted; the sources' are meaningless.
        sums = space.empty("out", shape, out.dtype).copy_(sums)
        joint = space.empty("joint", shape, out.dtype).scatter_(1, index, sums)
        out[rows] = joint[:, :n]
        order[rows] = _targets(is_source, index, n, space)


def sorted_ranks(
    a: Tensor, b: Tensor, above: Tensor, below: Tensor, space: Workspace
) -> None:
    r"""Computes only the ranks :obj:`above` and :obj:`below` of :func:`sorted_sum`."""
    for rows in _chunks(a.size(0), a.size(1) + b.size(1)):
        _ranks(a, b, above, below, rows, space)


def sorted_sum_backward(
    g: Tensor, below: Tensor, order: Tensor, out: Tensor, space: Workspace
) -> None:
    r"""Sums, for every source, the gradients of the targets it meets above zero."""
    (num_rows, n), m = g.shape, below.size(1)
    for rows in _chunks(num_rows, n + m):
        count = len(g[rows])
        index = space.empty("index", (count, n), torch.long).copy_(order[rows])
        taken = space.empty("taken", (count, n), g.dtype)
        torch.gather(g[rows], 1, index, out=taken)
        sums = space.empty("sums", (count, n + 1), torch.float64)
        # The targets above a source are the last ones: sum from that end.
        sums[:, 0] = 0
        sums[:, 1:] = taken.flip(1)
        sums.cumsum_(1)
        place = space.empty("place", (count, m), torch.long).copy_(below[rows])
        place.neg_().add_(n)
        met = space.empty("met", (count, m), torch.float64)
        out[rows] = torch.gather(sums, 1, place, out=met)


def _ranks(
    a: Tensor, b: Tensor, above: Tensor, below: Tensor, rows: slice, space: Workspace
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = a.size(1)
    beta = space.empty("beta", tuple(b[rows].shape), b.dtype)
    values, index = joint_sort(a[rows], torch.neg(b[rows], out=beta), space)
    shape = tuple(index.shape)
    is_source = torch.ge(index, n, out=space.empty("is_source", shape, torch.bool))
    met = space.empty("met", shape, torch.int32)
    torch.cumsum(is_source, 1, dtype=torch.int32, out=met)
    # A source's rank is its place less the sources up to it (a selection in
    # arithmetic, which is faster than torch.where).
    place = torch.arange(1, shape[1] + 1, dtype=torch.int32, device=a.device)
    rank = torch.mul(met, -2, out=space.empty("rank", shape, torch.int32))
    rank.add_(place).mul_(is_source).add_(met)
    joint = space.empty("joint", shape, torch.int32).scatter_(1, index, rank)
    above[rows], below[rows] = joint[:, :n], joint[:, n:]
    return values, index, is_source, met


def _chunks(num_rows: int, length: int) -> Iterator[slice]:
    step = max(_CHUNK // length, torch.get_num_threads())
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _targets(is_source: Tensor, index: Tensor, n: int, space: Workspace) -> Tensor:
    """The entries of the targets in each row, in their order."""
    is_target = space.empty("is_target", tuple(index.shape), torch.bool)
    torch.logical_not(is_source, out=is_target)
    if index.device.type != "cpu":
        return index[is_target].view(-1, n)
    # NumPy's compress is several times faster than a masked selection.
    out = space.empty("targets", (len(index), n), torch.long)
    flat = index.numpy().ravel(), out.numpy().ravel()
    np.compress(is_target.numpy().ravel(), flat[0], out=flat[1])
    return out


# Sorting pays where a set has more than this many pairs per object; measured on a CPU,
# where one element of a pair costs about a thirtieth of one sorted key.
_PAIRS_PER_KEY = 32
_TILE = 1 << 20  # elements of pairs alive at once in the tiled method: 4 MB
_LINE = 16  # float32 in a cache line: transposing fewer channels reads lines in vain
_PART = 1 << 14  # rows of a set that are transposed at once
_GROUP = 1 << 22  # elements of a large set that are brought into rows at once


def is_finite(x: Tensor) -> bool:
    r"""Whether no element is infinite or NaN."""
    return bool(torch.stack(x.aminmax()).isfinite().all())


def is_whole(steps: list[Block]) -> bool:
    r"""Whether one block is the whole batch, so that every row is written."""
    return len(steps) == 1 and steps[0].set_index is None


def sorts(
    block: Block, target: Tensor, source: Tensor, method: str, total: bool
) -> bool:
    r"""Whether a block is sorted: if asked for or cheaper, and all finite."""
    if method in ("dense", "tiled"):
        return False
    n, m = block.num_targets, block.num_sources
    # A total needs ranks only, half the work of sums.
    limit = _PAIRS_PER_KEY // 2 if total else _PAIRS_PER_KEY
    if method == "auto" and n * m <= limit * (n + m):
        return False
    return is_finite(block.take_targets(target)) and is_finite(
        block.take_sources(source)
    )


def channel_groups(block: Block, width: int) -> list[slice]:
    r"""Groups of channels that are summed one after another: all at once, unless the
    block is one large set, whose temporaries would not find fresh memory for free."""
    size = max(block.num_targets, block.num_sources)
    step = width
    if block.num_sets == 1 and size * width > _GROUP:
        step = max(_LINE, _GROUP // size // _LINE * _LINE)
    return [slice(k, min(k + step, width)) for k in range(0, width, step)]


def take_group(buffer: Tensor, block: Block, channels: slice) -> Tensor:
    r"""The part of what :meth:`SumBlock.sorted_forward` saves that belongs to a group
    of channels; :obj:`buffer` is :math:`[N, H]`."""
    width = buffer.size(1)
    if len(range(*channels.indices(width))) == width or buffer.numel() == 0:
        return buffer
    if block.set_index is None:
        # Written in the layout of rows: [H, n]
        return buffer.view(width, -1)[channels]
    return buffer[:, channels]


class SumBlock:
    r"""The rows of one block and how their pairs are summed; with :obj:`total`, a set
    has one sum instead of one per target."""

    def __init__(
        self,
        block: Block,
        target: Tensor,
        source: Tensor,
        slope: float,
        self_pairs: bool,
        total: bool,
        space: Workspace,
    ) -> None:
        self.block, self.slope, self.space = block, slope, space
        self.self_pairs, self.total = self_pairs, total
        dtype = torch.float64 if target.dtype == torch.float64 else torch.float32
        # [S, n, H] and [S, m, H]
        self.a = block.take_targets(target).to(dtype)
        self.b = block.take_sources(source).to(dtype)

    def sorted_forward(self, above: Tensor, below: Tensor, order: Tensor) -> Tensor:
        r"""Sums by sorting, :math:`[S, n, H]` or :math:`[S, H]`; fills the buffers
        that :meth:`sorted_backward` reads."""
        a, b, block = self.a, self.b, self.block
        largest = torch.finfo(a.dtype).max
        rows_a = self._rows("a", _fill(a, block.target_mask, largest))
        rows_b = self._rows("b", _fill(b, block.source_mask, -largest))
        met_a, met_b = _room(above, rows_a, block), _room(below, rows_b, block)
        if self.total:
            sorted_ranks(rows_a, rows_b, met_a, met_b, self.space)
        else:
            # Own terms are subtracted below: keep the digits that this needs.
            dtype = a.dtype if self.self_pairs else torch.float64
            y = self.space.empty("y", tuple(rows_a.shape), dtype)
            indices = _room(order, rows_a, block)
            linear = self._linear() if self.slope else None
            sorted_sum(
                rows_a,
                rows_b,
                self.slope,
                linear,
                y,
                met_a,
                met_b,
                indices,
                self.space,
            )
            _save(order, indices, block, "targets")
        if not self.self_pairs:
            met_self = _rows(a + b > 0).int()
            met_a -= met_self
            if self.total:
                met_b += met_self
        _save(above, met_a, block, "targets")
        _save(below, met_b, block, "sources")
        if self.total:
            weight_a, weight_b = self._slopes_a(met_a), self._slopes_b(met_b)
            return (weight_a * a).sum(1) + (weight_b * b).sum(1)
        out = _columns(y, block)
        return out if self.self_pairs else out - self._self(out.dtype)

    def sorted_backward(
        self, g: Tensor, above: Tensor, below: Tensor, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Gradients :math:`[S, n, H]` and :math:`[S, m, H]` from those of the sums,
        :math:`[S, n, H]` or :math:`[S, 1, H]`."""
        block = self.block
        met_b = _load(below, block, "sources")
        grad_a = self._slopes_a(_load(above, block, "targets"))
        # In place where it has room, as fresh memory is dear.
        grad_a = g * grad_a if self.total else grad_a.mul_(g)
        if self.total:
            return grad_a, g * self._slopes_b(met_b)
        g = _fill(g.to(self.a.dtype), block.target_mask, 0.0)
        indices = _load(order, block, "targets")
        if block.target_mask is not None:
            # The last place of a padded set is padding, whose gradient is zero.
            real = block.target_mask.unsqueeze(2).expand(g.shape)
            indices = indices.masked_fill(~_rows(real), block.num_targets - 1)
        sums = self.space.empty("y", tuple(met_b.shape), self._sum_dtype())
        sorted_sum_backward(self._rows("a", g), met_b, indices, sums, self.space)
        grad_b = _columns(sums, block)
        if self.slope:
            everyone = g.double().sum(1, keepdim=True)
            grad_b = (1 - self.slope) * grad_b + self.slope * everyone
        if not self.self_pairs:
            grad_b = grad_b - g * _slope_((self.a + self.b).double(), self.slope)
        return grad_a, grad_b

    def pairs_forward(self, method: str) -> Tensor:
        r"""Sums over explicit pairs, :math:`[S, n, H]` or :math:`[S, H]`."""
        like = self.a[:, 0] if self.total else self.a
        out = torch.zeros_like(like) if self.total else torch.empty_like(like)
        for sets, targets, pairs, hidden in self._tiles(method):
            F.leaky_relu_(pairs, self.slope)
            if hidden is not None:
                pairs.masked_fill_(hidden, 0.0)
            if self.total:
                out[sets] += pairs.sum((1, 2))
            else:
                torch.sum(pairs, dim=2, out=out[sets, targets])
        return out

    def pairs_backward(self, g: Tensor, method: str) -> tuple[Tensor, Tensor]:
        r"""As :meth:`sorted_backward`, over explicit pairs."""
        grad_a, grad_b = torch.empty_like(self.a), torch.empty_like(self.b)
        g = _fill(g.to(self.a.dtype).expand_as(self.a), self.block.target_mask, 0.0)
        for sets, targets, pairs, hidden in self._tiles(method):
            slopes = _slope_(pairs, self.slope)
            if hidden is not None:
                slopes.masked_fill_(hidden, 0.0)
            part = g[sets, targets]
            torch.mul(slopes.sum(2), part, out=grad_a[sets, targets])
            slopes.mul_(part.unsqueeze(2))
            if targets.start == 0:
                torch.sum(slopes, dim=1, out=grad_b[sets])
            else:
                grad_b[sets] += slopes.sum(1)
        return grad_a, grad_b

    def _tiles(
        self, method: str
    ) -> Iterator[tuple[slice, slice, Tensor, Tensor | None]]:
        """Sets, targets, their pairs [S', n', m, H], and which of those do not count,
        [S', n', m, 1]."""
        num_sets, n, width = self.a.shape
        budget = self.a.numel() * self.b.size(1) if method == "dense" else _TILE
        row = max(self.b.size(1) * width, 1)
        step_n = min(max(budget // row, 1), n)
        step_s = min(max(budget // (row * step_n), 1), num_sets)
        # One buffer for all tiles: it stays in the cache.
        buffer = self.a.new_empty(step_s * step_n * row)
        for s in range(0, num_sets, step_s):
            sets = slice(s, min(s + step_s, num_sets))
            for i in range(0, n, step_n):
                targets = slice(i, min(i + step_n, n))
                a, b = self.a[sets, targets].unsqueeze(2), self.b[sets].unsqueeze(1)
                shape = (*a.shape[:2], *b.shape[2:])
                pairs = buffer[: math.prod(shape)].view(shape)
                torch.add(a, b, out=pairs)
                yield sets, targets, pairs, self._hidden(sets, targets)

    def _hidden(self, sets: slice, targets: slice) -> Tensor | None:
        hidden = None
        if self.block.source_mask is not None:
            # [S', m] -> [S', 1, m, 1]
            hidden = ~self.block.source_mask[sets, None, :, None]
        if self.total and self.block.target_mask is not None:
            # [S', n'] -> [S', n', 1, 1]
            padding = ~self.block.target_mask[sets, targets, None, None]
            hidden = padding if hidden is None else hidden | padding
        if not self.self_pairs:
            places = torch.arange(self.b.size(1), device=self.b.device)
            # [n', m] -> [1, n', m, 1]
            same = (places[targets, None] == places)[None, :, :, None]
            hidden = same if hidden is None else hidden | same
        return hidden

    def _rows(self, name: str, x: Tensor) -> Tensor:
        """As :func:`_rows`, in a buffer."""
        num_sets, n, width = x.shape
        rows = self.space.empty(name, (num_sets, width, n), x.dtype)
        # Part by part: what is read for one channel is in cache for the next.
        for start in range(0, n, _PART):
            part = slice(start, start + _PART)
            rows[:, :, part] = x[:, part].transpose(1, 2)
        return rows.view(-1, n)

    def _sum_dtype(self) -> torch.dtype:
        # Further terms are added in float64.
        plain = self.self_pairs and not self.slope
        return self.a.dtype if plain else torch.float64

    def _self(self, dtype: torch.dtype) -> Tensor:
        return F.leaky_relu(self.a.to(dtype) + self.b.to(dtype), self.slope)

    def _linear(self) -> Tensor:
        # The sum of the sources and their number, [S * H, 2]
        b = _fill(self.b, self.block.source_mask, 0.0).double().sum(1)
        count = _size(self.block.source_mask, self.block.num_sources, b)
        return torch.stack([b, count.view(-1, 1).expand_as(b)], dim=-1).view(-1, 2)

    def _slopes_a(self, met: Tensor) -> Tensor:
        """The sum of slopes over the pairs of each target, zero in padding."""
        size = _size(self.block.source_mask, self.block.num_sources, self.a)
        room = self.space.empty("met_a", tuple(met.shape), self._count_dtype())
        met = _columns(room.copy_(met), self.block)
        return self._mix(met, size, self.block.target_mask)

    def _slopes_b(self, met: Tensor) -> Tensor:
        """The sum of slopes over the pairs of each source, zero in padding."""
        size = _size(self.block.target_mask, self.block.num_targets, self.b)
        met = size - _columns(met.to(self._count_dtype()), self.block)
        return self._mix(met, size, self.block.source_mask)

    def _count_dtype(self) -> torch.dtype:
        # Counts are whole numbers: float32 has room for those up to 2 ** 24.
        most = max(self.block.num_targets, self.block.num_sources)
        fits = not (self.slope or self.total) and most <= 1 << 24
        return self.a.dtype if fits else torch.float64

    def _mix(self, met: Tensor, size: Tensor, mask: Tensor | None) -> Tensor:
        if self.slope:
            pairs = size if self.self_pairs else size - 1
            met = (1 - self.slope) * met + self.slope * pairs
        return _fill(met, mask, 0.0)


def _slope_(x: Tensor, slope: float) -> Tensor:
    x.gt_(0)
    return x if slope == 0 else x.mul_(1 - slope).add_(slope)


def _fill(x: Tensor, mask: Tensor | None, value: float) -> Tensor:
    return x if mask is None else x.masked_fill(~mask.unsqueeze(2), value)


def _size(mask: Tensor | None, size: int, like: Tensor) -> Tensor:
    if mask is None:
        return like.new_full((), size, dtype=torch.float64)
    # [S, n] -> [S, 1, 1]
    return mask.sum(1).double()[:, None, None]


def _rows(x: Tensor) -> Tensor:
    # [S, n, H] -> [S, H, n] -> [S * H, n]: one row per set and channel
    return x.transpose(1, 2).reshape(-1, x.size(1))


def _columns(x: Tensor, block: Block) -> Tensor:
    # [S * H, n] -> [S, H, n] -> [S, n, H]
    return x.view(block.num_sets, -1, x.size(1)).transpose(1, 2)


def _room(buffer: Tensor, rows: Tensor, block: Block) -> Tensor:
    """Where a block writes what it saves: in place if it is the whole batch, in the
    layout that sorting makes."""
    if block.set_index is None:
        return buffer.view(rows.shape)
    return torch.empty_like(rows, dtype=buffer.dtype)


def _save(buffer: Tensor, rows: Tensor, block: Block, side: str) -> None:
    if block.set_index is not None:
        getattr(block, f"put_{side}")(buffer, _columns(rows, block))


def _load(buffer: Tensor, block: Block, side: str) -> Tensor:
    if block.set_index is None:
        size = block.num_targets if side == "targets" else block.num_sources
        return buffer.view(-1, size)
    return _rows(getattr(block, f"take_{side}")(buffer))


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
    tensors = target, source, target_ptr, source_ptr
    return _pair_sum(*tensors, negative_slope, reduce, self_pairs, method, total=False)


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

    Arguments are those of :func:`relu_pair_sum`; a mean is one over the pairs.

    Returns:
        torch.Tensor: Sums, shape :math:`[B, H]`; zero for a set without pairs.

    Raises:
        ValueError: If widths, sets, dtypes or options do not fit.
    """
    tensors = target, source, target_ptr, source_ptr
    return _pair_sum(*tensors, negative_slope, reduce, self_pairs, method, total=True)


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
    check_name("method", method, METHODS)
    check_name("reduce", reduce, REDUCTIONS)
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
