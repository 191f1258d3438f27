"""Pure functions on ragged sets: exact reductions over all pairs, and conversions.

Features are not checked for NaN and infinity: both give what they give over explicit
pairs, in their own set and in no other.
"""

from pyg_relational.ops.additive_attention import additive_attention
from pyg_relational.ops.dot_attention import dot_attention
from pyg_relational.ops.pair_attention import pair_attention
from pyg_relational.ops.pair_reduce import mlp_pair_reduce
from pyg_relational.ops.pair_sum import relu_pair_sum, relu_pair_total
from pyg_relational.ops.ragged import (
    batch_to_ptr,
    from_dense,
    fully_connected_edges,
    gather_sets,
    map_to_objects,
    ptr_to_batch,
    to_dense,
)

__all__ = [
    "additive_attention",
    "batch_to_ptr",
    "dot_attention",
    "from_dense",
    "fully_connected_edges",
    "gather_sets",
    "map_to_objects",
    "mlp_pair_reduce",
    "pair_attention",
    "ptr_to_batch",
    "relu_pair_sum",
    "relu_pair_total",
    "to_dense",
]
