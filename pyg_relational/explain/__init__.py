"""Which pair mattered: attention matrices, pair attributions, pictures."""

from typing import TYPE_CHECKING

from pyg_relational._extras import attributes_of
from pyg_relational.explain.attention import attention_matrix
from pyg_relational.explain.attribution import pair_attribution

if TYPE_CHECKING:
    from pyg_relational.explain.plots.interactions import plot_interactions
    from pyg_relational.explain.plots.matrices import (
        plot_attention,
        plot_image_pair,
        plot_sentence_pair,
    )
    from pyg_relational.explain.plots.parts import top_pairs
    from pyg_relational.explain.plots.scenes import plot_scene
    from pyg_relational.explain.plots.sequences import plot_frame_attention, plot_steps
    from pyg_relational.explain.plots.trajectories import plot_trajectories

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

# Pictures need matplotlib, an extra.
__getattr__, __dir__ = attributes_of(
    __name__,
    {
        "attention_matrix": "attention",
        "pair_attribution": "attribution",
        "plot_attention": "plots.matrices",
        "plot_frame_attention": "plots.sequences",
        "plot_image_pair": "plots.matrices",
        "plot_interactions": "plots.interactions",
        "plot_scene": "plots.scenes",
        "plot_sentence_pair": "plots.matrices",
        "plot_steps": "plots.sequences",
        "plot_trajectories": "plots.trajectories",
        "top_pairs": "plots.parts",
    },
)
