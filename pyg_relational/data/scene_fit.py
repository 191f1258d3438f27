"""One pass over scenes: which attributes there are and what they look like."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np

from pyg_relational.data.scene_attributes import LEVELS, Attribute
from pyg_relational.data.scene_scan import AttributeScan, Rules, column_of
from pyg_relational.data.scene_structure import Structure
from pyg_relational.data.scene_values import Contradiction, SceneError

Place = tuple[str, Hashable]  # level and name of an attribute


class SceneScan:
    """What scenes hold, in memory that depends on their attributes alone.

    Scans of parts can be merged; their order does not change the result beyond the
    rounding of means and deviations.

    Args:
        max_categories (int): The most values that a category may have.
        distinct (collection of Place): Attributes that shall be categories, whatever
            their values are.
    """

    def __init__(self, max_categories: int, distinct: Collection[Place] = ()) -> None:
        self.max_categories = max_categories
        self.distinct = frozenset(distinct)
        self.scans: dict[Place, AttributeScan] = {}
        self.rows = dict.fromkeys(LEVELS, 0)
        self.classes: set[str] = set()
        self.self_loops = self.parallel = False

    def add(self, structure: Structure, first: int) -> None:
        """Adds scenes.

        Args:
            structure (Structure): The scenes.
            first (int): The number of the first one, for messages.

        Raises:
            SceneError: If an attribute contains itself or is too large.
        """
        self.classes.update(structure.classes)
        ends = structure.source == structure.target
        self.self_loops |= bool(ends.any())
        if structure.edge_keys is not None and not self.parallel:
            self.parallel = _parallel(structure)
        for level in LEVELS:
            rows = structure.attributes[level]
            self.rows[level] += len(rows)
            names = dict.fromkeys(name for row in rows for name in row)
            for name in names:
                scan = self._scan((level, name))
                try:
                    scan.add(column_of(rows, name))
                except Contradiction as error:
                    raise located(error, structure, first, level, name) from error

    def merge(self, other: "SceneScan") -> None:
        """Adds what another scan found."""
        for place, scan in other.scans.items():
            self._scan(place).merge(scan)
        for level in LEVELS:
            self.rows[level] += other.rows[level]
        self.classes |= other.classes
        self.self_loops |= other.self_loops
        self.parallel |= other.parallel

    def attributes(
        self, kinds: Mapping[Place, str], roles: Mapping[Place, str], rules: Rules
    ) -> list[Attribute]:
        """Returns the attributes, sorted by level and name.

        Args:
            kinds (Mapping): The kinds that the user wants.
            roles (Mapping): The roles of what is no feature.
            rules (Rules): How attributes become features.

        Raises:
            ValueError: If the user names an attribute that no scene has, or a kind
                that does not fit.
        """
        for place in (*kinds, *roles):
            if place not in self.scans:
                known = ", ".join(sorted(f"{at}.{name}" for at, name in self.scans))
                raise ValueError(
                    f"no fitted scene has the {place[0]} attribute {place[1]!r}; the "
                    f"scenes have {known or 'no attributes'}"
                )
        order = sorted(
            self.scans, key=lambda p: (LEVELS.index(p[0]), str(p[1]), repr(p[1]))
        )
        return [
            self.scans[place].attribute(
                kinds.get(place),
                roles.get(place, "feature"),
                rules,
                self.rows[place[0]],
            )
            for place in order
        ]

    def facts(self) -> dict[str, Any]:
        """Returns what else the schema says of the scenes."""
        return {
            "scenes": self.rows["graph"],
            "nodes": self.rows["node"],
            "edges": self.rows["edge"],
            "graph_classes": sorted(self.classes),
            "self_loops": self.self_loops,
            "parallel_edges": self.parallel,
        }

    def _scan(self, place: Place) -> AttributeScan:
        if place not in self.scans:
            distinct = place in self.distinct
            self.scans[place] = AttributeScan(*place, self.max_categories, distinct)
        return self.scans[place]


def located(
    error: Contradiction, structure: Structure, first: int, level: str, name: Hashable
) -> SceneError:
    """Returns the error that says where a value is.

    Args:
        error (Contradiction): What is wrong with the value.
        structure (Structure): The scenes.
        first (int): The number of the first scene.
        level (str): `"node"`, `"edge"` or `"graph"`.
        name (Hashable): The attribute.
    """
    scene, what = structure.where(level, error.row)
    text = f"scene {first + scene}, {what}, attribute {name!r}: {error}"
    return SceneError(text, first + scene)


def _parallel(structure: Structure) -> bool:
    """Tells whether two edges of a scene go from the same source to the same target."""
    scene = np.repeat(
        np.arange(len(structure.classes)), np.diff(structure.edge_ptr).astype(int)
    )
    ends = np.stack([scene, structure.source, structure.target])
    return np.unique(ends, axis=1).shape[1] < ends.shape[1]
