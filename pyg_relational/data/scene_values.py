"""Values of attributes of scenes: bounds, nested numbers side by side, and JSON."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
    `MAX_DEPTH` or holds more than `MAX_ITEMS` items.

    Args:
        value (Any): The value of an attribute.
    """
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
    if it holds anything but numbers.

    Args:
        value (Any): A dictionary, list, tuple, array or tensor within the bounds.
    """
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
    """Returns the name of each number of a nested value, such as `pos.x`.

    Args:
        name (str): The name of the attribute.
        template (Template): What :func:`flatten` returned.
    """
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
    """Returns the nested value that :func:`flatten` took apart.

    Args:
        template (Template): What it looks like.
        numbers (list): Its numbers.
    """
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
    """Returns a name or a category as JSON can hold it, told apart by type.

    Args:
        value (Any): Text, a number, a truth value, `None`, or a tuple of them.

    Raises:
        TypeError: If it is anything else.
    """
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
