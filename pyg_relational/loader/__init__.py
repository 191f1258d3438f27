"""Loaders and samplers for batches of graphs of any size."""

from pyg_relational.loader.errors import NotStoredError
from pyg_relational.loader.in_memory import in_memory
from pyg_relational.loader.on_disk_graphs import OnDiskGraphs
from pyg_relational.loader.pair_budget_batch_sampler import PairBudgetBatchSampler
from pyg_relational.loader.pair_costs import pair_costs
from pyg_relational.loader.resumable_loader import ResumableLoader
from pyg_relational.loader.split_batch_sampler import SplitBatchSampler
from pyg_relational.loader.stored_graphs import StoredGraphs
from pyg_relational.loader.stored_loader import (
    StoredLoader,
    graph_loader,
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
