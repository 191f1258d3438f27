"""The mean score of each group of rows, for example of each kind of question."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import scatter
from torchmetrics import Metric

# The grouping of graphs whose rows are all right.
SETS = "sets"


class GroupedMean(Metric):
    """Mean of a score over all rows and within each group of each grouping.

    .. math::
        m_g = \\frac{1}{|R_g|} \\sum_{r \\in R_g} s_r

    Args:
        groups (Mapping[str, Sequence[str]]): Names of the groups of each grouping, such
            as ``{"kind": ("non-relational", "relational")}``.
        **kwargs (optional): Arguments of :class:`torchmetrics.Metric`. Sums and counts
            are added over processes unless ``sync_on_compute=False``.

    Shapes:
        - **score** :math:`(R, *)`, **indices**: for each grouping of the same shape,
          in ``range(len(groups[grouping]))``; groupings without indices are left out
          of an update. The indices of ``"sets"``, whose only group holds the share of
          graphs with a score of 1 in every row, are the numbers of the graphs; a graph
          is in one update alone.
        - :meth:`compute`: a dictionary ``{"all": {"all": m}, grouping: {group: m}}`` of
          floats; groups without rows are left out.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, groups: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = {"all": ("all",), **{k: tuple(v) for k, v in groups.items()}}
        size = sum(len(names) for names in self.groups.values())
        # Sums of many numbers shall not depend on their order.
        zeros = torch.zeros(size, dtype=torch.float64)
        self.add_state("total", zeros, dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")

    def update(self, score: Tensor, indices: Mapping[str, Tensor]) -> None:
        """Add the scores of a batch to their groups."""
        score = score.detach().to(self.total.dtype)
        everything = torch.zeros_like(score, dtype=torch.long)
        groups = {name: index for name, index in indices.items() if name != SETS}
        self._add(score, {"all": everything, **groups})
        if SETS in indices:
            solved = _solved(score.flatten(), indices[SETS].flatten())
            self._add(solved, {SETS: torch.zeros_like(solved, dtype=torch.long)})

    def _add(self, score: Tensor, indices: Mapping[str, Tensor]) -> None:
        offset = 0
        for grouping, names in self.groups.items():
            if grouping in indices:
                index = (indices[grouping] + offset).flatten()
                self.total.index_add_(0, index, score.flatten())
                self.count.index_add_(0, index, torch.ones_like(score).flatten())
            offset += len(names)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return the mean score of every group that has rows."""
        means = iter((self.total / self.count).tolist())
        result = {
            grouping: {name: next(means) for name in names}
            for grouping, names in self.groups.items()
        }
        return {
            grouping: {name: mean for name, mean in values.items() if mean == mean}
            for grouping, values in result.items()
        }


def _solved(score: Tensor, graph: Tensor) -> Tensor:
    """Of each graph with a score, 1 if all its scores are."""
    rows = graph.bincount()
    wrong = scatter(1 - score, graph, dim_size=rows.numel())
    return (wrong[rows > 0] == 0).to(score.dtype)
