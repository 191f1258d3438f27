"""Packages and parts that are imported when they are first used."""

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def require(module: str, extra: str) -> ModuleType:
    """Imports a module of a package that an extra installs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"This needs the package {package!r}, which is not installed: "
            f"`pip install 'pyg-relational[{extra}]'`.",
            name=package,
        ) from error


def attributes_of(
    package: str, modules: Mapping[str, str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose parts load when used."""

    def get(name: str) -> Any:
        if name not in modules:
            near = difflib.get_close_matches(name, modules, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{hint} "
                f"There are: {', '.join(sorted(modules))}",
                name=name,
                obj=sys.modules[package],
            )
        module = modules[name]
        if module is None:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(f"{package}.{module}"), name)

    return get, lambda: sorted(modules)
