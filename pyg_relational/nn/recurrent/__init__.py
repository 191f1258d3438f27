"""Parts that carry a state along time or over repeated steps."""

from pyg_relational.nn.recurrent.relation_composition_cell import (
    RelationCompositionCell,
)
from pyg_relational.nn.recurrent.relation_gru_cell import RelationGRUCell
from pyg_relational.nn.recurrent.relation_lstm_cell import RelationLSTMCell
from pyg_relational.nn.recurrent.relational_memory import RelationalMemory
from pyg_relational.nn.recurrent.relational_sequence_encoder import (
    RelationalSequenceEncoder,
)
from pyg_relational.nn.recurrent.sequence_encoder import SequenceEncoder
from pyg_relational.nn.recurrent.space_time_encoder import SpaceTimeEncoder
from pyg_relational.nn.recurrent.space_time_layer import SpaceTimeLayer
from pyg_relational.nn.recurrent.unroll import Unroll

__all__ = [
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
