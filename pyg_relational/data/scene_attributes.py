"""What is known of each attribute of scenes, and its JSON form."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pyg_relational.data.scene_values import (
    Template,
    from_json,
    leaf_names,
    leaf_types,
    to_json,
)

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
    def from_json(cls, level: str, content: Mapping[str, Any]) -> "Attribute":
        """Returns the attribute that a schema describes.

        Args:
            level (str): `"node"`, `"edge"` or `"graph"`.
            content (Mapping): What :meth:`to_json` returned.

        Raises:
            ValueError: If it is incomplete or its kind is unknown.
        """
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
