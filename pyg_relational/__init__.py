"""Relational reasoning for PyTorch Geometric.

Subpackages load when they are first used, so that ``import pyg_relational`` costs
nothing: ``ops`` (exact all-pairs operators), ``nn`` (layers), ``models``, ``data``
(graphs over time, scenes), ``datasets``, ``loader``, ``transforms``, ``encoders``
(pretrained, of packages), ``explain`` (which pair mattered), ``train`` (recipes),
``hub`` (models to share, models as programs), ``benchmarks``, and ``testing``.
"""

from pyg_relational._extras import attributes_of

__version__ = "0.1.0"

SUBPACKAGES = (
    "benchmarks",
    "data",
    "datasets",
    "encoders",
    "explain",
    "hub",
    "loader",
    "models",
    "nn",
    "ops",
    "testing",
    "train",
    "transforms",
)

__getattr__, _names = attributes_of(__name__, dict.fromkeys(SUBPACKAGES))


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
