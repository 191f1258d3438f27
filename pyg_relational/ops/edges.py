"""Explicit complete graphs, for those who want edges."""

import torch
from torch import Tensor

from pyg_relational.ops.ragged import check_ptr


def fully_connected_edges(ptr: Tensor, self_pairs: bool = True) -> Tensor:
    r"""Lists all ordered pairs of rows inside each set as edges.

    The operators of this package never need them: all pairs are their default.

    Args:
        ptr (torch.Tensor): Set boundaries, shape :math:`[B + 1]`.
        self_pairs (bool): Whether to include the pairs :math:`(i, i)`.
            (default: :obj:`True`)

    Returns:
        torch.Tensor: Edges from sources (first row) to targets (second row), shape
        :math:`[2, E]` with :math:`E = \sum_s n_s^2` (:math:`n_s (n_s - 1)` without
        self pairs), sorted by target and then by source.

    Raises:
        ValueError: If :obj:`ptr` does not start at zero or is not ascending.
    """
    check_ptr(ptr, int(ptr[-1]) if ptr.numel() else 0, "ptr")
    sizes = ptr.diff()
    # One entry per target: the size and the first row of its set.
    degree = sizes.repeat_interleave(sizes)
    first = ptr[:-1].repeat_interleave(sizes)
    target = torch.arange(degree.numel(), device=ptr.device).repeat_interleave(degree)
    start = torch.cumsum(degree, 0) - degree
    source = torch.arange(target.numel(), device=ptr.device) - (start - first)[target]
    edges = torch.stack([source, target])
    return edges if self_pairs else edges[:, source != target]
