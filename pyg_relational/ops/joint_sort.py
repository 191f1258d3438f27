"""Sorting two groups of keys together, so that each learns its rank in the other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_FLIP = 0x7FFFFFFF
_PARALLEL = 1 << 19  # elements from which threads pay


def joint_sort(target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    r"""Sorts each row of targets together with the same row of sources.

    Equal keys keep targets before sources, and the order within each group. Zeros of
    either sign are equal.

    On a CPU, float32 keys are packed with their index into one integer each, which
    makes an argsort as fast as a plain (vectorised) sort.

    Args:
        target (torch.Tensor): Keys, shape :math:`[R, n]`, free of NaN.
        source (torch.Tensor): Keys, shape :math:`[R, m]`, free of NaN.

    Returns:
        (torch.Tensor, torch.Tensor): The keys in ascending order, shape
        :math:`[R, n + m]`, and where each came from, int64 of the same shape: below
        :math:`n` the target's position, from :math:`n` on the source's plus
        :math:`n`.
    """
    if target.device.type != "cpu" or target.dtype != torch.float32:
        keys = torch.cat([target, source], dim=1).add_(0.0)
        values, index = keys.sort(dim=1, stable=True)
        return values, index
    rows, n = target.shape
    size = n + source.size(1)
    packed = torch.empty(rows, size, dtype=torch.long)
    # [R, L] of 64 bits -> [R, L, 2] of 32: index below, key above (little-endian)
    halves = packed.view(torch.int32).view(rows, size, 2)
    keys = torch.empty(rows, size)
    torch.add(target, 0.0, out=keys[:, :n])
    torch.add(source, 0.0, out=keys[:, n:])
    halves[..., 1] = _flip(keys.view(torch.int32))
    halves[..., 0] = torch.arange(size, dtype=torch.int32)
    _sort_rows(packed)
    values = _flip(halves[..., 1].contiguous()).view(torch.float32)
    return values, packed.bitwise_and_(_LOW)


def _flip(bits: Tensor) -> Tensor:
    # Negative floats order backwards as integers: flip all bits but the sign.
    return bits ^ (bits >> 31).bitwise_and_(_FLIP)


def _sort_rows(packed: Tensor) -> None:
    array = packed.numpy()
    threads = min(torch.get_num_threads(), array.shape[0])
    if threads < 2 or array.size < _PARALLEL:
        array.sort(axis=1)
        return
    # NumPy releases the interpreter lock while it sorts.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(array, threads)))
