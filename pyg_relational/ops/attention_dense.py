"""Additive attention by writing the pairs out, a bounded number at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

_PAIRS = 1 << 21  # pairs alive at once


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
    t, v = t.transpose(1, 2).unsqueeze(2), v.transpose(1, 2)
    out = v.new_empty(*s.shape, v.size(3))
    for part in _parts(s, t):
        _, alpha = _attend(s[:, part], t, source_mask, slope)
        # [S, K, n, m] @ [S, K, m, C]
        out[:, part] = (alpha @ v).transpose(1, 2)
    return out


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
    t, v = t.transpose(1, 2).unsqueeze(2), v.transpose(1, 2)
    # [S, n, K, C] -> [S, K, n, C]
    grad = grad.transpose(1, 2)
    d_s, d_t, d_v = torch.empty_like(s), torch.zeros_like(t), torch.zeros_like(v)
    for part in _parts(s, t):
        score, alpha = _attend(s[:, part], t, source_mask, slope)
        g = grad[:, :, part]
        d_v += alpha.mT @ g
        d_alpha = g @ v.mT
        dot = (alpha * d_alpha).sum(-1, keepdim=True)
        d_score = d_alpha.sub_(dot).mul_(alpha)
        d_score = d_score.where(score > 0, d_score * slope)
        d_s[:, part] = d_score.sum(-1).transpose(1, 2)
        d_t += d_score.sum(-2, keepdim=True)
    return d_s, d_t.squeeze(2).transpose(1, 2), d_v.transpose(1, 2)


def _parts(s: Tensor, t: Tensor) -> Iterator[slice]:
    n = s.size(1)
    step = max(1, _PAIRS // max(1, t.numel()))
    return (slice(start, start + step) for start in range(0, n, step))


def _attend(
    s: Tensor, t: Tensor, mask: Tensor | None, slope: float
) -> tuple[Tensor, Tensor]:
    # [S, n, K] -> [S, K, n, 1]; the scores are [S, K, n, m]
    score = s.transpose(1, 2).unsqueeze(3) + t
    active = leaky_relu(score, slope)
    if mask is not None:
        active = active.masked_fill(~mask[:, None, None], -torch.inf)
    return score, active.softmax(-1)
