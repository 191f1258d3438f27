"""Graphs that change over time, and how they come from other forms."""

from pyg_relational.data.dense_series import from_dense_series, to_dense_series
from pyg_relational.data.networkx_snapshots import from_networkx_snapshots
from pyg_relational.data.relations_pairs import (
    Predicate,
    pair_relations,
    predicate,
    triple_relations,
    typed_edges,
)
from pyg_relational.data.scene_values import SceneError
from pyg_relational.data.scenes import SceneEncoder
from pyg_relational.data.signals import from_signal
from pyg_relational.data.snapshots import from_snapshots, to_snapshots
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.data.trajectories import from_trajectories
from pyg_relational.data.windows import windows

__all__ = [
    "Predicate",
    "SceneEncoder",
    "SceneError",
    "TemporalGraph",
    "from_dense_series",
    "from_networkx_snapshots",
    "from_signal",
    "from_snapshots",
    "from_trajectories",
    "pair_relations",
    "predicate",
    "to_dense_series",
    "to_snapshots",
    "triple_relations",
    "typed_edges",
    "windows",
]
