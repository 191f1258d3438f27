"""Rectified pair sums of one block of sets, sorted or pair by pair."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_relational.ops.buckets import Block
from pyg_relational.ops.sorted_sum import (
    sorted_ranks,
    sorted_sum,
    sorted_sum_backward,
)
from pyg_relational.ops.workspace import Workspace

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
    r"""The rows of one block and how their pairs are summed.

    Args:
        block (Block): The sets.
        target (torch.Tensor): All targets, shape :math:`[N, H]`.
        source (torch.Tensor): All sources, shape :math:`[M, H]`.
        slope (float): The slope below zero.
        self_pairs (bool): Whether a row meets itself.
        total (bool): Whether a set has one sum instead of one per target.
        space (Workspace): Buffers.
    """

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
