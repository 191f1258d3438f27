"""What is known of scenes: how values are nested, what each attribute is, what the user
asks for, and all of it as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_relational._files import write_atomic

LEVELS = ("node", "edge", "graph")
KINDS = ("number", "boolean", "category", "text", "vector", "mixed")
UNSEEN = "<unseen>"
Place = tuple[str, Hashable]  # level and name of an attribute
# What a nested value looks like: "float", {"tuple": ["float", "int"]}, {"dict": ...}
Template = str | dict[str, Any]
CONTAINERS = (dict, list, tuple, set, frozenset)
MAX_DEPTH = 32
MAX_ITEMS = 1_000_000
AXES = ("x", "y", "z")
POSITIONS = ("pos", "position", "location", "centre", "center", "velocity")


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
        look = {"dtype": value.dtype.name, "shape": list(value.shape)}
        return {"ndarray": look}, value.ravel().tolist()
    if kind is Tensor and not value.is_complex() and value.layout == torch.strided:
        name = str(value.dtype).removeprefix("torch.")
        look = {"dtype": name, "shape": list(value.shape)}
        return {"tensor": look}, value.detach().flatten().tolist()
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


def rebuild(template: Template, numbers: Iterator[Any]) -> Any:
    """Returns the nested value that :func:`flatten` took apart."""
    if isinstance(template, str):
        return next(numbers)
    ((kind, inner),) = template.items()
    if kind in ("ndarray", "tensor"):
        own = list(islice(numbers, math.prod(inner["shape"])))
        if kind == "ndarray":
            return np.array(own, dtype=inner["dtype"]).reshape(inner["shape"])
        dtype = getattr(torch, inner["dtype"])
        return torch.tensor(own, dtype=dtype).reshape(inner["shape"])
    if kind == "dict":
        return {name: rebuild(part, numbers) for name, part in inner.items()}
    parts = [rebuild(part, numbers) for part in inner]
    return tuple(parts) if kind == "tuple" else parts


def leaves_of(template: Template, name: str = "") -> list[tuple[str, str]]:
    """Returns of each number of a nested value its name, such as `pos.x`, and whether
    it is float, int or bool."""
    if isinstance(template, str):
        return [(name, template)]
    ((kind, inner),) = template.items()
    # Positions in the plane and in space are called x, y and z.
    named = name.rpartition(".")[2].lower() in POSITIONS
    if kind in ("ndarray", "tensor"):
        shape, dtype = inner["shape"], inner["dtype"]
        exact = "bool" if dtype == "bool" else "int" if "int" in dtype else "float"
        if named and len(shape) == 1 and shape[0] in (2, 3):
            return [(f"{name}.{axis}", exact) for axis in AXES[: shape[0]]]
        places = np.ndindex(*shape)
        return [(".".join([name, *map(str, place)]), exact) for place in places]
    if kind == "dict":
        parts = list(inner.items())
    else:
        axes = named and len(inner) in (2, 3)
        parts = [(AXES[n] if axes else str(n), sub) for n, sub in enumerate(inner)]
    return [leaf for part, sub in parts for leaf in leaves_of(sub, f"{name}.{part}")]


def type_name(value: Any) -> str:
    """Returns what a value is, for messages; never fails, even on cycles."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {list(value.shape)}"
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{type(value).__name__} {text}"


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
        f"and categories (got {type_name(value)})"
    )


def from_json(value: Any) -> Any:
    """Returns what :func:`to_json` was given."""
    if isinstance(value, Mapping):
        if "float" in value:
            return float(value["float"])
        return tuple(from_json(part) for part in value["tuple"])
    return value


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
    def plain(self) -> bool:
        """Whether all categories are text."""
        return all(type(value) is str for value in self.categories)

    @cached_property
    def codes(self) -> dict[Any, int]:
        """The code of each category; by type and value unless all are text."""
        if self.plain:
            return {value: code for code, value in enumerate(self.categories)}
        return {(type(value), value): n for n, value in enumerate(self.categories)}

    @cached_property
    def leaves(self) -> list[str]:
        """The types of the numbers that a value is kept as, besides its features."""
        if self.role == "left out" or self.kind in ("text", "mixed"):
            return []
        if self.kind in ("category", "boolean"):
            return ["code" if self.kind == "category" else "bool"]
        return [leaf for _, leaf in leaves_of(self.template or "float")]

    @cached_property
    def numbers(self) -> list[str]:
        """The names of its columns, but for the mask."""
        name = str(self.name)
        if self.role == "left out" or self.kind in ("text", "mixed"):
            return []
        if self.kind == "vector":
            return [leaf for leaf, _ in leaves_of(self.template or "float", name)]
        if self.kind != "category" or not self.one_hot or self.role == "target":
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


CHOICES = {
    "relations": ("edges", "labels", "both"),
    "category": ("one-hot", "index"),
    "unseen": ("slot", "error"),
    "masks": ("seen", "always"),
}


