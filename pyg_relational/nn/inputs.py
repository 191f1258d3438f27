"""What a layer or model reads from a graph."""

import inspect
from typing import Any

from torch import nn
from torch_geometric.data import Data


def forward_arguments(module: nn.Module, data: Data) -> dict[str, Any]:
    r"""Returns the attributes of a graph, or of a batch, that the arguments of a
    module's :meth:`forward` name; :obj:`batch_size` is the number of graphs.

    Args:
        module (torch.nn.Module): The layer or model.
        data (Data): A graph or a batch.
    """
    known = {"batch_size": getattr(data, "num_graphs", 1)}
    names = inspect.signature(module.forward).parameters
    arguments = {name: known.get(name, data.get(name)) for name in names}
    return {name: value for name, value in arguments.items() if value is not None}
