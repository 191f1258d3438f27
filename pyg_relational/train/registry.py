"""Classes that a recipe may name: those of this package, and of modules that the user
allows.
"""

import importlib
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.data import Dataset
from torch_geometric.transforms import BaseTransform

from pyg_relational._checks import UsageError, nearest_names

_allowed: set[str] = set()


def allow(module: str) -> None:
    """Let recipes and saved models name the classes of a module, as
    ``"module.Class"``, for as long as this process runs. It is imported when one is
    named, which runs its code: allow what you trust."""
    _allowed.add(module)


def allowed_modules() -> list[str]:
    """Return what :func:`allow` was called with, for a process that shall have it
    too."""
    return sorted(_allowed)


@contextmanager
def allowing(modules: Iterable[str]) -> Iterator[None]:
    """As :func:`allow`, for as long as the context lasts."""
    added = set(modules) - _allowed
    _allowed.update(added)
    try:
        yield
    finally:
        _allowed.difference_update(added)


def model_class(name: str) -> type[nn.Module]:
    """Return the model of :mod:`pyg_relational.models` with this class name."""
    return _class("pyg_relational.models", name, nn.Module)


def dataset_class(name: str) -> type[Any]:
    """Return the dataset of :mod:`pyg_relational.datasets` with this class name."""
    return _class("pyg_relational.datasets", name, Dataset)


def transform_class(name: str) -> type[BaseTransform]:
    """Return the transform of :mod:`pyg_relational.transforms` with this class name."""
    return _class("pyg_relational.transforms", name, BaseTransform)


def build_model(spec: dict[str, Any]) -> nn.Module:
    """Construct the model that a recipe describes."""
    model = model_class(spec["class"])
    taken = inspect.signature(model.__init__).parameters
    open_ended = any(x.kind is x.VAR_KEYWORD for x in taken.values())
    for name in spec["args"]:
        if name not in taken and not open_ended:
            hint = nearest_names(name, set(taken) - {"self"})
            raise UsageError(
                f"model {spec['class']} takes no argument '{name}'; {hint}. A run from "
                f"before an argument was renamed loads once it is renamed in the files "
                f"of its folder, see 'Changed' in CHANGELOG.md"
            )
    try:
        return model(
            **{
                name: build_model(value) if _is_spec(value) else value
                for name, value in spec["args"].items()
            }
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"model {spec['class']}: {error}") from error


def _is_spec(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"class", "args"}


def _class(module: str, name: str, kind: type) -> type[Any]:
    place, _, plain = str(name).rpartition(".")
    if place in _allowed:
        found = getattr(importlib.import_module(place), plain, None)
        if isinstance(found, type) and issubclass(found, kind):
            return found
        raise UsageError(f"'{place}' has no {kind.__name__} named '{plain}'")
    classes = {
        key: value
        for key, value in vars(importlib.import_module(module)).items()
        if isinstance(value, type) and issubclass(value, kind)
    }
    if name not in classes:
        hint = f". Classes of '{place}' need --allow {place}" if place else ""
        raise UsageError(
            f"a recipe may only name classes of {module}, not '{name}'; "
            f"{nearest_names(name, classes)}{hint}"
        )
    return classes[name]
