"""The part of each batch that one of several processes computes, and where it is."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader, RandomSampler
from torch_geometric.data import Data

from pyg_relational.loader import ResumableLoader, SplitBatchSampler, graph_loader
from pyg_relational.train.processes import gather, rank, world_size


class SharedRandomSampler(RandomSampler):
    """Draws the same order in every process: that of the first."""

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of a new order."""
        # As RandomSampler draws it: the order is that of one process alone.
        seed = [int(torch.empty((), dtype=torch.int64).random_().item())]
        distributed.broadcast_object_list(seed)
        self.generator = torch.Generator().manual_seed(seed[0])
        yield from super().__iter__()


class TrainingLoader(ResumableLoader):
    """Keeps where each process was: the first one writes the checkpoint of all."""

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all processes."""
        return {"processes": gather(super().state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let this process continue where it was, if there was one of its number."""
        states = state.get("processes", [])
        super().load_state_dict(states[rank()] if rank() < len(states) else {})


class PartLoader:
    """Loads this process's part of each batch.

    Rows of a graph that stands in for an empty part are not marked in ``y_mask``.

    Args:
        dataset (Dataset): The graphs, the same in every process.
        batches (Sampler): Yields the batches of all processes, the same in each.
        **options: Further arguments of :func:`~pyg_relational.loader.graph_loader`.
    """

    def __init__(self, dataset: Any, batches: Any, **options: Any) -> None:
        self.parts = SplitBatchSampler(batches, rank(), world_size())
        self.loader: DataLoader = graph_loader(
            dataset, batch_sampler=self.parts, **options
        )

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def batch_sampler(self) -> SplitBatchSampler:
        """What forms the parts: Lightning tells its sampler the epoch."""
        return self.parts

    def __iter__(self) -> Iterator[Data]:
        """Yield the parts."""
        for number, batch in enumerate(self.loader):
            if self.parts.stands_in(number):
                batch.y_mask = torch.zeros(batch.y.size(0), dtype=torch.bool)
            yield batch
