"""What datasets stored in one file have in common: its name and its content.

The content is a dictionary with `data` (a `Data` object as a dictionary, all samples
one after the other) and `slices`, the way `InMemoryDataset` keeps them.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._files import load_or_create


def stored_name(dataset: InMemoryDataset, name: str) -> str:
    """Returns the file name for `name`, which carries every argument and a version.

    The `repr` of `pre_transform` and `pre_filter` is added as a hash."""
    return f"{changed_name(name, dataset.pre_transform, dataset.pre_filter)}.pt"


def changed_name(
    name: str,
    pre_transform: Callable[[Data], Data] | None,
    pre_filter: Callable[[Data], bool] | None,
) -> str:
    """Returns a name with a hash of the `repr` of what changes the samples, if any."""
    if pre_transform is None and pre_filter is None:
        return name
    described = repr((pre_transform, pre_filter))
    # Addresses differ between runs.
    described = re.sub(r" at 0x[0-9a-fA-F]+", "", described)
    return f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"


def load_stored(
    dataset: InMemoryDataset,
    create: Callable[[], dict[str, Any]],
    *,
    force_reload: bool = False,
) -> dict[str, Any]:
    """Fills a dataset from its first processed file, creating it where needed.

    Called at the end of `__init__`, in place of PyG's `process`, which would trust a
    file that was cut short."""
    path = dataset.processed_paths[0]
    content = load_or_create(path, create, force_reload=force_reload)
    # The setter drops the samples that `pre_filter` looked at.
    data_class = getattr(dataset, "data_class", Data)
    dataset.data = data_class.from_dict(content["data"])
    dataset.slices = content["slices"]
    return content


def stored_content(
    dataset: InMemoryDataset, data: Data, slices: dict[str, Tensor]
) -> dict[str, Any]:
    """Returns what is stored, after `pre_filter` and `pre_transform`."""
    if dataset.pre_transform is None and dataset.pre_filter is None:
        return {"data": data.to_dict(), "slices": slices}
    dataset._data, dataset.slices = data, slices
    samples = map(dataset.get, range(len(next(iter(slices.values()))) - 1))
    kept = keep_and_change(samples, dataset.pre_filter, dataset.pre_transform)
    if kept is None:
        raise ValueError("Expected `pre_filter` to keep a sample, it kept none.")
    changed, cut = kept
    return {"data": changed.to_dict(), "slices": cut}


def keep_and_change(
    samples: Iterable[Data],
    pre_filter: Callable[[Data], bool] | None,
    pre_transform: Callable[[Data], Data] | None,
) -> tuple[Data, dict[str, Tensor] | None] | None:
    """Joins the samples that a filter keeps, after a transform; `None` for none."""
    if pre_filter is not None:
        samples = filter(pre_filter, samples)
    samples = [*samples]
    if not samples:
        return None
    if pre_transform is not None:
        samples = [pre_transform(sample) for sample in samples]
    return InMemoryDataset.collate(samples)


def collate_stacked(
    tensors: Mapping[str, Tensor],
    num_nodes: int | None = None,
    data_class: type[Data] = Data,
) -> tuple[Data, dict[str, Tensor]]:
    """Joins samples of the same size without a loop over them."""
    rows, counts = {}, {}
    for name, value in tensors.items():
        if name in ("edge_index", "edge_label_index"):
            # [B, 2, E] -> [2, B * E]
            rows[name] = value.transpose(0, 1).flatten(1)
            size = value.shape[2]
        else:
            # [B, k, ...] -> [B * k, ...]
            rows[name] = value.flatten(0, 1)
            size = value.shape[1]
        counts[name] = torch.full((len(value),), size)
    size = len(next(iter(counts.values())))
    nodes = None if num_nodes is None else torch.full((size,), num_nodes)
    return collate_ragged(rows, counts, nodes, data_class)


def collate_ragged(
    rows: Mapping[str, Tensor],
    counts: Mapping[str, Tensor],
    num_nodes: Tensor | None = None,
    data_class: type[Data] = Data,
) -> tuple[Data, dict[str, Tensor]]:
    """Joins samples of different sizes without a loop over them."""
    data = data_class(**rows)
    slices = {
        name: torch.cat([count.new_zeros(1), count.cumsum(0)])
        for name, count in counts.items()
    }
    if num_nodes is not None:
        data.num_nodes = int(num_nodes.sum())
        # Where PyG looks for the number of nodes of each graph.
        data._num_nodes = num_nodes.tolist()
    return data, slices
