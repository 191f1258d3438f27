"""Parts that carry a state along time or over repeated steps."""

from pyg_relational.nn.recurrent.relational_sequence_encoder import (
    RelationalSequenceEncoder,
)
from pyg_relational.nn.recurrent.sequence_encoder import SequenceEncoder

__all__ = ["RelationalSequenceEncoder", "SequenceEncoder"]
