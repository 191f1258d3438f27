"""Layers from nodes to nodes."""

from pyg_relational.nn.conv.relation_attention_conv import RelationAttentionConv
from pyg_relational.nn.conv.relation_conv import RelationConv

__all__ = ["RelationAttentionConv", "RelationConv"]
