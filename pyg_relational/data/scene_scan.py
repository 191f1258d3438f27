"""What the values of an attribute are, found in one pass with bounded memory."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scene_attributes import Attribute
from pyg_relational.data.scene_moments import Moments
from pyg_relational.data.scene_values import (
    CONTAINERS,
    MISSING,
    Contradiction,
    Template,
    check_bounds,
    flatten,
    leaf_names,
    shortened,
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

    def merge(self, other: "AttributeScan") -> None:
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
        """Returns the attribute as it shall be encoded.

        Args:
            kind (str, optional): The kind that the user wants, `None` to infer it.
            role (str): `"feature"`, `"target"` or `"left out"`.
            rules (Rules): How attributes become features.
            rows (int): How many nodes, edges or graphs there were.

        Raises:
            ValueError: If values do not fit the kind that the user wants.
        """
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
