"""Node-to-node layers."""

from pyg_relational.nn.conv.relation_conv import RelationConv

__all__ = ["RelationConv"]
