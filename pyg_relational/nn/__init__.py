"""Parts with parameters.

Features must be finite: NaN or infinity is an error that names the argument; where
values are not read (under :func:`torch.compile` and :func:`torch.export.export`, and in
:class:`StepAttention`) it reaches the output of its own graph and of no other.
"""

from pyg_relational.nn.aggr import (
    RelationAggregation,
    RelationAttentionAggregation,
    StepAttention,
)
from pyg_relational.nn.conv import (
    GraphRelationConv,
    RelationAttentionConv,
    RelationConv,
)
from pyg_relational.nn.encoders import (
    ImageEncoder,
    ImageObjectEncoder,
    ObjectEncoder,
    SentenceEncoder,
    TextEncoder,
)
from pyg_relational.nn.frames import PairReadout
from pyg_relational.nn.graph_network_block import GraphNetworkBlock
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent import (
    RelationalMemory,
    RelationCompositionCell,
    RelationGRUCell,
    RelationLSTMCell,
    Unroll,
)
from pyg_relational.nn.sets import Sets

__all__ = [
    "GraphNetworkBlock",
    "GraphRelationConv",
    "ImageEncoder",
    "ImageObjectEncoder",
    "ObjectEncoder",
    "PairReadout",
    "PairwiseMLP",
    "RelationAggregation",
    "RelationAttentionAggregation",
    "RelationAttentionConv",
    "RelationCompositionCell",
    "RelationConv",
    "RelationGRUCell",
    "RelationLSTMCell",
    "RelationalMemory",
    "SentenceEncoder",
    "Sets",
    "StepAttention",
    "TextEncoder",
    "Unroll",
]
