"""Logical constraints of relations: how often symmetry, transitivity and others hold.

A relation is a truth value or a probability for each listed ordered pair of objects:
that of a predicate, or what a model has learned. Each constraint is an implication and
is measured where its premise holds, so that a relation that seldom holds does not look
lawful for that reason alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch
from pyg_relational.ops.ragged import Block, blocks


@dataclass(frozen=True)
class ConstraintShare:
    r"""How often a constraint holds in each graph.

    Args:
        holds (torch.Tensor): In how many cases it holds, shape :math:`[B]`.
        count (torch.Tensor): How many cases there are, shape :math:`[B]`.
    """

    holds: Tensor
    count: Tensor

    @property
    def share(self) -> Tensor:
        r"""The share of each graph, shape :math:`[B]`; NaN where there is no case."""
        return self.holds / self.count

    @property
    def total(self) -> float:
        r"""The share in all graphs together; NaN where there is no case."""
        return float(self.holds.sum() / self.count.sum())

    def __str__(self) -> str:
        holds, count = int(self.holds.sum()), int(self.count.sum())
        return f"{self.total:.2%} ({holds:,} of {count:,})" if count else "no case"


def symmetry(
    edge_index: Tensor,
    relation: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    threshold: float = 0.5,
) -> ConstraintShare:
    r"""Measures :math:`r(a, b) \Rightarrow r(b, a)` over pairs of different objects.

    A case is an ordered pair in which :math:`r` holds, of which the reverse pair is
    listed too. Takes :math:`O(P \log P)` time for :math:`P` pairs."""
    pairs = _Pairs(edge_index, batch, batch_size)
    r = pairs.decide(relation, threshold, "relation")
    cases = r & pairs.reversible
    return pairs.share(cases & r[pairs.reverse], cases)


def antisymmetry(
    edge_index: Tensor,
    relation: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    threshold: float = 0.5,
) -> ConstraintShare:
    r"""Measures :math:`r(a, b) \Rightarrow \neg r(b, a)` over pairs of different
    objects; arguments and cases are those of :func:`symmetry`."""
    found = symmetry(edge_index, relation, batch, batch_size, threshold)
    return ConstraintShare(found.count - found.holds, found.count)


def reflexivity(
    edge_index: Tensor,
    relation: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    threshold: float = 0.5,
) -> ConstraintShare:
    r"""Measures :math:`r(a, a)` over the listed pairs of an object with itself;
    arguments are those of :func:`symmetry`. A share of zero is that of an irreflexive
    relation."""
    pairs = _Pairs(edge_index, batch, batch_size)
    r = pairs.decide(relation, threshold, "relation")
    cases = edge_index[0] == edge_index[1]
    return pairs.share(cases & r, cases)


def inverse(
    edge_index: Tensor,
    relation: Tensor,
    other: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    threshold: float = 0.5,
) -> ConstraintShare:
    r"""Measures :math:`r(a, b) \Leftrightarrow s(b, a)`: whether one relation is the
    inverse of the other.

    A case is an ordered pair in which one of both sides holds, of which the reverse
    pair is listed too; pairs of an object with itself count where they are listed.
    Takes :math:`O(P \log P)` time for :math:`P` pairs."""
    pairs = _Pairs(edge_index, batch, batch_size)
    r = pairs.decide(relation, threshold, "relation")
    s = pairs.decide(other, threshold, "other")[pairs.reverse]
    cases = pairs.listed & (r | s)
    return pairs.share(cases & r & s, cases)


def transitivity(
    edge_index: Tensor,
    relation: Tensor,
    batch: Tensor | None = None,
    batch_size: int | None = None,
    threshold: float = 0.5,
) -> ConstraintShare:
    r"""Measures :math:`r(a, b) \wedge r(b, c) \Rightarrow r(a, c)` over triples of
    different objects.

    A case is an ordered triple in which both premises hold, of which :math:`(a, c)` is
    listed too. Arguments are those of :func:`symmetry`. Cases are counted by matrix
    products, not listed: :math:`O(n^3)` time and :math:`O(n^2)` memory for a graph of
    :math:`n` objects, however few of its pairs are listed.
    """
    pairs = _Pairs(edge_index, batch, batch_size)
    r = pairs.decide(relation, threshold, "relation")
    holds, count = pairs.ptr.new_zeros(2, pairs.ptr.numel() - 1)
    different = edge_index[0] != edge_index[1]
    for block in blocks(pairs.ptr, pairs.ptr):
        listed = pairs.matrices(different, block)
        true = pairs.matrices(different & r, block)
        # [S, n, n]: over how many objects b each (a, c) is reached; exact in float32.
        paths = true @ true
        for out, last in ((holds, true), (count, listed)):
            cases = (paths * last).sum(dim=(1, 2), dtype=torch.float64)
            block.put_sets(out, cases.round().long())
    return ConstraintShare(holds, count)


class _Pairs:
    """The listed pairs of a batch, each with its graph and its reverse pair."""

    def __init__(
        self, edge_index: Tensor, batch: Tensor | None, batch_size: int | None
    ) -> None:
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"'edge_index' must list pairs, shape [2, P] (got "
                f"{list(edge_index.shape)})"
            )
        low, high = (0, -1)
        if edge_index.numel():
            low, high = (int(end) for end in edge_index.aminmax())
        objects = high + 1 if batch is None else batch.numel()
        if low < 0 or high >= objects:
            raise ValueError(
                f"'edge_index' must name objects from 0 to {objects - 1} (got {low} to "
                f"{high})"
            )
        self.edge_index = edge_index
        self.ptr = set_ptr(batch, objects, batch_size, edge_index.device)
        self.graph, target = ptr_to_batch(self.ptr, objects)[edge_index]
        if bool((self.graph != target).any()):
            pair = int((self.graph != target).nonzero()[0])
            raise ValueError(
                f"'edge_index' must not join graphs of a batch (got the pair "
                f"{edge_index[:, pair].tolist()} of graphs {int(self.graph[pair])} and "
                f"{int(target[pair])})"
            )
        self._find_reverse(objects)

    def _find_reverse(self, objects: int) -> None:
        source, target = self.edge_index
        key, order = (source * objects + target).sort()
        again = key[1:] == key[:-1]
        if bool(again.any()):
            pair = self.edge_index[:, order[int(again.nonzero()[0])]].tolist()
            raise ValueError(
                f"'edge_index' must list each pair once (got {pair} repeatedly); "
                f"reduce parallel edges first, e.g. with "
                f"'torch_geometric.utils.coalesce'"
            )
        wanted = target * objects + source
        place = torch.searchsorted(key, wanted).clamp_max(max(key.numel() - 1, 0))
        self.listed = key[place] == wanted
        self.reverse = order[place]
        self.reversible = self.listed & (source != target)

    def decide(self, relation: Tensor, threshold: float, name: str) -> Tensor:
        if relation.shape != self.graph.shape:
            raise ValueError(
                f"'{name}' must have a number for each of {self.graph.numel()} pairs, "
                f"shape [{self.graph.numel()}] (got {list(relation.shape)}); pass one "
                f"column, e.g. 'relation[:, 0]'"
            )
        if relation.dtype == torch.bool:
            return relation
        if not 0 <= threshold < 1:
            raise ValueError(
                f"'threshold' must be at least 0 and below 1 (got {threshold})"
            )
        # Also false for NaN.
        if not bool(((relation >= 0) & (relation <= 1)).all()):
            raise ValueError(
                f"'{name}' must hold truth values, or probabilities from 0 to 1 (got "
                f"{float(relation.min()):g} to {float(relation.max()):g}); apply "
                f"'.sigmoid()' to logits"
            )
        return relation > threshold

    def share(self, holds: Tensor, cases: Tensor) -> ConstraintShare:
        graphs = self.ptr.numel() - 1
        counted = [
            torch.bincount(self.graph[mask], minlength=graphs)
            for mask in (holds, cases)
        ]
        return ConstraintShare(*counted)

    def matrices(self, chosen: Tensor, block: Block) -> Tensor:
        """Marks the chosen pairs in a matrix a graph of the block, `[S, n, n]`."""
        slot = torch.full_like(self.ptr[:-1], -1)
        numbers = torch.arange(block.num_sets, device=slot.device)
        slot[slice(None) if block.set_index is None else block.set_index] = numbers
        kept = chosen & (slot[self.graph] >= 0)
        graph = self.graph[kept]
        a, b = self.edge_index[:, kept] - self.ptr[graph]
        n = block.num_targets
        out = torch.zeros(block.num_sets, n, n, device=slot.device)
        out[slot[graph], a, b] = 1.0
        return out
