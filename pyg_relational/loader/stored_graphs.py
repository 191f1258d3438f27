from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch, Data

from pyg_relational.loader.filled_batch import Joined, empty_batch, fill_batch
from pyg_relational.loader.segments import Chosen, Segments
from pyg_relational.loader.stored_attributes import read_attributes


class StoredGraphs(Dataset):
    r"""The graphs of an in-memory dataset, several of which are read as one batch by
    index arithmetic on the stored tensors, without a loop over graphs.

    The batch is that of :meth:`torch_geometric.data.Batch.from_data_list`: the same
    attributes in the same order, :obj:`batch` and :obj:`ptr`, and what
    :meth:`~torch_geometric.data.Batch.to_data_list` needs. The dataset is read when
    this is made; what is assigned to it later is not seen.

    Args:
        dataset (InMemoryDataset or Subset): The dataset; :func:`in_memory` makes one
            of any graphs.
        follow_batch (list[str], optional): Attributes whose rows get a vector
            :obj:`<name>_batch` that assigns them to graphs, and :obj:`<name>_ptr`.
            (default: :obj:`None`)
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)

    Raises:
        NotStoredError: If batches cannot be cut from stored tensors: there is a
            transform, a method :obj:`get` of the dataset's own, a sparse, nested or
            unknown attribute, or a number of nodes that has to be guessed.
    """

    def __init__(
        self,
        dataset: Any,
        follow_batch: Collection[str] | None = None,
        exclude_keys: Collection[str] | None = None,
    ) -> None:
        self.dataset = dataset
        self.follow_batch = frozenset(follow_batch or ())
        self.exclude_keys = frozenset(exclude_keys or ())
        stored = read_attributes(dataset, self.exclude_keys)
        self._stored = stored
        self._template = empty_batch(stored.data_class)

    def __len__(self) -> int:
        return self._stored.order.numel()

    def __getitem__(self, index: int) -> Data:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        r"""Returns a batch.

        Args:
            indices (list[int]): The numbers of its graphs in the dataset, any number of
                times each.

        Raises:
            IndexError: If a number is out of range.
            ValueError: If there are no numbers.
        """
        asked = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        if asked.numel() == 0:
            raise ValueError("'indices' must name a graph (got none)")
        stored = self._stored
        numbers = stored.order[asked]
        chosen: dict[int, Chosen] = {}
        nodes = _choose(stored.nodes, numbers, chosen) if stored.nodes else None
        counts = stored.num_nodes
        return fill_batch(
            self._template,
            self._join(numbers, nodes, chosen),
            numbers,
            nodes,
            None if counts is None else counts[numbers].tolist(),
            self.follow_batch,
        )

    def _join(
        self, numbers: Tensor, nodes: Chosen | None, chosen: dict[int, Chosen]
    ) -> Iterator[Joined]:
        for attribute in self._stored.attributes:
            rows = _choose(attribute.segments, numbers, chosen)
            shift: Any = attribute.shifts(numbers, nodes)
            yield Joined(attribute.name, attribute.take(rows, shift), shift, rows)


def _choose(segments: Segments, numbers: Tensor, chosen: dict[int, Chosen]) -> Chosen:
    """The rows of attributes that are cut alike are counted once."""
    if id(segments) not in chosen:
        chosen[id(segments)] = segments.choose(numbers)
    return chosen[id(segments)]
