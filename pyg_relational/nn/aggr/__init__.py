"""Set-to-vector aggregations."""

from pyg_relational.nn.aggr.relation import RelationAggregation

__all__ = ["RelationAggregation"]
