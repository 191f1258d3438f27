"""Additive attention by writing the pairs out, a bounded number at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

PAIRS = 1 << 18  # pairs alive at once; a few numbers for each stay in cache
_VECTOR = 16  # numbers in a vector register


def forward(
    s: Tensor, t: Tensor, v: Tensor, source_mask: Tensor | None, slope: float
) -> Tensor:
    r"""Attends over the sources of each set, without the pairs of padded sources.

    Args:
        s (torch.Tensor): Target scores, shape :math:`[S, n, K]`.
        t (torch.Tensor): Source scores, shape :math:`[S, m, K]`.
        v (torch.Tensor): Values, shape :math:`[S, m, K, C]`.
        source_mask (torch.Tensor, optional): True for real sources, shape
            :math:`[S, m]`.
        slope (float): The slope of LeakyReLU below zero.

    Returns:
        torch.Tensor: Shape :math:`[S, n, K, C]`.
    """
    sets, n, heads = s.shape
    t, v = _rows(t.unsqueeze(3)).mT, _rows(v)
    out = v.new_empty(sets, heads, n, v.size(2))
    for part in _parts(s, t):
        _, alpha = _attend(s[:, part], t, source_mask, slope)
        # [S * K, n, C] -> [S, K, n, C]
        out[:, :, part] = torch.bmm(alpha, v).view(sets, heads, -1, v.size(2))
    return out.transpose(1, 2)


def backward(
    grad: Tensor,
    kept: list[Tensor],
    t: Tensor,
    v: Tensor,
    target_mask: Tensor | None,
    source_mask: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`forward` for the two scores and the values.

    Args:
        grad (torch.Tensor): The gradient of the result, :math:`[S, n, K, C]`.
        kept (list[torch.Tensor]): The target scores, :math:`[S, n, K]`.
        t, v (torch.Tensor): The other inputs of :func:`forward`.
        target_mask (torch.Tensor, optional): True for real targets, :math:`[S, n]`.
        source_mask (torch.Tensor, optional): True for real sources, :math:`[S, m]`.
        slope (float): The slope of LeakyReLU below zero.
    """
    (s,) = kept
    if target_mask is not None:
        grad = grad.where(target_mask[..., None, None], 0)
    sets, m, heads, channels = v.shape
    t, v, grad = _rows(t.unsqueeze(3)).mT, _rows(v), _rows(grad)
    d_s, d_t, d_v = torch.empty_like(s), torch.zeros_like(t), torch.zeros_like(v)
    for part in _parts(s, t):
        score, alpha = _attend(s[:, part], t, source_mask, slope)
        g = grad[:, part]
        d_v.baddbmm_(alpha.mT, g)
        d_alpha = torch.bmm(g, v.mT)
        d_score = torch.ops.aten._softmax_backward_data(d_alpha, alpha, -1, alpha.dtype)
        d_score = torch.ops.aten.leaky_relu_backward(d_score, score, slope, False)
        # [S * K, n] -> [S, n, K]
        d_s[:, part] = d_score.sum(2).view(sets, heads, -1).transpose(1, 2)
        d_t += d_score.sum(1, keepdim=True)
    # [S * K, m, *] -> [S, m, K, *]
    d_t = d_t.view(sets, heads, m).transpose(1, 2)
    return d_s, d_t, d_v.view(sets, heads, m, channels).transpose(1, 2)


def _rows(x: Tensor) -> Tensor:
    # [S, n, K, C] -> [S * K, n, C]
    return x.transpose(1, 2).reshape(-1, x.size(1), x.size(3))


def _parts(s: Tensor, t: Tensor) -> Iterator[slice]:
    n = s.size(1)
    step = max(1, PAIRS // max(1, t.numel()))
    return (slice(start, min(n, start + step)) for start in range(0, n, step))


def _attend(
    s: Tensor, t: Tensor, mask: Tensor | None, slope: float
) -> tuple[Tensor, Tensor]:
    # The scores are [S * K, n, m], those of a set's heads beside each other.
    score = _rows(s.unsqueeze(3)) + t
    active = leaky_relu(score, slope)
    if mask is not None:
        mask = mask.repeat_interleave(s.size(2), dim=0).unsqueeze(1)
        active.masked_fill_(~mask, -torch.inf)
    if t.size(2) >= _VECTOR:
        return score, active.softmax(-1)
    # On short rows, the library's softmax is several times slower than its parts.
    weight = active.sub_(active.amax(-1, keepdim=True)).exp_()
    return score, weight.div_(weight.sum(-1, keepdim=True))
