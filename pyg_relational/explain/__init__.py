"""Which pair mattered: attention matrices, pair attributions, pictures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyg_relational.explain.attention import attention_matrix
from pyg_relational.explain.attribution import pair_attribution

if TYPE_CHECKING:
    from pyg_relational.explain.plots import plot_attention, plot_scene, top_pairs
    from pyg_relational.explain.step_plot import plot_steps

__all__ = [
    "attention_matrix",
    "pair_attribution",
    "plot_attention",
    "plot_scene",
    "plot_steps",
    "top_pairs",
]


def __getattr__(name: str) -> Any:
    # Pictures need matplotlib, an extra.
    if name == "plot_steps":
        return getattr(import_module("pyg_relational.explain.step_plot"), name)
    if name in __all__:
        return getattr(import_module("pyg_relational.explain.plots"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
