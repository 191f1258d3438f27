"""What the values of an attribute are, found in one pass with bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    import networkx as nx


# Means and deviations from parts of the values.


class Moments:
    """Number, mean and squared deviations of columns, from parts of them."""

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


# Nodes and edges of several NetworkX graphs, read without a loop over edges.


CLASSES = ("DiGraph", "Graph", "MultiDiGraph", "MultiGraph")


@dataclass(frozen=True)
class Structure:
    """The nodes and edges of several scenes, one after the other.

    Args:
        classes (list of str): The NetworkX class of each scene.
        node_keys (list): The node keys of each scene.
        node_ptr (ndarray): Where the nodes of each scene begin, `[B + 1]`.
        edge_ptr (ndarray): Where the edges of each scene begin, `[B + 1]`.
        source (ndarray): The place of each edge's source in its scene, `[E]`.
        target (ndarray): Likewise of its target, `[E]`.
        edge_keys (list, optional): The key of each edge, if there are multigraphs.
        attributes (dict): The attribute dictionaries of nodes, edges and graphs.
    """

    classes: list[str]
    node_keys: list[list[Hashable]]
    node_ptr: NDArray[np.int64]
    edge_ptr: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    edge_keys: list[Hashable] | None
    attributes: dict[str, list[dict[Hashable, Any]]]

    def where(self, level: str, row: int) -> tuple[int, str]:
        """Returns the scene of a row, and how its node or edge is called."""
        if level == "graph":
            return row, "graph"
        ptr = self.node_ptr if level == "node" else self.edge_ptr
        scene = int(np.searchsorted(ptr, row, side="right")) - 1
        keys = self.node_keys[scene]
        if level == "node":
            return scene, f"node {keys[row - int(ptr[scene])]!r}"
        ends = (keys[self.source[row]], keys[self.target[row]])
        if self.edge_keys is not None and self.classes[scene].startswith("Multi"):
            return scene, f"edge {(*ends, self.edge_keys[row])!r}"
        return scene, f"edge {ends!r}"


def graph_class(graph: nx.Graph) -> str:
    """Returns which of the four NetworkX classes a graph is of."""
    multi = "Multi" if graph.is_multigraph() else ""
    return multi + ("DiGraph" if graph.is_directed() else "Graph")


def read_structure(graphs: Sequence[nx.Graph]) -> Structure:
    """Returns the nodes and edges of graphs, edges in the order of `graph.edges`."""
    classes = [graph_class(graph) for graph in graphs]
    multi = any(name.startswith("Multi") for name in classes)
    keys: list[list[Hashable]] = []
    nodes: list[dict[Hashable, Any]] = []
    edges: list[dict[Hashable, Any]] = []
    edge_keys: list[Hashable] = []
    degrees: list[int] = []
    targets: list[int] = []
    for graph, name in zip(graphs, classes, strict=True):
        names = list(graph)
        keys.append(names)
        nodes.extend(values for _, values in graph.nodes(data=True))
        place = dict(zip(names, range(len(names)), strict=True)).__getitem__
        if name.startswith("Multi"):
            _read_multi(graph, place, degrees, targets, edges, edge_keys)
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
    count = np.array(degrees, dtype=np.int64)
    source, target = np.repeat(local, count), np.array(targets, dtype=np.int64)
    scene = np.repeat(np.repeat(np.arange(len(sizes)), sizes), count)
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
        node_ptr=node_ptr,
        edge_ptr=pointers(np.bincount(scene, minlength=len(sizes))),
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


def both_ways(
    structure: Structure,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Returns the edges with those of undirected scenes a second time, reversed, after
    the original ones of their scene; a self-loop has only one direction."""
    sizes = np.diff(structure.edge_ptr)
    rows = np.arange(len(structure.source))
    undirected = np.array(["Di" not in name for name in structure.classes], dtype=bool)
    if not undirected.any():
        return rows, np.zeros(len(rows), dtype=bool), structure.edge_ptr
    scene = np.repeat(np.arange(len(sizes)), sizes)
    again = rows[undirected[scene] & (structure.source != structure.target)]
    both = np.concatenate([rows, again])
    order = np.argsort(scene[both], kind="stable")
    ptr = pointers(np.bincount(scene[both], minlength=len(sizes)))
    return both[order], order >= len(rows), ptr


