"""Features and exact tables of several scenes at once."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_relational.data.scene_attributes import LEVELS, Attribute
from pyg_relational.data.scene_columns import Column, features, read_column
from pyg_relational.data.scene_fit import located
from pyg_relational.data.scene_labels import read_targets
from pyg_relational.data.scene_structure import Structure
from pyg_relational.data.scene_values import Contradiction, SceneError

Odd = dict[int, dict[str, dict[Hashable, Any]]]


@dataclass
class Tables:
    """What several scenes become, rows one after the other.

    Args:
        features (dict): By level, `[R, F]`, float32.
        exact (dict): By level, `[R, K]`, int64; of edges, source and target come first.
        missing (dict): By scene, level and attribute, the rows without it.
        objects (dict): By scene, level and attribute, values by row.
        targets (ndarray, optional): The targets. (default: `None`)
        edge_type (ndarray, optional): The relation of each edge, `[E]`.
            (default: `None`)
    """

    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    exact: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    missing: Odd = field(default_factory=dict)
    objects: Odd = field(default_factory=dict)
    targets: NDArray[Any] | None = None
    edge_type: NDArray[np.int64] | None = None


def read_tables(
    structure: Structure,
    attributes: Sequence[Attribute],
    edge_type: Hashable | None,
    exact: bool,
    first: int,
) -> Tables:
    """Returns features, exact values and targets.

    Args:
        structure (Structure): The scenes.
        attributes (sequence of Attribute): The attributes of the schema.
        edge_type (Hashable, optional): The edge attribute that names the relation.
        exact (bool): Whether exact values are wanted.
        first (int): The number of the first scene, for messages.

    Raises:
        SceneError: If a scene contradicts the schema.
    """
    out = Tables()
    pointers = {
        "node": structure.node_ptr,
        "edge": structure.edge_ptr,
        "graph": np.arange(len(structure.classes) + 1),
    }
    for level in LEVELS:
        rows = structure.attributes[level]
        parts: list[NDArray[Any]] = [np.zeros((len(rows), 0))]
        bits: list[NDArray[np.int64]] = [np.zeros((len(rows), 0), np.int64)]
        if level == "edge":
            bits = [np.stack([structure.source, structure.target], axis=1)]
        present = 0
        for attribute in (a for a in attributes if a.level == level):
            try:
                column = read_column(attribute, rows)
                if attribute.role == "feature":
                    parts.append(features(attribute, column))
            except Contradiction as error:
                raise located(error, structure, first, level, attribute.name) from error
            if attribute.leaves:
                present += len(rows) - len(column.missing)
            else:
                present += len(column.objects)
            if level == "edge" and attribute.name == edge_type:
                out.edge_type = _relation(attribute, column)
            if exact:
                bits.append(column.bits)
                name = attribute.name
                _split(out.objects, level, name, column.objects, pointers[level])
                gone = dict.fromkeys(column.missing)
                _split(out.missing, level, name, gone, pointers[level])
        if present < sum(map(len, rows)):
            raise _unknown(structure, attributes, level, first)
        out.features[level] = np.concatenate(parts, axis=1, dtype=np.float32)
        out.exact[level] = np.concatenate(bits, axis=1)
    _add_targets(out, structure, attributes, first)
    return out


def _add_targets(
    out: Tables, structure: Structure, attributes: Sequence[Attribute], first: int
) -> None:
    targets = [a for a in attributes if a.role == "target"]
    if not targets:
        return
    level = targets[0].level
    out.targets = read_targets(targets, structure.attributes[level])


def _relation(attribute: Attribute, column: Column) -> NDArray[np.int64]:
    """Returns the relation of each edge; unknown ones have the slot of unseen ones."""
    codes = column.numbers[:, 0].astype(np.int64)
    if column.known is not None:
        codes[~column.known] = len(attribute.categories)
    return codes


def _split(
    out: Odd,
    level: str,
    name: Hashable,
    values: dict[int, Any],
    ptr: NDArray[np.int64],
) -> None:
    """Hands values by row to the scenes that the rows belong to."""
    if not values:
        return
    rows = np.fromiter(values, dtype=np.int64, count=len(values))
    scenes = np.searchsorted(ptr, rows, side="right") - 1
    local = (rows - ptr[scenes]).tolist()
    by_scene: defaultdict[int, dict[int, Any]] = defaultdict(dict)
    for scene, row, value in zip(scenes.tolist(), local, values.values(), strict=True):
        by_scene[scene][row] = value
    for scene, found in by_scene.items():
        out.setdefault(scene, {}).setdefault(level, {})[name] = found


def _unknown(
    structure: Structure, attributes: Sequence[Attribute], level: str, first: int
) -> SceneError:
    known = [a.name for a in attributes if a.level == level]
    for row, values in enumerate(structure.attributes[level]):
        for name in values:
            if name not in known:
                listed = ", ".join(repr(n) for n in known[:8]) or "none"
                text = (
                    f"is not in the schema ({level} attributes: {listed}); remove it, "
                    f"or fit again with scenes that have it"
                )
                return located(Contradiction(row, text), structure, first, level, name)
    raise AssertionError("every attribute is in the schema")
