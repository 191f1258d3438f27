"""Graphs that change over time, and how they come from other forms."""

from pyg_relational.data.relations import (
    Predicate,
    pair_relations,
    predicate,
    triple_relations,
    typed_edges,
)
from pyg_relational.data.scenes.encoder import SceneEncoder
from pyg_relational.data.scenes.scan import SceneError
from pyg_relational.data.snapshots import (
    from_networkx_snapshots,
    from_signal,
    from_snapshots,
    to_snapshots,
)
from pyg_relational.data.temporal import (
    TemporalGraph,
    from_dense_series,
    to_dense_series,
)
from pyg_relational.data.trajectories import from_trajectories, windows

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
