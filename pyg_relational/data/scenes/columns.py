"""Columns of values as features, and beside them as what they were."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scenes.scan import (
    LEVELS,
    MISSING,
    Attribute,
    Contradiction,
    SceneError,
    Structure,
    as_float,
    check_bounds,
    column_of,
    flatten,
    leaf_names,
    located,
    type_name,
)

# Values that all look the same, as arrays.


NUMPY = {"float": np.float64, "int": np.int64, "bool": np.bool_}
PYTHON = {"float": float, "int": int, "bool": bool}
NESTED = {"dict": dict, "list": list, "tuple": tuple}


def stacked(
    attribute: Attribute, column: list[Any], types: set[type]
) -> list[NDArray[Any]] | None:
    """Returns the numbers of values that all look as the attribute says, each part
    `[R, S]` of one type, or `None`."""
    if len(types) != 1:
        return None
    if attribute.kind in ("number", "boolean"):
        return _scalars(attribute.leaves[0], column, types)
    assert isinstance(attribute.template, dict)
    ((kind, inner),) = attribute.template.items()
    leaves = set(attribute.leaves)
    if kind in ("ndarray", "tensor"):
        return _arrays(kind, inner, column, types)
    if types != {NESTED[kind]}:
        return None
    if kind == "dict":
        keys = tuple(inner)
        parts = list(inner.values())
        if set(map(tuple, column)) != {keys}:
            return None
        flat = list(chain.from_iterable(value.values() for value in column))
    else:
        parts = inner
        if set(map(len, column)) != {len(parts)}:
            return None
        flat = list(chain.from_iterable(column))
    if not all(isinstance(part, str) for part in parts) or len(leaves) != 1:
        return None
    found = _scalars(leaves.pop(), flat, set(map(type, flat)))
    return None if found is None else [found[0].reshape(len(column), -1)]


def _scalars(
    leaf: str, values: list[Any], types: set[type]
) -> list[NDArray[Any]] | None:
    if types != {PYTHON[leaf]}:
        return None
    try:
        return [np.array(values, dtype=NUMPY[leaf]).reshape(-1, 1)]
    except OverflowError:
        return None


def _arrays(
    kind: str, inner: dict[str, Any], column: list[Any], types: set[type]
) -> list[NDArray[Any]] | None:
    if types != {Tensor if kind == "tensor" else np.ndarray}:
        return None
    shape = tuple(inner["shape"])
    dtype: Any = getattr(torch if kind == "tensor" else np, inner["dtype"], None)
    if any(v.dtype != dtype or tuple(v.shape) != shape for v in column):
        return None
    if inner["dtype"] == "uint64":
        return None
    wide: Any
    if kind == "tensor":
        if any(v.requires_grad or v.layout != torch.strided for v in column):
            return None
        wide = torch.float64 if dtype.is_floating_point else torch.int64
        stacked = torch.stack(column).to("cpu", wide).numpy()
    else:
        stacked = np.stack(column)
        wide = np.float64 if stacked.dtype.kind == "f" else np.int64
        stacked = stacked.astype(wide)
    return [np.ascontiguousarray(stacked.reshape(len(column), -1))]


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
    """Returns the values of an attribute."""
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


# Targets of scenes, and relations as labels of pairs.


IGNORED = -100  # what `torch.nn.functional.cross_entropy` leaves out
CLASSES = ("category", "boolean")


def read_targets(
    attributes: Sequence[Attribute], rows: list[dict[Hashable, Any]]
) -> NDArray[Any]:
    """Returns the targets: classes as integers, `[R]`; else numbers, `[R]` of one
    column or `[R, C]`, as they are, not standardised.

    An unknown class is -100, an unknown number `nan`."""
    one_class = len(attributes) == 1 and attributes[0].kind in CLASSES
    parts = []
    for attribute in attributes:
        column = read_column(attribute, rows)
        numbers = column.numbers
        if column.known is not None:
            unknown = IGNORED if one_class else np.nan
            numbers = np.where(column.known[:, None], numbers, unknown)
        parts.append(numbers)
    table = np.concatenate(parts, axis=1)
    table = table[:, 0] if table.shape[1] == 1 else table
    return table.astype(np.int64 if one_class else np.float32)


@lru_cache(maxsize=64)
def ordered_pairs(nodes: int, self_pairs: bool) -> tuple[Tensor, NDArray[np.int64]]:
    """Returns all ordered pairs, `[2, P]`, and their places in a matrix, `[P]`."""
    pairs = np.indices((nodes, nodes)).reshape(2, -1)
    if not self_pairs:
        pairs = pairs[:, pairs[0] != pairs[1]]
    return torch.from_numpy(np.ascontiguousarray(pairs)), pairs[0] * nodes + pairs[1]


def pair_labels(
    nodes: int,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    relation: NDArray[np.int64],
    places: NDArray[np.int64],
    classes: int | None,
) -> Tensor:
    """Returns of each pair its relation, `[P]`, 0 for none; or with several relations
    of a pair whether it has each of them, `[P, R]`."""
    place = source * nodes + target
    if classes is None:
        labels = np.zeros(nodes * nodes, dtype=np.int64)
        labels[place] = relation + 1
    else:
        labels = np.zeros((nodes * nodes, classes), dtype=np.float32)
        labels[place, relation] = 1
    return torch.from_numpy(labels[places])


# Features and exact tables of several scenes at once.


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
    """Returns features, exact values and targets."""
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
