"""Relational reasoning for PyTorch Geometric.

Subpackages load when they are first used, so that ``import pyg_relational`` costs
nothing: ``ops`` (exact all-pairs operators), ``nn`` (layers), ``models``, ``data``
(graphs over time, scenes), ``datasets``, ``loader``, ``transforms``, ``hub`` and
``export`` (models to share, models as programs) and ``testing``.
"""

from importlib import import_module
from types import ModuleType

from pyg_relational.version import __version__

SUBPACKAGES = (
    "data",
    "datasets",
    "export",
    "hub",
    "loader",
    "models",
    "nn",
    "ops",
    "testing",
    "transforms",
)

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *SUBPACKAGES])
