"""Relational models: compositions of the parts in :mod:`pyg_relational.nn`."""

from pyg_relational.models.attention_relation_network import AttentionRelationNetwork
from pyg_relational.models.graph_attention_network import GraphAttentionNetwork
from pyg_relational.models.graph_network import GraphNetwork
from pyg_relational.models.graph_relation_network import GraphRelationNetwork
from pyg_relational.models.pair_classifiers import (
    ImageRelationClassifier,
    PairRelation,
    SentenceRelationClassifier,
    TokenRelationClassifier,
)
from pyg_relational.models.r2n2 import R2N2, TemporalRelationNetwork
from pyg_relational.models.recurrent_relation_network import RecurrentRelationNetwork
from pyg_relational.models.relation_composition_network import (
    RelationCompositionNetwork,
)
from pyg_relational.models.relation_network import (
    DeepSets,
    PixelRelationNetwork,
    RelationNetwork,
)
from pyg_relational.models.relational_memory_network import RelationalMemoryNetwork
from pyg_relational.models.spatio_temporal_relation_network import (
    SpatioTemporalRelationNetwork,
)
from pyg_relational.models.statement_network import StatementNetwork
from pyg_relational.models.story_network import StoryNetwork

__all__ = [
    "R2N2",
    "AttentionRelationNetwork",
    "DeepSets",
    "GraphAttentionNetwork",
    "GraphNetwork",
    "GraphRelationNetwork",
    "ImageRelationClassifier",
    "PairRelation",
    "PixelRelationNetwork",
    "RecurrentRelationNetwork",
    "RelationCompositionNetwork",
    "RelationNetwork",
    "RelationalMemoryNetwork",
    "SentenceRelationClassifier",
    "SpatioTemporalRelationNetwork",
    "StatementNetwork",
    "StoryNetwork",
    "TemporalRelationNetwork",
    "TokenRelationClassifier",
]
