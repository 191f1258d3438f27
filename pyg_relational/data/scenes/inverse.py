"""From data back to the scene."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.scenes.scan import MISSING, Attribute, rebuild
from pyg_relational.data.scenes.schema import SceneOptions

if TYPE_CHECKING:
    import networkx as nx


# What of a scene is no number, and the scene made again from it and its tables.


Rows = dict[Hashable, list[int]]
Objects = dict[Hashable, dict[int, Any]]


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
        missing: dict[str, Rows],
        objects: dict[str, Objects],
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


def restore_exact(data: Data, attributes: Sequence[Attribute]) -> nx.Graph:
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
        level: _rows(level, table, record, attributes)
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


def exact_values(attribute: Attribute, bits: NDArray[np.int64]) -> list[Any]:
    """Returns the values that rows of an exact table hold."""
    if attribute.kind == "category":
        # The slot of unseen categories has no value; the record holds it.
        known = [*attribute.categories, None]
        return [known[code] for code in bits[:, 0].tolist()]
    parts = [
        _leaf(leaf, bits[:, number]) for number, leaf in enumerate(attribute.leaves)
    ]
    if attribute.kind != "vector":
        return parts[0]
    template = attribute.template or "float"
    return [rebuild(template, list(row)) for row in zip(*parts, strict=True)]


def _leaf(leaf: str, bits: NDArray[np.int64]) -> list[Any]:
    if leaf == "float":
        return np.ascontiguousarray(bits).view(np.float64).tolist()
    return bits.astype(bool).tolist() if leaf == "bool" else bits.tolist()


def _rows(
    level: str,
    table: NDArray[np.int64],
    record: SceneRecord,
    attributes: Sequence[Attribute],
) -> list[dict[Hashable, Any]]:
    """Returns the attributes of each node, edge or graph."""
    out: list[dict[Hashable, Any]] = [{} for _ in range(len(table))]
    missing = record.missing.get(level, {})
    objects = record.objects.get(level, {})
    start = 0
    for attribute in (a for a in attributes if a.level == level):
        name, width = attribute.name, len(attribute.leaves)
        values = [MISSING] * len(table)
        if width:
            values = exact_values(attribute, table[:, start : start + width])
            start += width
        for row in missing.get(name, ()):
            values[row] = MISSING
        for row, value in objects.get(name, {}).items():
            values[row] = value
        for found, value in zip(out, values, strict=True):
            if value is not MISSING:
                found[name] = value
    return out


def restore_features(
    data: Data,
    columns: dict[str, NDArray[np.float64]],
    attributes: Sequence[Attribute],
    graph_class: str,
    edges: list[tuple[int, int]],
) -> nx.Graph:
    """Returns what the features tell of a scene: numbers as exact as float32, no node
    keys, no texts."""
    import networkx as nx

    rows: dict[str, list[dict[Hashable, Any]]] = {
        level: [{} for _ in range(len(table))] for level, table in columns.items()
    }
    starts = dict.fromkeys(columns, 0)
    for attribute in attributes:
        if attribute.role != "feature" or attribute.level not in columns:
            continue
        start = starts[attribute.level]
        width = len(attribute.columns)
        part = columns[attribute.level][:, start : start + width]
        starts[attribute.level] += width
        known = part[:, -1] > 0.5 if attribute.mask else np.ones(len(part), bool)
        if width == 0:
            continue
        values = _from_features(attribute, part[:, : len(attribute.numbers)])
        found = zip(rows[attribute.level], values, known.tolist(), strict=True)
        for row, value, there in found:
            if there and value is not MISSING:
                row[attribute.name] = value
    graph = getattr(nx, graph_class)()
    if rows.get("graph"):
        graph.graph.update(rows["graph"][0])
    nodes = rows.get("node") or [{} for _ in range(data.num_nodes or 0)]
    graph.add_nodes_from(enumerate(nodes))
    values = rows.get("edge") or [{} for _ in edges]
    for (a, b), row in zip(edges, values, strict=True):
        key = graph.add_edge(a, b)
        (graph[a][b] if key is None else graph[a][b][key]).update(row)
    return graph


def _from_features(attribute: Attribute, part: NDArray[np.float64]) -> list[Any]:
    if attribute.kind == "category":
        known = [*attribute.categories, MISSING]
        codes = part.argmax(1) if attribute.one_hot else part[:, 0].round().astype(int)
        if attribute.one_hot:
            codes = np.where(part.max(1, initial=0.0) > 0.5, codes, len(known) - 1)
        return [known[code] for code in codes.tolist()]
    if attribute.mean:
        part = part * attribute.std + attribute.mean
    template = attribute.template or "float"
    leaves = ["bool"] if attribute.kind == "boolean" else attribute.leaves
    rows = [
        [_rounded(leaf, value) for leaf, value in zip(leaves, row, strict=True)]
        for row in part.tolist()
    ]
    if attribute.kind == "vector":
        return [rebuild(template, row) for row in rows]
    return [row[0] for row in rows]


def _rounded(leaf: str, value: float) -> Any:
    if leaf == "float":
        return value
    return value > 0.5 if leaf == "bool" else round(value)


def to_rows(value: Tensor | None, size: int) -> NDArray[np.float64]:
    """Returns features as rows, without columns where there are none."""
    if value is None:
        return np.zeros((size, 0))
    return value.detach().cpu().double().numpy()


def invert(
    data: Data,
    attributes: Sequence[Attribute],
    facts: Mapping[str, Any],
    options: SceneOptions,
) -> nx.Graph:
    """Returns the scene, or without exact values what its features tell."""
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
