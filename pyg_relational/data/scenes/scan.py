"""Scenes read together, and what their attributes are, found in one pass with bounded
memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scenes.schema import (
    CONTAINERS,
    LEVELS,
    Attribute,
    Place,
    SceneOptions,
    Template,
    check_bounds,
    flatten,
    leaves_of,
)

if TYPE_CHECKING:
    import networkx as nx

Rows = list[dict[Hashable, Any]]


class _Missing:
    """The type of what stands for an attribute that is not there."""


MISSING: Any = _Missing()


class SceneError(ValueError):
    """A scene that cannot be encoded; the message says what, where and what to do.

    Args:
        reason (str): What is wrong with the scene, and where in it.
        position (int): Which scene, counted from 0.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"scene {position}, {reason}")
        self.reason = reason
        self.position = position


class Contradiction(Exception):
    """A value, in a row of its column, that does not fit its attribute; a
    :class:`SceneError` says where."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class Structure:
    """The nodes and edges of several scenes, one after the other."""

    classes: list[str]  # the NetworkX class of each scene
    node_keys: list[list[Hashable]]  # the node keys of each scene
    # Where the nodes, edges and graphs of each scene begin, `[B + 1]`.
    ptr: dict[str, NDArray[np.int64]]
    source: NDArray[np.int64]  # the place of each edge's source in its scene, `[E]`
    target: NDArray[np.int64]  # likewise of its target, `[E]`
    edge_keys: list[Hashable] | None  # the key of each edge, if there are multigraphs
    attributes: dict[str, Rows]  # the attribute dictionaries of nodes, edges and graphs

    @property
    def undirected(self) -> NDArray[np.bool_]:
        """Whether each scene is undirected, `[B]`."""
        return np.array(["Di" not in name for name in self.classes], dtype=bool)

    @property
    def edge_scene(self) -> NDArray[np.int64]:
        """The scene of each edge, `[E]`."""
        sizes = np.diff(self.ptr["edge"])
        return np.repeat(np.arange(len(sizes)), sizes)

    def error(
        self, wrong: Contradiction, first: int, level: str, name: Hashable
    ) -> SceneError:
        """Returns the error that says where a value is."""
        row, what = wrong.row, "graph"
        scene = int(np.searchsorted(self.ptr[level], row, side="right")) - 1
        keys = self.node_keys[scene]
        if level == "node":
            what = f"node {keys[row - int(self.ptr[level][scene])]!r}"
        elif level == "edge":
            ends: tuple[Hashable, ...] = keys[self.source[row]], keys[self.target[row]]
            if self.edge_keys is not None and self.classes[scene].startswith("Multi"):
                ends = (*ends, self.edge_keys[row])
            what = f"edge {ends!r}"
        return SceneError(f"{what}, attribute {name!r}: {wrong}", first + scene)


def read_structure(graphs: Sequence[nx.Graph]) -> Structure:
    """Returns the nodes and edges of graphs, edges in the order of `graph.edges`,
    without a loop over edges."""
    classes = [
        ("Multi" if graph.is_multigraph() else "")
        + ("DiGraph" if graph.is_directed() else "Graph")
        for graph in graphs
    ]
    multi = any(name.startswith("Multi") for name in classes)
    keys: list[list[Hashable]] = []
    nodes: Rows = []
    edges: Rows = []
    edge_keys: list[Hashable] = []
    degrees: list[int] = []
    targets: list[int] = []
    for graph, name in zip(graphs, classes, strict=True):
        names = list(graph)
        keys.append(names)
        nodes.extend(values for _, values in graph.nodes(data=True))
        place = dict(zip(names, range(len(names)), strict=True)).__getitem__
        if name.startswith("Multi"):
            for _, neighbours in graph.adjacency():
                counts = [len(parallel) for parallel in neighbours.values()]
                degrees.append(sum(counts))
                for node, count in zip(neighbours, counts, strict=True):
                    targets.extend([place(node)] * count)
                edge_keys.extend(chain.from_iterable(neighbours.values()))
                for parallel in neighbours.values():
                    edges.extend(parallel.values())
            continue
        before = len(edges)
        for _, neighbours in graph.adjacency():
            degrees.append(len(neighbours))
            targets.extend(map(place, neighbours))
            edges.extend(neighbours.values())
        if multi:
            edge_keys.extend([None] * (len(edges) - before))
    sizes = np.array([len(names) for names in keys], dtype=np.int64)
    node_ptr = pointers(sizes)
    local = np.arange(node_ptr[-1]) - np.repeat(node_ptr[:-1], sizes)
    degree = np.array(degrees, dtype=np.int64)
    source, target = np.repeat(local, degree), np.array(targets, dtype=np.int64)
    scene = np.repeat(np.repeat(np.arange(len(sizes)), sizes), degree)
    undirected = np.array(["Di" not in name for name in classes], dtype=bool)
    if undirected.any():
        # The adjacency names an undirected edge twice; `graph.edges` from its first
        # end, which is the one that comes first among the nodes.
        keep = (target >= source) | ~undirected[scene]
        chosen = keep.tolist()
        edges = list(compress(edges, chosen))
        edge_keys = list(compress(edge_keys, chosen))
        source, target, scene = source[keep], target[keep], scene[keep]
    return Structure(
        classes=classes,
        node_keys=keys,
        ptr={
            "node": node_ptr,
            "edge": pointers(np.bincount(scene, minlength=len(sizes))),
            "graph": np.arange(len(classes) + 1),
        },
        source=source,
        target=target,
        edge_keys=edge_keys if multi else None,
        attributes={
            "node": nodes,
            "edge": edges,
            "graph": [graph.graph for graph in graphs],
        },
    )


def pointers(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns where parts of given sizes begin and the last one ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def column_of(rows: Rows, name: Hashable) -> list[Any]:
    """Returns the values of an attribute, `MISSING` where it is not there."""
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name, MISSING) for row in rows]


def as_float(value: Any) -> float:
    """Returns a number as float, `nan` where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return float("nan")


