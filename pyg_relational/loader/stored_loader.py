import logging
from collections.abc import Collection
from typing import Any

import torch
from torch.utils.data import Subset
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset
from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.on_disk_graphs import OnDiskGraphs
from pyg_relational.loader.stored_graphs import StoredGraphs

logger = logging.getLogger(__name__)


class StoredLoader(torch.utils.data.DataLoader):
    r"""Loads batches of an in-memory dataset by slicing its stored tensors, or of an
    on-disk dataset by joining stored rows, in the order and with the content of
    :class:`torch_geometric.loader.DataLoader`.

    Which graphs a batch holds is decided by :class:`torch.utils.data.DataLoader`, whose
    arguments all work: the same seed gives the same order as with PyG's.

    Args:
        dataset (InMemoryDataset, ChunkedOnDiskDataset or Subset): The dataset, whole or
            indexed, without a transform.
        batch_size (int, optional): Graphs a batch. (default: :obj:`1`)
        shuffle (bool, optional): Whether to draw a new order in every epoch.
            (default: :obj:`False`)
        follow_batch (list[str], optional): Attributes whose rows get a vector
            :obj:`<name>_batch` that assigns them to graphs, and :obj:`<name>_ptr`.
            (default: :obj:`None`)
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)
        **kwargs (optional): Further arguments of :class:`torch.utils.data.DataLoader`,
            such as :obj:`batch_sampler`, :obj:`drop_last` or :obj:`generator`.

    Raises:
        NotStoredError: If batches cannot be cut from stored tensors;
            :func:`graph_loader` takes PyG's loader then.
        ValueError: If :obj:`batch_size` is :obj:`None`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        follow_batch: Collection[str] | None = None,
        exclude_keys: Collection[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if batch_size is None and kwargs.get("batch_sampler") is None:
            raise ValueError("'batch_size' must be a number of graphs (got None)")
        # Lightning makes a loader anew from its attributes.
        kwargs.pop("collate_fn", None)
        self.follow_batch = follow_batch
        self.exclude_keys = exclude_keys
        if isinstance(dataset, (StoredGraphs, OnDiskGraphs)):
            dataset = dataset.dataset
        graphs = _graphs(dataset, follow_batch, exclude_keys)
        super().__init__(graphs, batch_size, shuffle, collate_fn=_as_it_is, **kwargs)


def graph_loader(dataset: Any, *args: Any, **kwargs: Any) -> StoredLoader | DataLoader:
    r"""Returns a :class:`StoredLoader` where the dataset allows it, and PyG's loader
    otherwise, which is logged with the reason.

    Args:
        dataset (Dataset): The dataset.
        *args (optional): Arguments of both.
        **kwargs (optional): Arguments of both.
    """
    try:
        return StoredLoader(dataset, *args, **kwargs)
    except NotStoredError as error:
        logger.info("batches are formed graph by graph: %s", error)
        return DataLoader(dataset, *args, **kwargs)


def why_not_stored(
    dataset: Any, exclude_keys: Collection[str] | None = None
) -> str | None:
    r"""Returns why :class:`StoredLoader` refuses a dataset, :obj:`None` if it does not.

    Args:
        dataset (Dataset): The dataset.
        exclude_keys (list[str], optional): Attributes to leave out.
            (default: :obj:`None`)
    """
    try:
        _graphs(dataset, None, exclude_keys)
    except NotStoredError as error:
        return str(error)
    return None


def _graphs(
    dataset: Any,
    follow_batch: Collection[str] | None,
    exclude_keys: Collection[str] | None,
) -> StoredGraphs | OnDiskGraphs:
    whole = dataset
    while type(whole) is Subset:
        whole = whole.dataset
    on_disk = isinstance(whole, ChunkedOnDiskDataset)
    kind = OnDiskGraphs if on_disk else StoredGraphs
    return kind(dataset, follow_batch, exclude_keys)


def _as_it_is(batch: Batch) -> Batch:
    return batch
