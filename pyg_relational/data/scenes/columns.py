"""Attributes of scenes as columns of features, and beside them as what they were."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scenes.scan import (
    MISSING,
    Contradiction,
    Rows,
    SceneError,
    Structure,
    as_float,
    column_of,
)
from pyg_relational.data.scenes.schema import (
    LEVELS,
    Attribute,
    check_bounds,
    flatten,
    leaves_of,
    type_name,
)

Floats = NDArray[np.float64]
Bits = NDArray[np.int64]
# By scene, level and attribute: values by row.
Odd = dict[int, dict[str, dict[Hashable, dict[int, Any]]]]
NUMPY = {"float": np.float64, "int": np.int64, "bool": np.bool_}
PYTHON = {"float": float, "int": int, "bool": bool}
NESTED = {"dict": dict, "list": list, "tuple": tuple}
SCALARS = (str, int, float, bool, np.generic)
LARGEST = float(np.finfo(np.float32).max)
IGNORED = -100  # what `torch.nn.functional.cross_entropy` leaves out


@dataclass
class Tables:
    """What several scenes become, rows one after the other."""

    # By level, `[R, F]`, float32.
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    # By level, `[R, K]`, int64; of edges, source and target come first.
    exact: dict[str, Bits] = field(default_factory=dict)
    # By scene, level and attribute, the rows without it.
    missing: Odd = field(default_factory=dict)
    # By scene, level and attribute, values by row.
    objects: Odd = field(default_factory=dict)
    # The targets: of one class its number, `[R]`; else numbers, `[R]` of one column or
    # `[R, C]`, as they are, not standardised.
    targets: NDArray[Any] | None = None
    edge_type: Bits | None = None  # the relation of each edge, `[E]`


def read_tables(
    structure: Structure,
    attributes: Sequence[Attribute],
    edge_type: Hashable | None,
    exact: bool,
    first: int,
) -> Tables:
    """Returns features, exact values and targets."""
    out = Tables()
    for level in LEVELS:
        rows, ptr = structure.attributes[level], structure.ptr[level]
        parts: list[NDArray[Any]] = [np.zeros((len(rows), 0))]
        bits: list[Bits] = [np.zeros((len(rows), 0), np.int64)]
        if level == "edge":
            bits = [np.stack([structure.source, structure.target], axis=1)]
        targets: list[tuple[Attribute, Column]] = []
        present = 0
        for attribute in (a for a in attributes if a.level == level):
            name = attribute.name
            try:
                column = read_column(attribute, rows)
                if attribute.role == "feature":
                    parts.append(_features(attribute, column))
            except Contradiction as error:
                raise structure.error(error, first, level, name) from error
            if attribute.leaves:
                present += len(rows) - len(column.missing)
            else:
                present += len(column.objects)
            if attribute.role == "target":
                targets.append((attribute, column))
            if level == "edge" and name == edge_type:
                out.edge_type = column.numbers[:, 0].astype(np.int64)
                if column.known is not None:
                    # Unknown ones have the slot of unseen ones.
                    out.edge_type[~column.known] = len(attribute.categories)
            if exact:
                bits.append(column.bits)
                _split(out.objects, level, name, column.objects, ptr)
                _split(out.missing, level, name, dict.fromkeys(column.missing), ptr)
        if present < sum(map(len, rows)):
            raise _not_in_schema(structure, attributes, level, first)
        out.features[level] = np.concatenate(parts, axis=1, dtype=np.float32)
        out.exact[level] = np.concatenate(bits, axis=1)
        if targets:
            out.targets = _targets(targets)
    return out


@dataclass
class Column:
    """The values of one attribute."""

    # What features are made from, `[R, S]`; of a category its code, `[R, 1]`.
    numbers: Floats
    # The exact values: integers, codes, truth values, and floats by their 64 bits,
    # `[R, K]`.
    bits: Bits
    # The values that `bits` cannot hold, by row, `None` included.
    objects: dict[int, Any] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)  # the rows without the attribute
    # Whether there is a number, `[R]`; everywhere by default.
    known: NDArray[np.bool_] | None = None


def read_column(attribute: Attribute, rows: Rows) -> Column:
    """Returns the values of an attribute."""
    column = column_of(rows, attribute.name)
    if not attribute.leaves:
        objects = {row: v for row, v in enumerate(column) if v is not MISSING}
        _check_objects(attribute, objects)
        width = len(attribute.columns) - attribute.mask
        empty = np.zeros((len(rows), width))
        return Column(empty, np.zeros((len(rows), 0), np.int64), objects)
    types = set(map(type, column))
    if not types & {type(MISSING), type(None)}:
        return _read_present(attribute, column, types)
    missing = [row for row, value in enumerate(column) if value is MISSING]
    present = [
        row for row, v in enumerate(column) if v is not MISSING and v is not None
    ]
    types -= {type(MISSING), type(None)}
    try:
        part = _read_present(attribute, [column[row] for row in present], types)
    except Contradiction as error:
        raise Contradiction(present[error.row], str(error)) from error
    known = np.zeros(len(rows), dtype=bool)
    known[present] = True if part.known is None else part.known
    out = Column(
        np.zeros((len(rows), part.numbers.shape[1])),
        np.zeros((len(rows), part.bits.shape[1]), np.int64),
        {present[row]: value for row, value in part.objects.items()},
        missing,
        known,
    )
    out.objects |= {row: None for row, value in enumerate(column) if value is None}
    out.numbers[present], out.bits[present] = part.numbers, part.bits
    return out


def _read_present(attribute: Attribute, column: list[Any], types: set[type]) -> Column:
    if attribute.kind == "category":
        return _read_category(attribute, column, types)
    width = len(attribute.leaves)
    if not column:
        return Column(np.zeros((0, width)), np.zeros((0, width), np.int64))
    stacked = _stacked(attribute, column, types)
    if stacked is None:
        return _read_each(attribute, column)
    numbers = stacked.astype(np.float64)
    exact = stacked.dtype == np.float64
    bits = stacked.view(np.int64) if exact else stacked.astype(np.int64)
    return _without_infinite(Column(numbers, bits))


def _read_category(attribute: Attribute, column: list[Any], types: set[type]) -> Column:
    slot, codes = len(attribute.categories), attribute.codes
    if attribute.plain and types <= {str}:
        found = [codes.get(value, slot) for value in column]
    else:
        found = []
        for row, value in enumerate(column):
            if not isinstance(value, SCALARS):
                _contradict(attribute, row, value)
            plain = value.item() if isinstance(value, np.generic) else value
            # Equal values of other types are other values.
            key = plain if attribute.plain else (type(plain), plain)
            known = not attribute.plain or type(plain) is str
            found.append(codes.get(key, slot) if known else slot)
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


def _stacked(
    attribute: Attribute, column: list[Any], types: set[type]
) -> NDArray[Any] | None:
    """Returns the numbers of values that all look as the attribute says, `[R, S]` of
    one type, or `None`."""
    if len(types) != 1:
        return None
    flat, template = column, attribute.template
    if isinstance(template, dict):
        ((kind, inner),) = template.items()
        if kind in ("ndarray", "tensor"):
            return _stacked_arrays(kind, inner, column, types)
        if types != {NESTED[kind]}:
            return None
        parts = list(inner.values()) if kind == "dict" else inner
        if not all(isinstance(part, str) for part in parts) or len({*parts}) != 1:
            return None
        if kind == "dict":
            if set(map(tuple, column)) != {tuple(inner)}:
                return None
            flat = list(chain.from_iterable(value.values() for value in column))
        else:
            if set(map(len, column)) != {len(parts)}:
                return None
            flat = list(chain.from_iterable(column))
        types = set(map(type, flat))
    leaf = attribute.leaves[0]
    if types != {PYTHON[leaf]}:
        return None
    try:
        return np.array(flat, dtype=NUMPY[leaf]).reshape(len(column), -1)
    except OverflowError:
        return None


def _stacked_arrays(
    kind: str, look: dict[str, Any], column: list[Any], types: set[type]
) -> NDArray[Any] | None:
    if types != {Tensor if kind == "tensor" else np.ndarray}:
        return None
    shape = tuple(look["shape"])
    dtype: Any = getattr(torch if kind == "tensor" else np, look["dtype"], None)
    if any(v.dtype != dtype or tuple(v.shape) != shape for v in column):
        return None
    if look["dtype"] == "uint64":
        return None
    if kind == "tensor":
        if any(v.requires_grad or v.layout != torch.strided for v in column):
            return None
        wide = torch.float64 if dtype.is_floating_point else torch.int64
        stacked = torch.stack(column).to("cpu", wide).numpy()
    else:
        stacked = np.stack(column)
        exact = stacked.dtype.kind == "f"
        stacked = stacked.astype(np.float64 if exact else np.int64)
    return np.ascontiguousarray(stacked.reshape(len(column), -1))


def _read_each(attribute: Attribute, column: list[Any]) -> Column:
    """Reads values one by one: those that look otherwise are kept as they are."""
    leaves, vector = attribute.leaves, attribute.kind == "vector"
    names = [name for name, _ in leaves_of(attribute.template or "float")]
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
            if flat is None or [name for name, _ in leaves_of(flat[0])] != names:
                _contradict(attribute, row, value)
            assert flat is not None
            parts, same = flat[1], flat[0] == attribute.template
        else:
            truth = isinstance(value, bool | np.bool_)
            number = isinstance(value, int | float | np.integer | np.floating)
            if truth != (attribute.kind == "boolean") or not (truth or number):
                _contradict(attribute, row, value)
            parts, same = [value], type(value) is PYTHON[leaves[0]]
        numbers[row] = [as_float(part) for part in parts]
        same &= not (isinstance(value, Tensor) and value.requires_grad)
        exact = _exact(leaves, parts) if same else None
        if exact is None:
            objects[row] = value
        else:
            bits[row] = exact
    return _without_infinite(Column(numbers, bits, objects))


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


def _without_infinite(column: Column) -> Column:
    finite = np.isfinite(column.numbers)
    if not finite.all():
        column.numbers = np.where(finite, column.numbers, 0.0)
        column.known = np.asarray(finite.all(axis=1))
    return column


def _contradict(attribute: Attribute, row: int, value: Any) -> None:
    expected = f"a {attribute.kind}"
    if attribute.kind == "vector":
        expected = f"numbers for {', '.join(attribute.numbers[:8])}"
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


def _features(attribute: Attribute, column: Column) -> Floats:
    """Returns the features of a column, `[R, C]`, as `attribute.columns` names them."""
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


def _targets(columns: list[tuple[Attribute, Column]]) -> NDArray[Any]:
    """An unknown class is -100, an unknown number `nan`."""
    one_class = len(columns) == 1 and columns[0][0].kind in ("category", "boolean")
    parts = []
    for _, column in columns:
        numbers = column.numbers
        if column.known is not None:
            unknown = IGNORED if one_class else np.nan
            numbers = np.where(column.known[:, None], numbers, unknown)
        parts.append(numbers)
    table = np.concatenate(parts, axis=1)
    table = table[:, 0] if table.shape[1] == 1 else table
    return table.astype(np.int64 if one_class else np.float32)


def _split(
    out: Odd, level: str, name: Hashable, values: dict[int, Any], ptr: Bits
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


def _not_in_schema(
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
                return structure.error(Contradiction(row, text), first, level, name)
    raise AssertionError("every attribute is in the schema")