class SceneScan:
    """What scenes hold, in memory that depends on their attributes alone.

    Scans of parts can be merged; their order does not change the result beyond the
    rounding of means and deviations.

    Args:
        options (SceneOptions): What the user asks for: the most values that a category
            may have, and attributes that shall be categories, whatever their values.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        kinds = options.wanted_kinds()
        self.categories = {place for place in kinds if kinds[place] == "category"}
        self.scans: dict[Place, AttributeScan] = {}
        self.rows = dict.fromkeys(LEVELS, 0)
        self.classes: set[str] = set()
        self.self_loops = self.parallel = False

    def add(self, structure: Structure, first: int) -> None:
        """Adds scenes, the first of which has a number."""
        self.classes.update(structure.classes)
        source, target = structure.source, structure.target
        self.self_loops |= bool((source == target).any())
        if structure.edge_keys is not None and not self.parallel:
            ends = np.stack([structure.edge_scene, source, target])
            self.parallel = np.unique(ends, axis=1).shape[1] < ends.shape[1]
        for level in LEVELS:
            rows = structure.attributes[level]
            self.rows[level] += len(rows)
            for name in dict.fromkeys(name for row in rows for name in row):
                try:
                    self._scan((level, name)).add(column_of(rows, name))
                except Contradiction as error:
                    raise structure.error(error, first, level, name) from error

    def merge(self, other: SceneScan) -> None:
        """Adds what another scan found."""
        for place, scan in other.scans.items():
            self._scan(place).merge(scan)
        for level in LEVELS:
            self.rows[level] += other.rows[level]
        self.classes |= other.classes
        self.self_loops |= other.self_loops
        self.parallel |= other.parallel

    def attributes(self) -> list[Attribute]:
        """Returns the attributes, sorted by level and name."""
        kinds, roles = self.options.wanted_kinds(), self.options.roles()
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
        found = []
        for place in order:
            kind, role = kinds.get(place), roles.get(place, "feature")
            scan, rows = self.scans[place], self.rows[place[0]]
            attribute = scan.attribute(kind, role, self.options, rows)
            if role == "target" and not attribute.leaves:
                raise ValueError(
                    f"the target '{attribute.level}.{attribute.name}' is of kind "
                    f"'{attribute.kind}'; expected a number, vector, category or "
                    f"truth value; choose another one or say in 'kinds' what it is"
                )
            found.append(attribute)
        return found

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
            limit, distinct = self.options.max_categories, place in self.categories
            self.scans[place] = AttributeScan(*place, limit, distinct)
        return self.scans[place]


FLOATS, INTS, BOOLS = (float, np.floating), (int, np.integer), (bool, np.bool_)
NESTED = {"dict", "list", "tuple", "ndarray", "Tensor"}
SENTENCE = 3  # words: longer texts on average are no categories
SAMPLE = 100  # texts of a column whose words are counted


class AttributeScan:
    """Counts the values of one attribute and tells its kind.

    Args:
        level (str): `"node"`, `"edge"` or `"graph"`.
        name (Hashable): The name of the attribute.
        limit (int): Distinct values are followed up to one more.
        distinct (bool): Follow distinct values of any type, not of text alone.
    """

    def __init__(self, level: str, name: Hashable, limit: int, distinct: bool) -> None:
        self.level, self.name = level, name
        self.limit, self.distinct = limit, distinct
        self.types: Counter[str] = Counter()
        self.counts = Counter(present=0, none=0, not_finite=0)
        self.values: set[tuple[type, Hashable]] = set()
        self.texts = self.words = 0
        self.numeric = True  # whether all values are numbers or truth values
        self.template: Template | None = None
        self.leaves: list[str] | None = None
        self.nested = True  # whether all values flatten to the same numbers
        self.moments: Moments | None = None

    def add(self, column: list[Any]) -> None:
        """Adds values, `MISSING` and `None` among them."""
        types = Counter(map(type, column))
        types.pop(type(MISSING), None)
        self.counts["none"] += types.pop(type(None), 0)
        self.counts["present"] += sum(types.values())
        self.types.update({kind.__name__: n for kind, n in types.items()})
        if sum(types.values()) < len(column):
            column = [v for v in column if v is not MISSING and v is not None]
        self._add_distinct(column, types)
        if any(issubclass(kind, str) for kind in types):
            texts = [v for v in islice(column, SAMPLE) if isinstance(v, str)]
            self.texts += len(texts)
            self.words += sum(len(text.split()) for text in texts)
        if any(issubclass(kind, (np.ndarray, Tensor, *CONTAINERS)) for kind in types):
            self._add_nested(column)
            return
        self.numeric &= all(
            issubclass(kind, (*FLOATS, *INTS, *BOOLS)) for kind in types
        )
        if self.numeric and types:
            self._add_numbers(np.array([as_float(value) for value in column])[:, None])

    def merge(self, other: AttributeScan) -> None:
        """Adds what another scan of the same attribute counted."""
        self.types.update(other.types)
        self.counts.update(other.counts)
        self.values = set(islice(self.values | other.values, self.limit + 1))
        self.texts += other.texts
        self.words += other.words
        self.numeric &= other.numeric
        self.nested &= other.nested
        if other.leaves is not None:
            self._add_leaves(other.leaves, other.template)
        if other.moments is not None:
            self._add_moments(other.moments)

    def attribute(
        self, kind: str | None, role: str, options: SceneOptions, rows: int
    ) -> Attribute:
        """Returns the attribute as it shall be encoded."""
        found = self._kind()
        kind = kind or found
        self._check_wanted(kind, found)
        more: dict[str, Any] = {}
        if kind == "category":
            order = sorted(self.values, key=lambda v: (v[0].__name__, v[1]))
            more["categories"] = tuple(value for _, value in order)
        if kind == "number":
            floats = any("float" in name for name in self.types)
            more["template"] = "float" if floats or not self.types else "int"
        if kind == "vector":
            more["template"] = self.template
        scaled = options.standardize and role == "feature" and self.moments is not None
        if kind in ("number", "vector") and scaled:
            assert self.moments is not None
            more["mean"], more["std"] = self.moments.scale()
        missing = rows - self.counts["present"] - self.counts["none"]
        counts = {**self.counts, "missing": missing}
        unknown = counts["missing"] + counts["none"] + counts["not_finite"] > 0
        columns = kind not in ("text", "mixed") and role == "feature"
        return Attribute(
            level=self.level,
            name=self.name,
            kind=kind,
            role=role,
            mask=columns and (unknown or options.masks == "always"),
            one_hot=options.category == "one-hot",
            unseen=options.unseen == "slot",
            counts=counts,
            types=dict(self.types),
            **more,
        )

    def _kind(self) -> str:
        names = set(self.types)
        if not names:
            return "mixed"
        if self.leaves is not None:
            return "vector" if self.nested and names <= NESTED else "mixed"
        if names <= {"bool", "bool_"}:
            return "boolean"
        if self.numeric:
            return "mixed" if names & {"bool", "bool_"} else "number"
        if names <= {"str", "str_"}:
            few = len(self.values) <= self.limit
            short = self.words <= SENTENCE * self.texts
            return "category" if few and short else "text"
        return "mixed"

    def _check_wanted(self, kind: str, found: str) -> None:
        what = f"{self.level} attribute {self.name!r}"
        types = ", ".join(sorted(self.types)) or "no value"
        if kind == "category" and len(self.values) > self.limit:
            raise ValueError(
                f"{what} has more than {self.limit} values, too many for a category; "
                f"raise 'max_categories' or choose another kind in 'kinds'"
            )
        numbers = found in ("number", "boolean") or not self.types
        if (
            (kind == "number" and not numbers)
            or (kind == "boolean" and found != "boolean" and self.types)
            or (kind == "vector" and found != "vector")
            or (kind == "category" and self.leaves is not None)
        ):
            raise ValueError(
                f"{what} cannot be of kind '{kind}': its values are of kind '{found}' "
                f"({types}); choose another kind in 'kinds' or list it in 'leave_out'"
            )

    def _add_distinct(self, column: Iterable[Any], types: Counter[type]) -> None:
        if len(self.values) > self.limit:
            return
        scalar = (str, *FLOATS, *INTS, *BOOLS) if self.distinct else (str,)
        if not any(issubclass(kind, scalar) for kind in types):
            return
        for value in column:
            if isinstance(value, scalar):
                plain = value.item() if isinstance(value, np.generic) else value
                self.values.add((type(plain), plain))
                if len(self.values) > self.limit:
                    return

    def _add_nested(self, column: list[Any]) -> None:
        rows: list[list[float]] = []
        for row, value in enumerate(column):
            try:
                check_bounds(value)
            except ValueError as error:
                raise Contradiction(row, str(error)) from error
            flat = flatten(value) if self.nested else None
            if flat is None:
                self.nested = False
                self.leaves = self.leaves or []
                continue
            self._add_leaves([leaf for leaf, _ in leaves_of(flat[0])], flat[0])
            rows.append([as_float(number) for number in flat[1]])
        if self.nested and rows:
            self._add_numbers(np.array(rows).reshape(len(rows), -1))

    def _add_leaves(self, leaves: list[str], template: Template | None) -> None:
        if self.leaves is None:
            self.leaves, self.template = leaves, template
        self.nested &= leaves == self.leaves

    def _add_numbers(self, rows: NDArray[np.float64]) -> None:
        self.counts["not_finite"] += int((~np.isfinite(rows)).any(1).sum())
        part = Moments(rows.shape[1])
        part.add(rows)
        self._add_moments(part)

    def _add_moments(self, part: Moments) -> None:
        if self.moments is None:
            self.moments = part
        elif len(self.moments.mean) == len(part.mean):
            self.moments.merge(part)


class Moments:
    """Number, mean and squared deviations of columns, from parts of their rows."""

    def __init__(self, size: int) -> None:
        self.count = np.zeros(size)
        self.mean = np.zeros(size)
        self.square = np.zeros(size)

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, rows: NDArray[np.float64]) -> None:
        """Adds rows, `[R, S]`; those that are not finite do not count."""
        part = Moments(rows.shape[1])
        finite = np.isfinite(rows)
        rows = np.where(finite, rows, 0.0)
        part.count = finite.sum(0).astype(np.float64)
        part.mean = rows.sum(0) / np.maximum(part.count, 1)
        part.square = (np.where(finite, rows - part.mean, 0.0) ** 2).sum(0)
        self.merge(part)

    @np.errstate(over="ignore", invalid="ignore")
    def merge(self, other: Moments) -> None:
        """Adds what another part counted."""
        total = np.maximum(self.count + other.count, 1)
        change = other.mean - self.mean
        self.square += other.square + change**2 * self.count * other.count / total
        self.mean = self.mean + change * other.count / total
        self.count = self.count + other.count

    def scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns means and deviations; one for what is constant, zero and one for
        what overflows."""
        deviation = np.sqrt(self.square / np.maximum(self.count, 1))
        finite = np.isfinite(deviation) & np.isfinite(self.mean)
        mean = np.where(finite, self.mean, 0.0)
        deviation = np.where(finite & (deviation > 0), deviation, 1.0)
        return tuple(mean.tolist()), tuple(deviation.tolist())
