"""Parts that carry a state along time or over repeated steps."""

from pyg_relational.nn.recurrent.relation_cells import (
    RelationCell,
    RelationGRUCell,
    RelationLSTMCell,
)
from pyg_relational.nn.recurrent.relation_composition_cell import (
    RelationCompositionCell,
)
from pyg_relational.nn.recurrent.relational_memory import RelationalMemory
from pyg_relational.nn.recurrent.sequence_encoder import (
    RelationalSequenceEncoder,
    SequenceEncoder,
)
from pyg_relational.nn.recurrent.space_time import SpaceTimeEncoder, SpaceTimeLayer
from pyg_relational.nn.recurrent.unroll import Unroll

__all__ = [
    "RelationCell",
    "RelationCompositionCell",
    "RelationGRUCell",
    "RelationLSTMCell",
    "RelationalMemory",
    "RelationalSequenceEncoder",
    "SequenceEncoder",
    "SpaceTimeEncoder",
    "SpaceTimeLayer",
    "Unroll",
]
