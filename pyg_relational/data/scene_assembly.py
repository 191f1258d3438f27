"""The data of each scene, cut from the tables of many."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.scene_attributes import LEVELS, Attribute
from pyg_relational.data.scene_labels import ordered_pairs, pair_labels
from pyg_relational.data.scene_options import SceneOptions
from pyg_relational.data.scene_record import SceneRecord
from pyg_relational.data.scene_structure import Structure, both_ways
from pyg_relational.data.scene_tables import Tables


def assemble(
    structure: Structure,
    tables: Tables,
    attributes: Sequence[Attribute],
    options: SceneOptions,
    facts: Mapping[str, Any],
    exact: bool,
) -> list[Data]:
    """Returns the data of each scene.

    Args:
        structure (Structure): The scenes.
        tables (Tables): Their features and exact values.
        attributes (sequence of Attribute): The attributes of the schema.
        options (SceneOptions): What the user asks for.
        facts (Mapping): What else the schema says.
        exact (bool): Whether exact values travel along.
    """
    ptrs = {
        "node": structure.node_ptr,
        "edge": structure.edge_ptr,
        "graph": np.arange(len(structure.classes) + 1),
    }
    parts: dict[str, list[Any]] = {"x": _cut(tables.features["node"], ptrs["node"])}
    edges, backward, edge_ptr = both_ways(structure)
    source = np.where(backward, structure.target[edges], structure.source[edges])
    target = np.where(backward, structure.source[edges], structure.target[edges])
    relation = np.zeros(len(edges), dtype=np.int64)
    if tables.edge_type is not None:
        relation = tables.edge_type[edges]
    if options.relations != "labels":
        parts["edge_index"] = _cut(np.stack([source, target]), edge_ptr, dim=1)
        if tables.features["edge"].shape[1]:
            parts["edge_attr"] = _cut(tables.features["edge"][edges], edge_ptr)
        if tables.edge_type is not None:
            parts["edge_type"] = _cut(relation, edge_ptr)
        parts["edge_reversed"] = _cut(backward, edge_ptr)
    if tables.features["graph"].shape[1]:
        parts["u"] = _cut(tables.features["graph"], ptrs["graph"])
    if tables.targets is not None:
        level = next(a.level for a in attributes if a.role == "target")
        aligned = level == "edge" and options.relations != "labels"
        rows = tables.targets[edges] if aligned else tables.targets
        parts["y"] = _cut(rows, edge_ptr if aligned else ptrs[level])
    if options.relations != "edges":
        classes = len(options.relation_names(attributes))
        labels = _labels(
            structure,
            (source, target, relation),
            edge_ptr,
            classes if facts["parallel_edges"] else None,
            facts["self_loops"],
        )
        parts["edge_label_index"], parts["edge_label"] = labels
    if exact:
        for level in LEVELS:
            parts[f"exact_{level}"] = _cut(tables.exact[level], ptrs[level])
    if exact:
        numbers = range(len(structure.classes))
        parts["scene"] = [_record(structure, tables, number) for number in numbers]
    return [_data(parts, row) for row in zip(*parts.values(), strict=True)]


def _data(names: Iterable[str], values: Iterable[Any]) -> Data:
    data = Data()
    # Where attributes of `data` end, and a third of the time of setting them.
    data._store._mapping.update(zip(names, values, strict=True))
    return data


def _cut(rows: NDArray[Any], ptr: NDArray[np.int64], dim: int = 0) -> list[Tensor]:
    """Returns the rows of each scene, each in memory of its own."""
    ends = zip(ptr.tolist(), ptr[1:].tolist(), strict=False)
    if dim == 1:
        return [torch.from_numpy(rows[:, a:b].copy()) for a, b in ends]
    return [torch.from_numpy(rows[a:b].copy()) for a, b in ends]


def _labels(
    structure: Structure,
    edges: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    edge_ptr: NDArray[np.int64],
    classes: int | None,
    self_pairs: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    pairs, labels = [], []
    for number, size in enumerate(np.diff(structure.node_ptr).tolist()):
        part = slice(edge_ptr[number], edge_ptr[number + 1])
        ends, places = ordered_pairs(size, self_pairs)
        pairs.append(ends.clone())
        source, target, relation = (values[part] for values in edges)
        labels.append(pair_labels(size, source, target, relation, places, classes))
    return pairs, labels


def _record(structure: Structure, tables: Tables, number: int) -> SceneRecord:
    name = structure.classes[number]
    keys: list[Hashable] | None = structure.node_keys[number]
    assert keys is not None
    if keys == list(range(len(keys))) and set(map(type, keys)) <= {int}:
        keys = None
    edge_keys = None
    if name.startswith("Multi"):
        assert structure.edge_keys is not None
        start, end = structure.edge_ptr[number : number + 2]
        edge_keys = structure.edge_keys[start:end]
    missing = {
        level: {attribute: list(rows) for attribute, rows in found.items()}
        for level, found in tables.missing.get(number, {}).items()
    }
    objects = tables.objects.get(number, {})
    return SceneRecord(name, keys, edge_keys, missing, objects)
