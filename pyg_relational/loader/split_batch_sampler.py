from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler


class SplitBatchSampler(Sampler[list[int]]):
    r"""Splits each batch of another sampler among processes, so that together they
    compute what one process would.

    Rank :math:`r` of :math:`R` gets the graphs from :math:`\lfloor B r / R \rfloor` to
    :math:`\lfloor B (r + 1) / R \rfloor` of a batch of :math:`B`: parts that differ by
    one graph at most. Every process has as many parts as there are batches. No part is
    empty: where a batch has fewer graphs than there are processes, its first graph
    stands in, and :meth:`stands_in` says that it does not count.

    Pass it to a loader as :obj:`batch_sampler`, with
    :obj:`use_distributed_sampler=False` to Lightning's trainer. All processes must be
    given the same batches.

    Args:
        batches (Sampler): Yields the batches, lists of numbers of graphs.
        rank (int): The number of this process. (default: :obj:`0`)
        world_size (int): The number of processes. (default: :obj:`1`)

    Raises:
        ValueError: If :obj:`rank` or :obj:`world_size` is out of range.
    """

    def __init__(self, batches: Any, rank: int = 0, world_size: int = 1) -> None:
        if world_size < 1:
            raise ValueError(f"'world_size' must be at least 1 (got {world_size})")
        if not 0 <= rank < world_size:
            raise ValueError(
                f"'rank' must be from 0 to {world_size - 1}, below 'world_size' "
                f"(got {rank})"
            )
        self.batches = batches
        self.rank = rank
        self.world_size = world_size
        self._stand_ins: set[int] = set()

    @property
    def sampler(self) -> Any:
        r"""What orders the graphs: Lightning tells it the epoch."""
        return getattr(self.batches, "sampler", None)

    def stands_in(self, number: int) -> bool:
        r"""Tells whether a part of the current epoch is a graph of another process's
        part, which must not count.

        Args:
            number (int): The number of the part, once it was yielded.
        """
        return number in self._stand_ins

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        self._stand_ins.clear()
        for number, batch in enumerate(self.batches):
            size = len(batch)
            start = size * self.rank // self.world_size
            part = batch[start : size * (self.rank + 1) // self.world_size]
            if not part:
                self._stand_ins.add(number)
            yield part or batch[:1]
