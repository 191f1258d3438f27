"""From data back to the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch_geometric.data import Data

from pyg_relational.data.scene_attributes import Attribute
from pyg_relational.data.scene_options import SceneOptions
from pyg_relational.data.scene_record import restore_exact, restore_features, to_rows

if TYPE_CHECKING:
    import networkx as nx


def invert(
    data: Data,
    attributes: Sequence[Attribute],
    facts: Mapping[str, Any],
    options: SceneOptions,
) -> nx.Graph:
    """Returns the scene, or without exact values what its features tell.

    Args:
        data (Data): What the encoder returned.
        attributes (sequence of Attribute): The attributes of the schema.
        facts (Mapping): What else the schema says.
        options (SceneOptions): What the user asks for.
    """
    if "scene" in data:
        return restore_exact(data, attributes)
    columns = {"node": to_rows(data.x, data.num_nodes or 0)}
    columns["graph"] = to_rows(data.get("u"), 1)
    edges: list[tuple[int, int]]
    if data.edge_index is not None:
        first = ~data.edge_reversed
        edges = [(a, b) for a, b in data.edge_index[:, first].t().tolist()]
        rows = to_rows(data.edge_attr, data.edge_index.size(1))
        columns["edge"] = rows[first.cpu().numpy()]
    else:
        label = data.edge_label
        related = label.bool().any(1) if label.dim() == 2 else label > 0
        edges = [(a, b) for a, b in data.edge_label_index[:, related].t().tolist()]
    name = _graph_class(data, facts, options)
    return restore_features(data, columns, attributes, name, edges)


def _graph_class(data: Data, facts: Mapping[str, Any], options: SceneOptions) -> str:
    """Returns the class of the fitted scenes, or with several what fits best."""
    names = facts["graph_classes"]
    if len(names) == 1:
        return str(names[0])
    multi = "Multi" if any(name.startswith("Multi") for name in names) else ""
    if options.relations != "labels" and bool(data.edge_reversed.any()):
        return f"{multi}Graph"
    return f"{multi}DiGraph"
