"""Layers from sets to vectors."""

from pyg_relational.nn.aggr.relation import RelationAggregation
from pyg_relational.nn.aggr.relation_attention import RelationAttentionAggregation
from pyg_relational.nn.aggr.step_attention import StepAttention

__all__ = ["RelationAggregation", "RelationAttentionAggregation", "StepAttention"]