@dataclass(frozen=True)
class SceneOptions:
    """The options of :class:`~pyg_relational.data.SceneEncoder`, which explains them.

    Raises:
        ValueError: If an option is unknown.
    """

    targets: tuple[str, ...] = ()
    edge_type: Hashable | None = None
    relations: str = "edges"
    kinds: dict[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    category: str = "one-hot"
    max_categories: int = 32
    unseen: str = "slot"
    masks: str = "seen"
    standardize: bool = True

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"'{name}' must be one of {', '.join(choices)} (got "
                    f"{getattr(self, name)!r})"
                )
        if self.max_categories < 1:
            raise ValueError(
                f"'max_categories' must be at least 1 (got {self.max_categories})"
            )
        for named, kind in self.kinds.items():
            if kind not in KINDS:
                raise ValueError(
                    f"'kinds' must say of {named!r} one of {', '.join(KINDS)} (got "
                    f"{kind!r})"
                )
        if len({_place(name)[0] for name in self.targets}) > 1:
            raise ValueError(
                f"'targets' must be of one level, nodes, edges or graph (got "
                f"{', '.join(self.targets)})"
            )
        both = {*self.targets} & {*self.leave_out}
        if both:
            raise ValueError(f"{both.pop()!r} is in both 'targets' and 'leave_out'")
        for name in (*self.kinds, *self.leave_out):
            _place(name)

    def wanted_kinds(self) -> dict[Place, str]:
        """Returns the kinds that the user wants."""
        kinds = {_place(name): kind for name, kind in self.kinds.items()}
        if self.edge_type is not None:
            kinds["edge", self.edge_type] = "category"
        return kinds

    def roles(self) -> dict[Place, str]:
        """Returns the roles of attributes that are no features."""
        roles = {_place(name): "target" for name in self.targets}
        return roles | {_place(name): "left out" for name in self.leave_out}

    def relation_names(self, attributes: Sequence[Attribute]) -> list[str]:
        """Returns the names of relations in the order of their codes."""
        for attribute in attributes:
            if (attribute.level, attribute.name) == ("edge", self.edge_type):
                return [*map(str, attribute.categories), UNSEEN]
        return ["related"]


def _place(name: str) -> Place:
    level, dot, attribute = str(name).partition(".")
    if level not in LEVELS or not dot:
        raise ValueError(
            f"attributes are named by their level, as in 'node.size', 'edge.relation' "
            f"or 'graph.answer' (got {name!r})"
        )
    return level, attribute


FORMAT = "pyg-relational scenes"
VERSION = 1
FACTS = ("scenes", "nodes", "edges", "graph_classes", "self_loops", "parallel_edges")


def schema_content(
    attributes: Sequence[Attribute],
    facts: Mapping[str, Any],
    options: SceneOptions,
    exact: bool,
) -> dict[str, Any]:
    """Returns what a schema file holds."""
    chosen = asdict(options)
    chosen["edge_type"] = to_json(options.edge_type)
    chosen["targets"], chosen["leave_out"] = [*options.targets], [*options.leave_out]
    chosen["kinds"] = dict(sorted(options.kinds.items()))
    return {
        "format": FORMAT,
        "version": VERSION,
        "scenes": {name: facts[name] for name in FACTS},
        "options": chosen | {"exact": exact},
        "attributes": {
            level: [a.to_json() for a in attributes if a.level == level]
            for level in LEVELS
        },
    }


def read_schema(
    schema: Mapping[str, Any],
) -> tuple[list[Attribute], dict[str, Any], SceneOptions, bool]:
    """Returns attributes, facts, options and whether exact values travel along."""
    if not isinstance(schema, Mapping) or schema.get("format") != FORMAT:
        raise ValueError(f"expected 'format' to be '{FORMAT}'; save the schema again")
    if schema.get("version") != VERSION:
        raise ValueError(
            f"expected version {VERSION} (got {schema.get('version')!r}); use the "
            f"release of pyg-relational that wrote it, or fit again"
        )
    for section in ("scenes", "options", "attributes"):
        if not isinstance(schema.get(section), Mapping):
            raise ValueError(f"expected a section '{section}'; save the schema again")
    missing = [name for name in FACTS if name not in schema["scenes"]]
    if missing:
        raise ValueError(f"'scenes' lacks '{missing[0]}'; save the schema again")
    chosen = dict(schema["options"])
    exact = bool(chosen.pop("exact", True))
    unknown = set(chosen) - {part.name for part in fields(SceneOptions)}
    if unknown:
        raise ValueError(f"unknown option '{min(unknown)}'; remove it")
    for name in ("targets", "leave_out"):
        chosen[name] = tuple(chosen.get(name, ()))
    chosen["edge_type"] = from_json(chosen.get("edge_type"))
    attributes = [
        Attribute.from_json(level, content)
        for level in LEVELS
        for content in schema["attributes"].get(level, ())
    ]
    return attributes, dict(schema["scenes"]), SceneOptions(**chosen), exact


def write_schema(path: Path, schema: Mapping[str, Any]) -> None:
    """Writes a schema, whole or not at all."""
    text = json.dumps(schema, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, lambda partial: partial.write_text(text, encoding="utf-8"))
