"""The schema of scenes as JSON."""

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pyg_relational.data.scenes.scan import (
    KINDS,
    LEVELS,
    UNSEEN,
    Attribute,
    Place,
    Rules,
    from_json,
    to_json,
)

# What the user asks of an encoder of scenes.


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
        if len({place(name)[0] for name in self.targets}) > 1:
            raise ValueError(
                f"'targets' must be of one level, nodes, edges or graph (got "
                f"{', '.join(self.targets)})"
            )
        both = {*self.targets} & {*self.leave_out}
        if both:
            raise ValueError(f"{both.pop()!r} is in both 'targets' and 'leave_out'")
        for name in (*self.kinds, *self.leave_out):
            place(name)

    def wanted_kinds(self) -> dict[Place, str]:
        """Returns the kinds that the user wants."""
        kinds = {place(name): kind for name, kind in self.kinds.items()}
        if self.edge_type is not None:
            kinds["edge", self.edge_type] = "category"
        return kinds

    def categories(self) -> list[Place]:
        """Returns the attributes that shall be categories."""
        return [at for at, kind in self.wanted_kinds().items() if kind == "category"]

    def roles(self) -> dict[Place, str]:
        """Returns the roles of attributes that are no features."""
        roles = {place(name): "target" for name in self.targets}
        return roles | {place(name): "left out" for name in self.leave_out}

    def rules(self) -> Rules:
        """Returns how attributes become features."""
        return Rules(
            category=self.category,
            unseen=self.unseen,
            masks=self.masks,
            standardize=self.standardize,
            max_categories=self.max_categories,
        )

    def check_attributes(self, attributes: Sequence[Attribute]) -> None:
        """Raises a `ValueError` if a target is no number, vector, category or truth
        value."""
        for attribute in attributes:
            if attribute.role == "target" and not attribute.leaves:
                raise ValueError(
                    f"the target '{attribute.level}.{attribute.name}' is of kind "
                    f"'{attribute.kind}'; expected a number, vector, category or "
                    f"truth value; choose another one or say in 'kinds' what it is"
                )

    def relation_names(self, attributes: Sequence[Attribute]) -> list[str]:
        """Returns the names of relations in the order of their codes."""
        for attribute in attributes:
            if (attribute.level, attribute.name) == ("edge", self.edge_type):
                names = [str(value) for value in attribute.categories]
                return [*names, UNSEEN]
        return ["related"]


def place(name: str) -> Place:
    """Returns level and name of an attribute, from `"node.size"`."""
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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
