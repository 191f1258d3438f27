"""What a graph adds to the values of the graphs behind it in a batch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.separate import separate

from pyg_relational.data import TemporalGraph
from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.sources import Source

# Whose rule is known: the number of nodes for names with `index`, nothing for others.
KNOWN = (Data.__inc__, TemporalGraph.__inc__)


def by_nodes(data: Data, name: str) -> bool | None:
    """Tells whether an attribute is incremented by the number of nodes, or not at all;
    `None` where each graph has to be asked.

    Args:
        data (Data): A graph.
        name (str): The name of the attribute.
    """
    cls = type(data)
    if cls.__inc__ not in KNOWN or cls.num_nodes is not Data.num_nodes:
        return None
    if "batch" in name:
        return None
    return "index" in name or name == "face"


def ask_each_graph(source: Source, name: str, unsqueeze: bool) -> Tensor:
    """Returns what each graph of a dataset says, `[G, ...]`; zero for graphs that the
    dataset leaves out.

    Args:
        source (Source): The dataset.
        name (str): The name of the attribute.
        unsqueeze (bool): Whether its values get a first dimension in a batch.

    Raises:
        NotStoredError: The increments of two graphs differ in shape.
    """
    found: dict[int, Tensor] = {}
    slices: Mapping[str, Any] = source.slices
    for number in source.order.unique().tolist():
        graph = separate(
            cls=type(source.data),
            batch=source.data,
            idx=number,
            slice_dict=slices,
            decrement=False,
        )
        value = graph[name].unsqueeze(0) if unsqueeze else graph[name]
        found[number] = torch.as_tensor(graph.__inc__(name, value, graph._store))
    shapes = {(tuple(inc.shape), inc.dtype, inc.device.type) for inc in found.values()}
    if len(shapes) > 1 or any(device != "cpu" for _, _, device in shapes):
        raise NotStoredError(f"'{name}' is incremented in another way by each graph")
    first = next(iter(found.values()), torch.tensor(0))
    out = first.new_zeros((len(slices[name]) - 1, *first.shape))
    if found:
        out[torch.tensor([*found])] = torch.stack([*found.values()])
    return out
