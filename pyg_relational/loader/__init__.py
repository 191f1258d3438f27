"""Loaders and samplers for batches of graphs of any size."""

from pyg_relational.loader.on_disk import OnDiskGraphs
from pyg_relational.loader.pair_budget import (
    PairBudgetBatchSampler,
    SplitBatchSampler,
    pair_costs,
)
from pyg_relational.loader.resumable import ResumableLoader
from pyg_relational.loader.stored import (
    NotStoredError,
    StoredGraphs,
    StoredLoader,
    graph_loader,
    in_memory,
    why_not_stored,
)

__all__ = [
    "NotStoredError",
    "OnDiskGraphs",
    "PairBudgetBatchSampler",
    "ResumableLoader",
    "SplitBatchSampler",
    "StoredGraphs",
    "StoredLoader",
    "graph_loader",
    "in_memory",
    "pair_costs",
    "why_not_stored",
]
