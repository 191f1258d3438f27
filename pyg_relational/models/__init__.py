"""Relational models: compositions of the parts in :mod:`pyg_relational.nn`."""

from pyg_relational.models.attention_relation_network import AttentionRelationNetwork
from pyg_relational.models.deep_sets import DeepSets
from pyg_relational.models.pair_relation import PairRelation
from pyg_relational.models.pixel_relation_network import PixelRelationNetwork
from pyg_relational.models.relation_network import RelationNetwork

__all__ = [
    "AttentionRelationNetwork",
    "DeepSets",
    "PairRelation",
    "PixelRelationNetwork",
    "RelationNetwork",
]
