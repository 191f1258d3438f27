"""Layers from nodes to nodes."""

from pyg_relational.nn.conv.graph_relation_conv import GraphRelationConv
from pyg_relational.nn.conv.relation_attention_conv import RelationAttentionConv
from pyg_relational.nn.conv.relation_conv import RelationConv

__all__ = ["GraphRelationConv", "RelationAttentionConv", "RelationConv"]
