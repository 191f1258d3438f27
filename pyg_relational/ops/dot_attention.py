"""Dot-product attention over all pairs of each set of a ragged batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_relational.ops.checks import check_dtype, check_pair_inputs, check_sets
from pyg_relational.ops.pair_attention import pair_attention
from pyg_relational.ops.ragged import blocks


def dot_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    target_ptr: Tensor | None = None,
    source_ptr: Tensor | None = None,
) -> Tensor:
    r"""Scaled dot-product attention over all sources of a target's set, from
    `"Attention Is All You Need" <https://arxiv.org/abs/1706.03762>`_ (Eq. 1).

    .. math::
        \mathbf{out}_{i,k} = \sum_j \mathrm{softmax}_j \left(
        \frac{\mathbf{q}_{i,k}^{\top} \mathbf{k}_{j,k}}{\sqrt{C}} \right)
        \mathbf{v}_{j,k}

    Sets of similar size share one call of PyTorch's
    :func:`~torch.nn.functional.scaled_dot_product_attention`: :math:`O(N^2)` time,
    :math:`O(N)` memory. While a compiler traces,
    :func:`~pyg_relational.ops.pair_attention` computes the same.

    Args:
        query (torch.Tensor): Queries of the targets, shape :math:`[N, K, C]`.
        key (torch.Tensor): Keys of the sources, shape :math:`[M, K, C]`.
        value (torch.Tensor): Values of the sources, shape :math:`[M, K, D]`.
        target_ptr (torch.Tensor, optional): Set boundaries of the targets, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)
        source_ptr (torch.Tensor, optional): Set boundaries of the sources, shape
            :math:`[B + 1]`; one set by default. (default: :obj:`None`)

    Returns:
        torch.Tensor: Shape :math:`[N, K, D]`; zero for targets without sources.

    Raises:
        ValueError: If shapes, dtypes or boundaries do not fit each other.
    """
    names = ("query", "key")
    target_ptr, source_ptr = check_pair_inputs(
        query, key, target_ptr, source_ptr, names, value=value
    )
    check_dtype(value, key, ("value", "key"))
    if query.dim() != 3 or value.dim() != 3 or value.shape[:2] != key.shape[:2]:
        raise ValueError(
            f"'query', 'key' and 'value' must have the shapes [N, K, C], [M, K, C] and "
            f"[M, K, D] (got {list(query.shape)}, {list(key.shape)} and "
            f"{list(value.shape)})"
        )
    heads, channels = value.shape[1:]
    if torch.compiler.is_compiling():
        out, _ = pair_attention(
            query.flatten(1),
            key.flatten(1),
            value.flatten(1),
            target_ptr,
            source_ptr,
            heads=heads,
            score="dot",
        )
        return out.view(-1, heads, channels)
    check_sets(query, key, target_ptr, source_ptr)
    out = value.new_zeros(query.size(0), heads, channels)
    for block in blocks(target_ptr, source_ptr):
        # [S, n, K, C] -> [S, K, n, C]
        q = block.take_targets(query).transpose(1, 2)
        k, v = (block.take_sources(x).transpose(1, 2) for x in (key, value))
        mask = block.source_mask
        if mask is not None:
            # [S, m] -> [S, 1, 1, m]
            mask = mask[:, None, None]
        part = F.scaled_dot_product_attention(q, k, v, mask)
        block.put_targets(out, part.transpose(1, 2))
    return out
