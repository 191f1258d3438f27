"""Values that all look the same, as arrays."""

from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_relational.data.scene_attributes import Attribute

NUMPY = {"float": np.float64, "int": np.int64, "bool": np.bool_}
PYTHON = {"float": float, "int": int, "bool": bool}
NESTED = {"dict": dict, "list": list, "tuple": tuple}


def stacked(
    attribute: Attribute, column: list[Any], types: set[type]
) -> list[NDArray[Any]] | None:
    """Returns the numbers of values that all look as the attribute says, each part
    `[R, S]` of one type, or `None`.

    Args:
        attribute (Attribute): The attribute.
        column (list): Its values.
        types (set of type): Their types.
    """
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
