"""Packages that only some parts need, imported when such a part is used."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports a module of a package that an extra installs.

    Args:
        module (str): The name of the module.
        extra (str): The extra of this package that installs it.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
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
