"""From data back to the scene."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.scenes.scan import MISSING, Rows
from pyg_relational.data.scenes.schema import Attribute, SceneOptions, rebuild

if TYPE_CHECKING:
    import networkx as nx


class SceneRecord:
    """What the tables of a scene cannot hold; PyG batches it as one value.

    Args:
        graph_class (str): The NetworkX class.
        node_keys (list, optional): The node keys unless they are `0, 1, ...`.
        edge_keys (list, optional): The edge keys of a multigraph.
        missing (dict): By level and attribute, the rows without it.
        objects (dict): By level and attribute, values by their row.
    """

    __slots__ = ("edge_keys", "graph_class", "missing", "node_keys", "objects")

    def __init__(
        self,
        graph_class: str,
        node_keys: list[Hashable] | None,
        edge_keys: list[Hashable] | None,
        missing: dict[str, dict[Hashable, list[int]]],
        objects: dict[str, dict[Hashable, dict[int, Any]]],
    ) -> None:
        self.graph_class = graph_class
        self.node_keys = node_keys
        self.edge_keys = edge_keys
        self.missing = missing
        self.objects = objects

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.graph_class})"


# So that `torch.save` and `load` need no trust in the file.
torch.serialization.add_safe_globals([SceneRecord])


def invert(
    data: Data,
    attributes: Sequence[Attribute],
    facts: Mapping[str, Any],
    options: SceneOptions,
) -> nx.Graph:
    """Returns the scene, or without exact values what its features tell: numbers as
    exact as float32, no node keys, no texts."""
    if "scene" in data:
        return _restored(data, attributes)
    nodes = _from_features("node", data.x, data.num_nodes or 0, attributes)
    if data.edge_index is not None:
        first = ~data.edge_reversed
        ends, size = data.edge_index[:, first], data.edge_index.size(1)
        every = _from_features("edge", data.edge_attr, size, attributes)
        edges = [row for row, kept in zip(every, first.tolist(), strict=True) if kept]
    else:
        label = data.edge_label
        related = label.bool().any(1) if label.dim() == 2 else label > 0
        ends = data.edge_label_index[:, related]
        edges = [{} for _ in range(ends.size(1))]
    (of_graph,) = _from_features("graph", data.get("u"), 1, attributes)
    graph = _empty(data, facts["graph_classes"], options)
    graph.graph.update(of_graph)
    graph.add_nodes_from(enumerate(nodes))
    for a, b, row in zip(*ends.tolist(), edges, strict=True):
        key = graph.add_edge(a, b)
        (graph[a][b] if key is None else graph[a][b][key]).update(row)
    return graph


def _restored(data: Data, attributes: Sequence[Attribute]) -> nx.Graph:
    """Returns the scene that a record and exact tables hold."""
    import networkx as nx

    record: SceneRecord = data.scene
    tables = {
        level: data[f"exact_{level}"].cpu().numpy()
        for level in ("node", "edge", "graph")
    }
    ends = tables["edge"][:, :2].tolist()
    tables["edge"] = tables["edge"][:, 2:]
    rows = {
        level: _from_table(level, table, record, attributes)
        for level, table in tables.items()
    }
    keys = record.node_keys
    if keys is None:
        keys = list(range(len(tables["node"])))
    graph = getattr(nx, record.graph_class)()
    graph.graph.update(rows["graph"][0])
    graph.add_nodes_from(zip(keys, rows["node"], strict=True))
    if record.edge_keys is None:
        graph.add_edges_from(
            (keys[a], keys[b], values)
            for (a, b), values in zip(ends, rows["edge"], strict=True)
        )
        return graph
    named = zip(ends, record.edge_keys, rows["edge"], strict=True)
    for (a, b), key, values in named:
        # `add_edge` would take attributes called `key` for the key.
        graph.add_edge(keys[a], keys[b], key)
        graph[keys[a]][keys[b]][key].update(values)
    return graph


def _from_table(
    level: str,
    table: NDArray[np.int64],
    record: SceneRecord,
    attributes: Sequence[Attribute],
) -> Rows:
    """Returns the attributes of each node, edge or graph."""
    out: Rows = [{} for _ in range(len(table))]
    missing = record.missing.get(level, {})
    objects = record.objects.get(level, {})
    start = 0
    for attribute in (a for a in attributes if a.level == level):
        name, width = attribute.name, len(attribute.leaves)
        values = [MISSING] * len(table)
        if width:
            values = _exact_values(attribute, table[:, start : start + width])
            start += width
        for row in missing.get(name, ()):
            values[row] = MISSING
        for row, value in objects.get(name, {}).items():
            values[row] = value
        for found, value in zip(out, values, strict=True):
            if value is not MISSING:
                found[name] = value
    return out


def _exact_values(attribute: Attribute, bits: NDArray[np.int64]) -> list[Any]:
    """Returns the values that rows of an exact table hold."""
    if attribute.kind == "category":
        # The slot of unseen categories has no value; the record holds it.
        known = [*attribute.categories, None]
        return [known[code] for code in bits[:, 0].tolist()]
    parts = []
    for leaf, numbers in zip(attribute.leaves, bits.T, strict=True):
        if leaf == "float":
            numbers = np.ascontiguousarray(numbers).view(np.float64)
        parts.append((numbers.astype(bool) if leaf == "bool" else numbers).tolist())
    if attribute.kind != "vector":
        return parts[0]
    template = attribute.template or "float"
    return [rebuild(template, iter(row)) for row in zip(*parts, strict=True)]


def _from_features(
    level: str,
    table: Tensor | None,
    size: int,
    attributes: Sequence[Attribute],
) -> Rows:
    """Returns what the columns of a level tell of each row."""
    values = np.zeros((size, 0))
    if table is not None:
        values = table.detach().cpu().double().numpy()
    out: Rows = [{} for _ in values]
    start = 0
    for attribute in attributes:
        if attribute.role != "feature" or attribute.level != level:
            continue
        width = len(attribute.columns)
        part = values[:, start : start + width]
        start += width
        if width == 0:
            continue
        known = part[:, -1] > 0.5 if attribute.mask else np.ones(len(part), bool)
        found = _rounded_values(attribute, part[:, : len(attribute.numbers)])
        for row, value, there in zip(out, found, known.tolist(), strict=True):
            if there and value is not MISSING:
                row[attribute.name] = value
    return out


def _rounded_values(attribute: Attribute, part: NDArray[np.float64]) -> list[Any]:
    if attribute.kind == "category":
        known = [*attribute.categories, MISSING]
        codes = part.argmax(1) if attribute.one_hot else part[:, 0].round().astype(int)
        if attribute.one_hot:
            codes = np.where(part.max(1, initial=0.0) > 0.5, codes, len(known) - 1)
        return [known[code] for code in codes.tolist()]
    if attribute.mean:
        part = part * attribute.std + attribute.mean
    rows = [
        [
            value
            if leaf == "float"
            else value > 0.5
            if leaf == "bool"
            else round(value)
            for leaf, value in zip(attribute.leaves, row, strict=True)
        ]
        for row in part.tolist()
    ]
    if attribute.kind == "vector":
        return [rebuild(attribute.template or "float", iter(row)) for row in rows]
    return [row[0] for row in rows]


def _empty(data: Data, names: Sequence[str], options: SceneOptions) -> nx.Graph:
    """Returns a graph of the class of the fitted scenes, with several what fits
    best."""
    import networkx as nx

    name = names[0]
    if len(names) > 1:
        multi = "Multi" if any(name.startswith("Multi") for name in names) else ""
        both = options.relations != "labels" and bool(data.edge_reversed.any())
        name = f"{multi}Graph" if both else f"{multi}DiGraph"
    return getattr(nx, name)()
