"""Which pair mattered: attention matrices, pair attributions, pictures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyg_relational.explain.attention import attention_matrix
from pyg_relational.explain.attribution import pair_attribution

if TYPE_CHECKING:
    from pyg_relational.explain.frame_attention_plot import plot_frame_attention
    from pyg_relational.explain.image_pair_plot import plot_image_pair
    from pyg_relational.explain.interaction_plot import plot_interactions
    from pyg_relational.explain.plots import plot_attention, plot_scene, top_pairs
    from pyg_relational.explain.sentence_pair_plot import plot_sentence_pair
    from pyg_relational.explain.step_plot import plot_steps
    from pyg_relational.explain.trajectory_plot import plot_trajectories

__all__ = [
    "attention_matrix",
    "pair_attribution",
    "plot_attention",
    "plot_frame_attention",
    "plot_image_pair",
    "plot_interactions",
    "plot_scene",
    "plot_sentence_pair",
    "plot_steps",
    "plot_trajectories",
    "top_pairs",
]


# Where pictures are; others are in `plots`.
MODULES = {
    "plot_frame_attention": "frame_attention_plot",
    "plot_image_pair": "image_pair_plot",
    "plot_interactions": "interaction_plot",
    "plot_sentence_pair": "sentence_pair_plot",
    "plot_steps": "step_plot",
    "plot_trajectories": "trajectory_plot",
}


def __getattr__(name: str) -> Any:
    # Pictures need matplotlib, an extra.
    if name in __all__:
        module = MODULES.get(name, "plots")
        return getattr(import_module(f"pyg_relational.explain.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