def _read_multi(
    graph: nx.Graph,
    place: Any,
    degrees: list[int],
    targets: list[int],
    edges: list[dict[Hashable, Any]],
    edge_keys: list[Hashable],
) -> None:
    for _, neighbours in graph.adjacency():
        counts = [len(parallel) for parallel in neighbours.values()]
        degrees.append(sum(counts))
        for node, count in zip(neighbours, counts, strict=True):
            targets.extend([place(node)] * count)
        edge_keys.extend(chain.from_iterable(neighbours.values()))
        for parallel in neighbours.values():
            edges.extend(parallel.values())


# Values of attributes of scenes: bounds, nested numbers side by side, and JSON.


MAX_DEPTH = 32
MAX_ITEMS = 1_000_000
CONTAINERS = (dict, list, tuple, set, frozenset)
AXES = ("x", "y", "z")
POSITIONS = ("pos", "position", "location", "centre", "center", "velocity")
# What a nested value looks like: "float", {"tuple": ["float", "int"]}, {"dict": ...}
Template = str | dict[str, Any]


class _Missing:
    """The type of what stands for an attribute that is not there."""


MISSING: Any = _Missing()


class SceneError(ValueError):
    """A scene that cannot be encoded; the message says what, where and what to do.

    Args:
        message (str): The whole message.
        position (int): Which scene, counted from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Contradiction(Exception):
    """A value that does not fit its attribute; a :class:`SceneError` says where.

    Args:
        row (int): The row of the column it is in.
        message (str): What is wrong and what to do.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def shortened(value: Any, length: int = 60) -> str:
    """Returns a value as text, cut to a length; never fails, even on cycles."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def check_bounds(value: Any) -> None:
    """Raises a `ValueError` if a nested value contains itself, is nested deeper than
    `MAX_DEPTH` or holds more than `MAX_ITEMS` items."""
    items = 0
    above: set[int] = set()

    def walk(inner: Any, depth: int) -> None:
        nonlocal items
        items += inner.size if isinstance(inner, np.ndarray) else 1
        if items > MAX_ITEMS:
            raise ValueError(
                f"holds more than {MAX_ITEMS:,} items; keep large content in a file "
                f"and its name in the scene"
            )
        if not isinstance(inner, CONTAINERS):
            return
        if id(inner) in above:
            raise ValueError("contains itself; break the cycle")
        if depth >= MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        above.add(id(inner))
        if isinstance(inner, dict):
            for key in inner:
                walk(key, depth + 1)
        for part in inner.values() if isinstance(inner, dict) else inner:
            walk(part, depth + 1)
        above.remove(id(inner))

    walk(value, 0)


def flatten(value: Any) -> tuple[Template, list[Any]] | None:
    """Returns what a nested value looks like and its numbers side by side, or `None`
    if it holds anything but numbers."""
    kind = type(value)
    if kind in (float, int, bool):
        return kind.__name__, [value]
    if kind is np.ndarray and value.dtype.kind in "fiub":
        if value.dtype.itemsize > 8 or not value.dtype.isnative:
            return None
        return _array("ndarray", value.dtype.name, value.shape), value.ravel().tolist()
    if kind is Tensor and not value.is_complex() and value.layout == torch.strided:
        name = str(value.dtype).removeprefix("torch.")
        flat = value.detach().flatten().tolist()
        return _array("tensor", name, value.shape), flat
    if kind not in (dict, list, tuple) or not value:
        return None
    if kind is dict and not all(type(key) is str for key in value):
        return None
    parts = [flatten(part) for part in (value.values() if kind is dict else value)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    templates = [template for template, _ in found]
    inner = dict(zip(value, templates, strict=True)) if kind is dict else templates
    return {kind.__name__: inner}, [number for _, flat in found for number in flat]


def leaf_names(name: str, template: Template) -> list[str]:
    """Returns the name of each number of a nested value, such as `pos.x`."""
    if isinstance(template, str):
        return [name]
    ((kind, inner),) = template.items()
    if kind in ("ndarray", "tensor"):
        shape = inner["shape"]
        if not shape:
            return [name]
        if len(shape) == 1:
            return [f"{name}.{part}" for part in _parts(name, shape[0])]
        return [".".join([name, *map(str, place)]) for place in np.ndindex(*shape)]
    if kind == "dict":
        parts = list(inner)
        inner = list(inner.values())
    else:
        parts = _parts(name, len(inner))
    pairs = zip(parts, inner, strict=True)
    return [leaf for part, sub in pairs for leaf in leaf_names(f"{name}.{part}", sub)]


def leaf_types(template: Template) -> list[str]:
    """Returns of each number of a nested value whether it is float, int or bool."""
    if isinstance(template, str):
        return [template]
    ((kind, inner),) = template.items()
    if kind in ("ndarray", "tensor"):
        name = inner["dtype"]
        exact = "bool" if name == "bool" else "int" if "int" in name else "float"
        return [exact] * math.prod(inner["shape"])
    parts = inner.values() if kind == "dict" else inner
    return [leaf for part in parts for leaf in leaf_types(part)]


def rebuild(template: Template, numbers: list[Any]) -> Any:
    """Returns the nested value that :func:`flatten` took apart."""
    if isinstance(template, str):
        return numbers[0]
    ((kind, inner),) = template.items()
    if kind == "ndarray":
        return np.array(numbers, dtype=inner["dtype"]).reshape(inner["shape"])
    if kind == "tensor":
        dtype = getattr(torch, inner["dtype"])
        return torch.tensor(numbers, dtype=dtype).reshape(inner["shape"])
    parts, start = [], 0
    for part in inner.values() if kind == "dict" else inner:
        size = len(leaf_types(part))
        parts.append(rebuild(part, numbers[start : start + size]))
        start += size
    if kind == "dict":
        return dict(zip(inner, parts, strict=True))
    return tuple(parts) if kind == "tuple" else parts


def to_json(value: Any) -> Any:
    """Returns a name or a category as JSON can hold it, told apart by type."""
    if value is None or type(value) in (str, int, bool):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is tuple:
        return {"tuple": [to_json(part) for part in value]}
    raise TypeError(
        f"a schema holds text, numbers, truth values, None and tuples of them as names "
        f"and categories (got {shortened(value)} of type {type(value).__name__})"
    )


def from_json(value: Any) -> Any:
    """Returns what :func:`to_json` was given."""
    if isinstance(value, Mapping):
        if "float" in value:
            return float(value["float"])
        return tuple(from_json(part) for part in value["tuple"])
    return value


def _array(kind: str, dtype: str, shape: Any) -> Template:
    return {kind: {"dtype": dtype, "shape": list(shape)}}


def _parts(name: str, size: int) -> list[str]:
    """Positions in the plane and in space are called x, y and z."""
    last = name.rpartition(".")[2].lower()
    if last in POSITIONS and size in (2, 3):
        return list(AXES[:size])
    return [str(number) for number in range(size)]


# What is known of each attribute of scenes, and its JSON form.


LEVELS = ("node", "edge", "graph")
KINDS = ("number", "boolean", "category", "text", "vector", "mixed")
UNSEEN = "<unseen>"


@dataclass(frozen=True)
class Attribute:
    """An attribute of nodes, edges or graphs.

    Args:
        level (str): `"node"`, `"edge"` or `"graph"`.
        name (Hashable): Its name in the scenes.
        kind (str): `"number"`, `"boolean"`, `"category"`, `"text"`, `"vector"` or
            `"mixed"`; the features of text and mixed ones are empty.
        role (str): `"feature"`, `"target"` or `"left out"`. (default: `"feature"`)
        template (Template, optional): What values look like: `"float"`, `"int"` or
            `"bool"`, or how numbers are nested. (default: `None`)
        mask (bool): Whether a column tells if the value is known.
            (default: `False`)
        mean (tuple of float): What is taken from each number. (default: `()`)
        std (tuple of float): What each number is then divided by. (default: `()`)
        categories (tuple): The values of a category, in the order of their codes.
            (default: `()`)
        one_hot (bool): Whether each category has its column. (default: `True`)
        unseen (bool): Whether unseen categories have a slot of their own, after all
            others. (default: `True`)
        counts (Mapping): How many values are `present`, `missing`, `none` and
            `not_finite` in the fitted scenes. (default: empty)
        types (Mapping): How often each type occurred. (default: empty)
    """

    level: str
    name: Hashable
    kind: str
    role: str = "feature"
    template: Template | None = None
    mask: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    categories: tuple[Any, ...] = ()
    one_hot: bool = True
    unseen: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def codes(self) -> dict[Any, int]:
        """The code of each category; by type and value unless all are text."""
        if self.plain:
            return {value: code for code, value in enumerate(self.categories)}
        return {(type(value), value): n for n, value in enumerate(self.categories)}

    @cached_property
    def plain(self) -> bool:
        """Whether all categories are text."""
        return all(type(value) is str for value in self.categories)

    @cached_property
    def leaves(self) -> list[str]:
        """The types of the numbers that a value is kept as, besides its features."""
        if self.role == "left out" or self.kind in ("text", "mixed"):
            return []
        if self.kind == "category":
            return ["code"]
        if self.kind == "boolean":
            return ["bool"]
        return leaf_types(self.template or "float")

    @cached_property
    def numbers(self) -> list[str]:
        """The names of its columns, but for the mask."""
        if self.role == "left out":
            return []
        name = str(self.name)
        if self.kind in ("number", "boolean"):
            return [name]
        if self.kind == "vector":
            return leaf_names(name, self.template or "float")
        if self.kind != "category":
            return []
        if not self.one_hot or self.role == "target":
            return [name]
        slots = [f"{name}={value}" for value in self.categories]
        return slots + [f"{name}={UNSEEN}"] * self.unseen

    @cached_property
    def columns(self) -> list[str]:
        """The names of its columns of features."""
        return self.numbers + [f"{self.name}.known"] * self.mask

    def to_json(self) -> dict[str, Any]:
        """Returns the attribute for the schema; what says nothing is left out."""
        content: dict[str, Any] = {
            "name": to_json(self.name),
            "kind": self.kind,
            "role": self.role,
            "mask": self.mask,
            "counts": dict(sorted(self.counts.items())),
            "types": dict(sorted(self.types.items())),
        }
        if self.kind == "category":
            content["categories"] = [to_json(value) for value in self.categories]
            content["encoding"] = "one-hot" if self.one_hot else "index"
            content["unseen"] = "slot" if self.unseen else "error"
        if self.template is not None:
            content["template"] = self.template
        if self.mean:
            content |= {"mean": list(self.mean), "std": list(self.std)}
        return content

    @classmethod
    def from_json(cls, level: str, content: Mapping[str, Any]) -> Attribute:
        """Returns the attribute that a schema describes."""
        name = content.get("name")
        for needed in ("name", "kind", "role"):
            if needed not in content:
                raise ValueError(
                    f"{level} attribute {name!r} of the schema has no {needed!r}; "
                    f"save the schema again"
                )
        if content["kind"] not in KINDS:
            raise ValueError(
                f"{level} attribute {name!r} of the schema has the unknown kind "
                f"{content['kind']!r}; expected one of {', '.join(KINDS)}"
            )
        return cls(
            level=level,
            name=from_json(name),
            kind=content["kind"],
            role=content["role"],
            template=content.get("template"),
            mask=bool(content.get("mask")),
            mean=tuple(content.get("mean", ())),
            std=tuple(content.get("std", ())),
            categories=tuple(from_json(v) for v in content.get("categories", ())),
            one_hot=content.get("encoding", "one-hot") == "one-hot",
            unseen=content.get("unseen", "slot") == "slot",
            counts=dict(content.get("counts", {})),
            types=dict(content.get("types", {})),
        )


FLOATS, INTS, BOOLS = (float, np.floating), (int, np.integer), (bool, np.bool_)
NESTED = {"dict", "list", "tuple", "ndarray", "Tensor"}
SENTENCE = 3  # words: longer texts on average are no categories
SAMPLE = 100  # texts of a column whose words are counted


@dataclass(frozen=True)
class Rules:
    """How attributes become features.

    Args:
        category (str): `"one-hot"` or `"index"`.
        unseen (str): `"slot"` or `"error"`.
        masks (str): `"seen"`, where a value is unknown in the fitted scenes, or
            `"always"`.
        standardize (bool): Whether numbers get mean zero and deviation one.
        max_categories (int): The most values that a category may have.
    """

    category: str = "one-hot"
    unseen: str = "slot"
    masks: str = "seen"
    standardize: bool = True
    max_categories: int = 32


class AttributeScan:
    """Counts the values of one attribute and tells its kind.

    Args:
        level (str): `"node"`, `"edge"` or `"graph"`.
        name (Hashable): The name of the attribute.
        max_categories (int): Distinct values are followed up to one more.
        distinct (bool): Follow distinct values of any type, not of text alone.
    """

    def __init__(
        self, level: str, name: Hashable, max_categories: int, distinct: bool
    ) -> None:
        self.level, self.name = level, name
        self.limit, self.distinct = max_categories, distinct
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
            self._check_leaves(other.leaves, other.template)
        if other.moments is not None:
            self._grow(other.moments)

    def attribute(
        self, kind: str | None, role: str, rules: Rules, rows: int
    ) -> Attribute:
        """Returns the attribute as it shall be encoded."""
        found = self._kind()
        kind = kind or found
        self._check_wanted(kind, found)
        fill: dict[str, Any] = {}
        if kind == "category":
            order = sorted(self.values, key=lambda v: (v[0].__name__, v[1]))
            fill["categories"] = tuple(value for _, value in order)
        if kind == "number":
            floats = any("float" in name for name in self.types)
            fill["template"] = "float" if floats or not self.types else "int"
        if kind == "vector":
            fill["template"] = self.template
        scaled = rules.standardize and role == "feature" and self.moments is not None
        if kind in ("number", "vector") and scaled:
            assert self.moments is not None
            fill["mean"], fill["std"] = self.moments.scale()
        missing = rows - self.counts["present"] - self.counts["none"]
        counts = {**self.counts, "missing": missing}
        unknown = counts["missing"] + counts["none"] + counts["not_finite"] > 0
        columns = kind not in ("text", "mixed") and role == "feature"
        return Attribute(
            level=self.level,
            name=self.name,
            kind=kind,
            role=role,
            mask=columns and (unknown or rules.masks == "always"),
            one_hot=rules.category == "one-hot",
            unseen=rules.unseen == "slot",
            counts=counts,
            types=dict(self.types),
            **fill,
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
            self._check_leaves(leaf_names("", flat[0]), flat[0])
            rows.append([as_float(number) for number in flat[1]])
        if self.nested and rows:
            self._add_numbers(np.array(rows).reshape(len(rows), -1))

    def _check_leaves(self, leaves: list[str], template: Template | None) -> None:
        if self.leaves is None:
            self.leaves, self.template = leaves, template
        self.nested &= leaves == self.leaves

    def _add_numbers(self, rows: NDArray[np.float64]) -> None:
        self.counts["not_finite"] += int((~np.isfinite(rows)).any(1).sum())
        part = Moments(rows.shape[1])
        part.add(rows)
        self._grow(part)

    def _grow(self, part: Moments) -> None:
        if self.moments is None:
            self.moments = part
        elif len(self.moments.mean) == len(part.mean):
            self.moments.merge(part)


def as_float(value: Any) -> float:
    """Returns a number as float, `nan` where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def column_of(rows: list[dict[Hashable, Any]], name: Hashable) -> list[Any]:
    """Returns the values of an attribute, `MISSING` where it is not there."""
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name, MISSING) for row in rows]


def type_name(value: Any) -> str:
    """Returns what a value is, for messages."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {list(value.shape)}"
    return f"{type(value).__name__} {shortened(value)}"


# One pass over scenes: which attributes there are and what they look like.


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
        """Adds scenes."""
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

    def merge(self, other: SceneScan) -> None:
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
        """Returns the attributes, sorted by level and name."""
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
    """Returns the error that says where a value is."""
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
