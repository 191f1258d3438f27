"""Parts with parameters."""

from pyg_relational.nn.aggr import RelationAggregation
from pyg_relational.nn.conv import RelationConv
from pyg_relational.nn.image_to_objects import ImageToObjects
from pyg_relational.nn.pairwise import PairwiseMLP

__all__ = ["ImageToObjects", "PairwiseMLP", "RelationAggregation", "RelationConv"]
