from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Chosen:
    """The segments of the graphs of a batch.

    Args:
        numbers (torch.Tensor): The number of each graph, `[B]`.
        rows (torch.Tensor or None): The rows of these graphs one after another, `[R]`;
            `None` where all segments are equally long.
        owner (torch.Tensor): The graph of the batch that each row belongs to, `[R]`.
        ptr (torch.Tensor): Where the graphs start and end in the batch, `[B + 1]`.
    """

    numbers: Tensor
    rows: Tensor | None
    owner: Tensor
    ptr: Tensor


class Segments:
    """Where each graph starts and ends among the rows of a stored attribute.

    Attributes that are cut alike share one object, so that the rows of a batch are
    counted once.

    Args:
        slices (torch.Tensor): Boundaries, `[G + 1]`, ascending.
        num_rows (int): The number of rows.

    Raises:
        ValueError: The boundaries descend or leave the rows.
    """

    def __init__(self, slices: Tensor, num_rows: int) -> None:
        sizes = slices.diff()
        first, last = int(slices[0]), int(slices[-1])
        if first < 0 or last > num_rows or bool((sizes < 0).any()):
            raise ValueError(
                f"runs from {first} to {last} in {num_rows} rows, or descends"
            )
        self.slices = slices
        self.num_rows = num_rows
        self.count = sizes.numel()
        equal = self.count > 0 and bool((sizes == sizes[0]).all())
        whole = equal and first == 0 and last == num_rows
        # Rows of each graph, where all have as many: then nothing has to be counted.
        self.each: int | None = int(sizes[0]) if whole else None
        self._last: tuple[Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def choose(self, numbers: Tensor) -> Chosen:
        """Returns the segments of some graphs, in their order.

        Args:
            numbers (torch.Tensor): The number of each graph, `[B]`.
        """
        if self.each is None:
            return self._count_rows(numbers)
        count = numbers.numel()
        # Most batches are as large as the one before.
        if self._last is None or self._last[0].numel() != count + 1:
            ptr = torch.arange(count + 1) * self.each
            owner = torch.arange(count)
            self._last = ptr, owner.repeat_interleave(self.each)
        ptr, owner = self._last
        return Chosen(numbers, None, owner, ptr)

    def _count_rows(self, numbers: Tensor) -> Chosen:
        # NumPy takes a third of the time of `gather_sets` for as few as these.
        index, slices = numbers.numpy(), self.slices.numpy()
        starts = slices[index]
        sizes = slices[1:][index] - starts
        ptr = np.zeros(len(index) + 1, dtype=np.int64)
        sizes.cumsum(out=ptr[1:])
        owner = np.repeat(np.arange(len(index)), sizes)
        rows = np.arange(ptr[-1]) + (starts - ptr[:-1])[owner]
        return Chosen(
            numbers,
            torch.from_numpy(rows),
            torch.from_numpy(owner),
            torch.from_numpy(ptr),
        )
