"""The mean score of each group of rows, for example of each kind of question."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class GroupedMean(Metric):
    """Mean of a score over all rows and within each group of each grouping.

    .. math::
        m_g = \\frac{1}{|R_g|} \\sum_{r \\in R_g} s_r

    Args:
        groups (Mapping[str, Sequence[str]]): Names of the groups of each grouping, such
            as ``{"kind": ("non-relational", "relational")}``.

    Shapes:
        - **score** :math:`(R, *)`, **indices**: for each grouping of the same shape,
          in ``range(len(groups[grouping]))``; groupings without indices are left out
          of an update.
        - :meth:`compute`: a dictionary ``{"all": {"all": m}, grouping: {group: m}}`` of
          floats; groups without rows are left out.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.groups = {"all": ("all",), **{k: tuple(v) for k, v in groups.items()}}
        size = sum(len(names) for names in self.groups.values())
        self.add_state("total", torch.zeros(size), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(size), dist_reduce_fx="sum")

    def update(self, score: Tensor, indices: Mapping[str, Tensor]) -> None:
        """Add the scores of a batch to their groups."""
        score = score.detach().to(self.total.dtype)
        everything = torch.zeros_like(score, dtype=torch.long)
        self._add(score, {"all": everything, **indices})

    def update_sets(self, solved: Tensor) -> None:
        """Add to the grouping ``"sets"`` whether all of a set's rows are right.

        Args:
            solved (torch.Tensor): Of each set, 1 if it is solved, :math:`(B)`.
        """
        solved = solved.detach().to(self.total.dtype)
        self._add(solved, {"sets": torch.zeros_like(solved, dtype=torch.long)})

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
