"""Parts with parameters."""

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
from pyg_relational.nn.graph_network_block import GraphNetworkBlock
from pyg_relational.nn.image_to_objects import ImageToObjects
from pyg_relational.nn.object_encoder import ObjectEncoder
from pyg_relational.nn.pair_readout import PairReadout
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent import (
    RelationalMemory,
    RelationGRUCell,
    RelationLSTMCell,
    Unroll,
)
from pyg_relational.nn.sentence_encoder import SentenceEncoder

__all__ = [
    "GraphNetworkBlock",
    "GraphRelationConv",
    "ImageToObjects",
    "ObjectEncoder",
    "PairReadout",
    "PairwiseMLP",
    "RelationAggregation",
    "RelationAttentionAggregation",
    "RelationAttentionConv",
    "RelationConv",
    "RelationGRUCell",
    "RelationLSTMCell",
    "RelationalMemory",
    "SentenceEncoder",
    "StepAttention",
    "Unroll",
]
