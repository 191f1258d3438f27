"""Columns of values as features, and beside them as what they were."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scene_attributes import Attribute
from pyg_relational.data.scene_scan import as_float, column_of, type_name
from pyg_relational.data.scene_stacking import PYTHON, stacked
from pyg_relational.data.scene_values import (
    MISSING,
    Contradiction,
    check_bounds,
    flatten,
    leaf_names,
)

Floats = NDArray[np.float64]
Bits = NDArray[np.int64]
SCALARS = (str, int, float, bool, np.generic)
LARGEST = float(np.finfo(np.float32).max)


@dataclass
class Column:
    """The values of one attribute.

    Args:
        numbers (ndarray): What features are made from, `[R, S]`; of a category its
            code, `[R, 1]`.
        bits (ndarray): The exact values: integers, codes, truth values, and floats by
            their 64 bits, `[R, K]`.
        objects (dict): The values that `bits` cannot hold, by row, `None` included.
        missing (list of int): The rows without the attribute.
        known (ndarray, optional): Whether there is a number, `[R]`; everywhere by
            default.
    """

    numbers: Floats
    bits: Bits
    objects: dict[int, Any] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    known: NDArray[np.bool_] | None = None


def read_column(attribute: Attribute, rows: list[dict[Hashable, Any]]) -> Column:
    """Returns the values of an attribute.

    Args:
        attribute (Attribute): The attribute.
        rows (list of dict): The attributes of each node, edge or graph.

    Raises:
        Contradiction: If a value does not fit the attribute.
    """
    column = column_of(rows, attribute.name)
    kept = not attribute.leaves
    types = set(map(type, column))
    if not kept and not types & {type(MISSING), type(None)}:
        return _read_present(attribute, column, types)
    missing = [row for row, value in enumerate(column) if value is MISSING]
    if kept:
        objects = {row: v for row, v in enumerate(column) if v is not MISSING}
        _check_objects(attribute, objects)
        width = len(attribute.columns) - attribute.mask
        empty = np.zeros((len(rows), width))
        return Column(empty, np.zeros((len(rows), 0), np.int64), objects)
    present = [
        row for row, v in enumerate(column) if v is not MISSING and v is not None
    ]
    types -= {type(MISSING), type(None)}
    try:
        part = _read_present(attribute, [column[row] for row in present], types)
    except Contradiction as error:
        raise Contradiction(present[error.row], str(error)) from error
    out = Column(
        np.zeros((len(rows), part.numbers.shape[1])),
        np.zeros((len(rows), part.bits.shape[1]), np.int64),
        {present[row]: value for row, value in part.objects.items()},
        missing,
        np.zeros(len(rows), dtype=bool),
    )
    out.objects |= {row: None for row, value in enumerate(column) if value is None}
    out.numbers[present], out.bits[present] = part.numbers, part.bits
    assert out.known is not None
    out.known[present] = True if part.known is None else part.known
    return out


def features(attribute: Attribute, column: Column) -> Floats:
    """Returns the features of a column, `[R, C]`, as `attribute.columns` names them.

    Raises:
        Contradiction: If a value is unknown and the attribute has no column to say so.
    """
    numbers, known = column.numbers, column.known
    if known is not None and not attribute.mask:
        row = int(np.argmin(known))
        what = "is missing" if row in column.missing else "is None or not finite"
        if not known[row]:
            raise Contradiction(
                row,
                f"{what}, which it never was in the fitted scenes; add such scenes to "
                f"'fit', or use masks='always'",
            )
    if attribute.kind == "category" and attribute.one_hot:
        slots = np.arange(len(attribute.categories) + attribute.unseen)
        numbers = (numbers == slots).astype(np.float64)
    elif attribute.mean:
        with np.errstate(over="ignore"):
            numbers = (numbers - attribute.mean) / attribute.std
    if attribute.kind in ("number", "vector"):
        numbers = np.clip(numbers, -LARGEST, LARGEST)
    if not attribute.mask:
        return numbers
    if known is None:
        known = np.ones(len(numbers), dtype=bool)
    else:
        numbers = np.where(known[:, None], numbers, 0.0)
    return np.concatenate([numbers, known[:, None]], axis=1)


def _read_present(attribute: Attribute, column: list[Any], types: set[type]) -> Column:
    if attribute.kind == "category":
        return _read_category(attribute, column, types)
    leaves = attribute.leaves
    if not column:
        return Column(np.zeros((0, len(leaves))), np.zeros((0, len(leaves)), np.int64))
    fast = stacked(attribute, column, types)
    if fast is None:
        return _read_each(attribute, column)
    numbers = np.concatenate([part.astype(np.float64) for part in fast], axis=1)
    parts = [
        part.view(np.int64) if part.dtype == np.float64 else part.astype(np.int64)
        for part in fast
    ]
    return _without_infinite(Column(numbers, np.concatenate(parts, axis=1)))


def _read_category(attribute: Attribute, column: list[Any], types: set[type]) -> Column:
    slot, codes = len(attribute.categories), attribute.codes
    plain = attribute.plain and types <= {str}
    for row, value in enumerate(() if plain else column):
        if not isinstance(value, SCALARS):
            _contradict(attribute, row, value)
    if plain:
        found = [codes.get(value, slot) for value in column]
    else:
        found = [_code(attribute, value) for value in column]
    bits = np.array(found, dtype=np.int64).reshape(-1, 1)
    unseen = (bits[:, 0] == slot).nonzero()[0].tolist()
    if unseen and not attribute.unseen:
        near = ", ".join(map(repr, attribute.categories[:8]))
        raise Contradiction(
            unseen[0],
            f"has the unseen category {column[unseen[0]]!r}; expected one of {near}; "
            f"correct it, fit again, or use unseen='slot'",
        )
    objects = {row: column[row] for row in unseen}
    if not types <= {str, int, float, bool}:
        plain_types = {type(value) for value in attribute.categories}
        objects |= {n: v for n, v in enumerate(column) if type(v) not in plain_types}
    return Column(bits.astype(np.float64), bits, objects)


def _code(attribute: Attribute, value: Any) -> int:
    slot = len(attribute.categories)
    plain = value.item() if isinstance(value, np.generic) else value
    if attribute.plain:
        # A code by text only: equal values of other types are other values.
        return attribute.codes.get(plain, slot) if type(plain) is str else slot
    return attribute.codes.get((type(plain), plain), slot)


def _read_each(attribute: Attribute, column: list[Any]) -> Column:
    """Reads values one by one: those that look otherwise are kept as they are."""
    leaves, vector = attribute.leaves, attribute.kind == "vector"
    names = leaf_names("", attribute.template or "float") if vector else []
    numbers = np.zeros((len(column), len(leaves)))
    bits = np.zeros((len(column), len(leaves)), np.int64)
    objects = {}
    for row, value in enumerate(column):
        try:
            check_bounds(value)
        except ValueError as error:
            raise Contradiction(row, str(error)) from error
        if vector:
            flat = flatten(value)
            if flat is None or leaf_names("", flat[0]) != names:
                _contradict(attribute, row, value)
            assert flat is not None
            parts, same = flat[1], flat[0] == attribute.template
        else:
            if not _fits(attribute.kind, value):
                _contradict(attribute, row, value)
            parts, same = [value], type(value) is PYTHON[leaves[0]]
        numbers[row] = [as_float(part) for part in parts]
        exact = _exact(leaves, parts) if same and not _is_grad(value) else None
        if exact is None:
            objects[row] = value
        else:
            bits[row] = exact
    return _without_infinite(Column(numbers, bits, objects))


def _fits(kind: str, value: Any) -> bool:
    truth = isinstance(value, bool | np.bool_)
    if kind == "boolean":
        return truth
    return isinstance(value, int | float | np.integer | np.floating) and not truth


def _exact(leaves: list[str], parts: list[Any]) -> list[int] | None:
    out = []
    for leaf, part in zip(leaves, parts, strict=True):
        if leaf == "float":
            out.append(int(np.float64(part).view(np.int64)))
        elif -(2**63) <= part < 2**63:
            out.append(int(part))
        else:
            return None
    return out


def _is_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _without_infinite(column: Column) -> Column:
    finite = np.isfinite(column.numbers)
    if not finite.all():
        column.numbers = np.where(finite, column.numbers, 0.0)
        column.known = np.asarray(finite.all(axis=1))
    return column


def _contradict(attribute: Attribute, row: int, value: Any) -> None:
    expected = f"a {attribute.kind}"
    if attribute.kind == "vector":
        names = ", ".join(attribute.numbers[:8])
        expected = f"numbers for {names}"
    raise Contradiction(
        row,
        f"must be {expected} as in the schema (got {type_name(value)}); correct it, "
        f"fit again with such scenes, or list the attribute in 'leave_out'",
    )


def _check_objects(attribute: Attribute, objects: dict[int, Any]) -> None:
    for row, value in objects.items():
        try:
            check_bounds(value)
        except ValueError as error:
            raise Contradiction(row, str(error)) from error
        wrong = attribute.kind == "text" and not isinstance(value, str | None)
        if wrong and attribute.role != "left out":
            _contradict(attribute, row, value)
