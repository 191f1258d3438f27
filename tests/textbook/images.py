"""The classifier of pairs of images passes every check of pairs."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_relational.models import ImageRelationClassifier
from pyg_relational.testing import Part, pair_value


def naive(module: nn.Module, data: Data) -> Tensor:
    """Pair by pair."""
    out = []
    for j, i in data.edge_index.t().tolist():
        z_i, z_j = data.x[i], data.x[j]
        if module.lin is not None:
            z_i, z_j = (module.lin(z[None])[0].relu() for z in (z_i, z_j))
        parts = {
            "difference": abs(z_i - z_j),
            "offset": z_i - z_j,
            "product": z_i * z_j,
        }
        known = [parts[name] for name in module.interactions]
        edge_attr = torch.cat(known) if known else None
        if not module.ends:
            z_i = z_j = z_i.new_ones(1)
        out.append(pair_value(module.relation.relation, z_i, z_j, edge_attr))
    return torch.stack(out)


OPTIONS = {
    "default": {"channels": 4},
    "plain": {"channels": None, "interactions": ["product", "offset"]},
    "ends": {"channels": 4, "interactions": []},
    "difference": {"interactions": ["difference"], "ends": False},
}
PARTS = {
    name: Part(
        lambda options=options: ImageRelationClassifier(
            5, 3, relation_channels=[8], dropout=0.5, **options
        ),
        "pair",
        edges=True,
        naive=naive,
        call=lambda module, data: module(data.x, data.edge_index),
    )
    for name, options in OPTIONS.items()
}
