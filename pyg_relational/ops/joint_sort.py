"""Sorting two groups of keys together, so that each learns its rank in the other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pyg_relational.ops.workspace import Workspace

_LOW = 0xFFFFFFFF
_FLIP = 0x7FFFFFFF
_PARALLEL = 1 << 19  # elements from which threads pay


def joint_sort(
    target: Tensor, source: Tensor, workspace: Workspace | None = None
) -> tuple[Tensor, Tensor]:
    r"""Sorts each row of targets together with the same row of sources.

    Equal keys keep targets before sources, and the order within each group. Zeros of
    either sign are equal.

    On a CPU, float32 keys are packed with their index into one integer each, which
    makes an argsort as fast as a plain (vectorised) sort.

    Args:
        target (torch.Tensor): Keys, shape :math:`[R, n]`, free of NaN.
        source (torch.Tensor): Keys, shape :math:`[R, m]`, free of NaN.
        workspace (Workspace, optional): Where the results may live; the next sort
            with it overwrites them. (default: :obj:`None`)

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
    workspace = workspace or Workspace(target.device)
    rows, n = target.shape
    shape = rows, n + source.size(1)
    keys = workspace.empty("keys", shape, torch.float32)
    torch.add(target, 0.0, out=keys[:, :n])
    torch.add(source, 0.0, out=keys[:, n:])
    packed = workspace.empty("packed", shape, torch.long)
    # [R, L] of 64 bits -> [R, L, 2] of 32: index below, key above (little-endian)
    halves = packed.view(torch.int32).view(*shape, 2)
    _flip_(keys.view(torch.int32), workspace)
    halves[..., 1] = keys.view(torch.int32)
    halves[..., 0] = torch.arange(shape[1], dtype=torch.int32)
    _sort_rows(packed)
    keys.view(torch.int32).copy_(halves[..., 1])
    _flip_(keys.view(torch.int32), workspace)
    return keys, packed.bitwise_and_(_LOW)


def _flip_(bits: Tensor, workspace: Workspace) -> None:
    # Negative floats order backwards as integers: flip all bits but the sign.
    sign = workspace.empty("sign", tuple(bits.shape), torch.int32)
    torch.bitwise_right_shift(bits, 31, out=sign)
    bits.bitwise_xor_(sign.bitwise_and_(_FLIP))


def _sort_rows(packed: Tensor) -> None:
    array = packed.numpy()
    threads = min(torch.get_num_threads(), array.shape[0])
    if threads < 2 or array.size < _PARALLEL:
        array.sort(axis=1)
        return
    # NumPy releases the interpreter lock while it sorts.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(array, threads)))
