"""How answers are trained and judged."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Batch
from torch_geometric.utils import segment

from pyg_relational.benchmarks.graphs.settings import TASKS
from pyg_relational.ops import ptr_to_batch


class Judged(NamedTuple):
    """Which answers are right.

    Args:
        right (torch.Tensor): `[N]` or `[E]`, true where an answer is right.
        solved (torch.Tensor): `[B]`, true where all answers of a graph are.
    """

    right: Tensor
    solved: Tensor


def loss(task: str, out: Tensor, batch: Batch) -> Tensor:
    """Returns the cross-entropy, averaged over the elements and their steps.

    Args:
        task (str): One of `TASKS`.
        out (torch.Tensor): Answers `[N or E, L, C]`.
        batch (Batch): The graphs.
    """
    if TASKS[task].output != "pointer":
        y = batch.y.unsqueeze(1).expand(-1, out.size(1))
        return functional.cross_entropy(out.flatten(0, 1), y.flatten())
    scores, ptr, chosen = _scores(out, batch)
    owner = ptr_to_batch(ptr, scores.size(0))
    shift = segment(scores.detach(), ptr, "max")
    total = segment((scores - shift[owner]).exp(), ptr, "sum").log() + shift
    return (total - scores[chosen]).mean()


def judge(task: str, out: Tensor, batch: Batch) -> Judged:
    """Returns which answers are right; a choice among equal scores is wrong.

    Args:
        task (str): One of `TASKS`.
        out (torch.Tensor): Answers of one step, `[N or E, C]`.
        batch (Batch): The graphs.
    """
    owner = batch.batch
    if TASKS[task].output == "pointer":
        scores, ptr, chosen = _scores(out, batch)
        best = scores[chosen].index_select(0, ptr_to_batch(ptr, scores.size(0)))
        right = segment((scores >= best).to(out.dtype), ptr, "sum") == 1
    else:
        right = out.argmax(dim=-1) == batch.y
        if TASKS[task].output == "edge":
            owner = owner[batch.edge_index[1]]
    wrong = torch.zeros(batch.num_graphs, dtype=torch.long)
    solved = wrong.index_add(0, owner, (~right).long()) == 0
    return Judged(right, solved)


def _scores(out: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of all pairs, which are sorted by target; where the pairs of each target
    begin, and which of them is the answer."""
    sizes = batch.ptr.diff()[batch.batch]
    ptr = functional.pad(sizes.cumsum(0), (1, 0))
    return out.squeeze(-1), ptr, ptr[:-1] + batch.y
