"""All ordered pairs of the objects of each set, and the triples they make."""

import torch
from torch import Tensor

from pyg_relational.ops import ptr_to_batch


def pair_ptr(ptr: Tensor) -> Tensor:
    r"""Returns where the pairs of each set start and end: of :math:`n` objects there
    are :math:`n^2` ordered pairs, each object with itself included.

    Args:
        ptr (torch.Tensor): The boundaries of the sets, shape :math:`[B + 1]`.
    """
    return torch.cat([ptr.new_zeros(1), ptr.diff().square().cumsum(0)])


def pair_rows(pairs: Tensor, ptr: Tensor) -> Tensor:
    r"""Returns the number of each pair among all ordered pairs, those of a set in the
    order of their first, then their second object.

    Args:
        pairs (torch.Tensor): Pairs of objects of the same set, shape :math:`[2, P]`.
        ptr (torch.Tensor): The boundaries of the sets, shape :math:`[B + 1]`.
    """
    owner = ptr_to_batch(ptr, int(ptr[-1])).index_select(0, pairs[0])
    first, second = pairs - ptr[owner]
    return pair_ptr(ptr)[owner] + first * ptr.diff()[owner] + second


def pair_triples(ptr: Tensor) -> Tensor:
    r"""Returns, for all triples of different objects :math:`(i, k, j)` of a set, the
    numbers of their pairs :math:`(i, k)`, :math:`(k, j)` and :math:`(i, j)`.

    Args:
        ptr (torch.Tensor): The boundaries of the sets, shape :math:`[B + 1]`.

    Shapes:
        - **output:** :math:`(3, \sum_s n_s (n_s - 1)(n_s - 2))`
    """
    size = ptr.diff()
    owner = torch.arange(size.numel(), device=ptr.device)
    owner = owner.repeat_interleave(size**3)
    start = torch.cat([ptr.new_zeros(1), (size**3).cumsum(0)])
    place = torch.arange(owner.numel(), device=ptr.device) - start[owner]
    n, base = size[owner], pair_ptr(ptr)[owner]
    i, k, j = place // (n * n), place // n % n, place % n
    rows = torch.stack([base + i * n + k, base + k * n + j, base + i * n + j])
    return rows[:, (i != k) & (k != j) & (i != j)]
