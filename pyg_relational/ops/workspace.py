"""Buffers that are used again and again."""

from math import prod

import torch
from torch import Tensor


class Workspace:
    r"""Named buffers for a loop over chunks of equal or falling size.

    Fresh memory costs more than a pass over it: the system has to map and clear its
    pages. A chunk that fills the buffers of the one before does not pay for that.

    Args:
        device (torch.device): Where the buffers are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        r"""Returns a contiguous tensor with arbitrary content; the next call with the
        same name and dtype returns the same memory.

        Args:
            name (str): What the buffer holds.
            shape (tuple of int): Its shape.
            dtype (torch.dtype): Its dtype.
        """
        size = prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            buffer = torch.empty(size, dtype=dtype, device=self.device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)
