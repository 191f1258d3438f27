"""Where the tensors of a dataset are, and the graphs that it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.data.storage import GlobalStorage

from pyg_relational.data.temporal_storage import TemporalStorage
from pyg_relational.loader.errors import NotStoredError

OVERRIDDEN = ("get", "indices", "__getitem__")


@dataclass(frozen=True)
class Source:
    """The tensors of a dataset.

    Args:
        data (Data): The attributes of all graphs, one graph after another.
        slices (Mapping): Where the graphs start and end in each attribute.
        order (torch.Tensor): The graphs that the dataset holds, `[len(dataset)]`.
    """

    data: Data
    slices: Mapping[str, Any]
    order: Tensor


def source_of(dataset: Any) -> Source:
    """Returns where the graphs of a dataset are.

    Args:
        dataset (Dataset): The dataset.

    Raises:
        NotStoredError: Its graphs are not the slices of stored tensors.
    """
    if type(dataset) is Subset:
        source = source_of(dataset.dataset)
        chosen = _numbers(dataset.indices)
        return Source(source.data, source.slices, source.order[chosen])
    name = type(dataset).__name__
    if not isinstance(dataset, InMemoryDataset):
        raise NotStoredError(
            f"'{name}' keeps no collated tensors; where its graphs fit into memory, "
            f"pass 'in_memory(dataset)'"
        )
    if dataset.transform is not None:
        raise NotStoredError(
            f"'{name}' has a transform, which is called with one graph after another; "
            f"where it draws nothing at random, pass 'in_memory(dataset)'"
        )
    for method in OVERRIDDEN:
        if getattr(type(dataset), method) is not getattr(InMemoryDataset, method):
            raise NotStoredError(f"'{name}' has a method '{method}' of its own")
    data, slices = dataset._data, dataset.slices
    if data is None or slices is None or dataset.len() < 2:
        raise NotStoredError(f"'{name}' holds fewer than two graphs")
    _check_class(data)
    return Source(data, slices, _numbers(dataset.indices()))


def _check_class(data: Any) -> None:
    cls = type(data)
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise NotStoredError(f"graphs are '{cls.__name__}' and not 'Data'")
    if type(data._store) not in (GlobalStorage, TemporalStorage):
        raise NotStoredError(
            f"'{cls.__name__}' keeps attributes in '{type(data._store).__name__}'"
        )
    if len(cls()._store):
        raise NotStoredError(f"'{cls.__name__}' has attributes before any is set")


def _numbers(indices: Sequence[int] | Tensor) -> Tensor:
    if isinstance(indices, range):
        return torch.arange(indices.start, indices.stop, indices.step)
    return torch.as_tensor(indices, dtype=torch.long).flatten()
