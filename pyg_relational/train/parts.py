"""The part of each batch that one of several processes computes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
)
from torch_geometric.data import Data

from pyg_relational.loader import SplitBatchSampler, graph_loader
from pyg_relational.train.processes import rank, world_size


class SharedRandomSampler(RandomSampler):
    """Draws the same order in every process: that of the first."""

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of a new order."""
        # As RandomSampler draws it: the order is that of one process alone.
        seed = [int(torch.empty((), dtype=torch.int64).random_().item())]
        distributed.broadcast_object_list(seed)
        self.generator = torch.Generator().manual_seed(seed[0])
        yield from super().__iter__()


class PartLoader:
    """Loads this process's part of each batch.

    Rows of a graph that stands in for an empty part are not marked in ``y_mask``.

    Args:
        dataset (Dataset): The graphs, the same in every process.
        batch_size (int): Graphs a batch, of all processes.
        shuffle (bool): Whether to draw a new order in every epoch.
        **options: Further arguments of :func:`~pyg_relational.loader.graph_loader`.
    """

    def __init__(
        self, dataset: Any, batch_size: int, shuffle: bool, **options: Any
    ) -> None:
        order: Sampler[int] = (
            SharedRandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        )
        batches = BatchSampler(order, batch_size, drop_last=False)
        self.parts = SplitBatchSampler(batches, rank(), world_size())
        self.loader: DataLoader = graph_loader(
            dataset, batch_sampler=self.parts, **options
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Data]:
        """Yield the parts."""
        for number, batch in enumerate(self.loader):
            if self.parts.stands_in(number):
                batch.y_mask = torch.zeros(batch.y.size(0), dtype=torch.bool)
            yield batch
