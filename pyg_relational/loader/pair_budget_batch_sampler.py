import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from pyg_relational.loader.batch_plan import (
    Numbers,
    fill,
    join_lightest,
    split_largest,
)
from pyg_relational.loader.pair_costs import pair_costs

ORDERS = 8  # tried in an epoch until one needs no more batches than planned
OVERSIZE = ("alone", "error")


class PairBudgetBatchSampler(Sampler[list[int]]):
    r"""Fills batches by what the pairs of their graphs cost rather than by the number
    of graphs, and shares them among processes.

    All processes plan the same epoch and take every :obj:`world_size`-th batch. Each
    has the same number of batches, which is that of every epoch, so that a schedule
    planned by :obj:`len` holds. Where batches are too few to share, those of the most
    graphs are divided, so each graph is in exactly one batch and no batch is empty.

    Only where nearly every graph fills a batch of its own can their number not be
    made to fit: then the batches of the lowest cost are joined, beyond the budget, or,
    with :obj:`drop_last`, the last ones of the epoch are left out, fewer than there are
    processes.

    Pass it to a loader as :obj:`batch_sampler`, with
    :obj:`use_distributed_sampler=False` to Lightning's trainer, which calls
    :meth:`set_epoch` itself.

    Args:
        dataset (Dataset): The graphs.
        budget (int): What a batch may cost.
        cost (str or torch.Tensor): The method that will run, :obj:`"sorted"`,
            :obj:`"dense"` or :obj:`"edges"` (see :func:`pair_costs`), or the cost of
            each graph in whole units, :math:`[G]`. (default: :obj:`"sorted"`)
        shuffle (bool): Whether to draw a new order in every epoch.
            (default: :obj:`False`)
        seed (int): Seed of the orders. (default: :obj:`0`)
        rank (int): The number of this process. (default: :obj:`0`)
        world_size (int): The number of processes. (default: :obj:`1`)
        oversize (str): What becomes of a graph above the budget: a batch of its own
            (:obj:`"alone"`) or an error (:obj:`"error"`), as is then any batch above
            it. (default: :obj:`"alone"`)
        drop_last (bool): Whether batches that cannot be shared are left out rather
            than joined. (default: :obj:`False`)

    Raises:
        ValueError: If an argument is out of range, a graph above the budget is an
            error, or there are fewer graphs than processes.
    """

    def __init__(
        self,
        dataset: Any,
        budget: int,
        cost: str | Tensor = "sorted",
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        oversize: str = "alone",
        drop_last: bool = False,
    ) -> None:
        _check_arguments(budget, seed, rank, world_size, oversize)
        costs = _check_costs(cost, len(dataset)) if isinstance(cost, Tensor) else None
        costs = pair_costs(dataset, str(cost)) if costs is None else costs
        self.costs: Numbers = costs.numpy()
        self.budget = int(budget)
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.drop_last = drop_last
        self.epoch = 0
        self._start = self._position = 0
        if oversize == "error":
            self._check_budget()
        # An epoch without an order as short takes these batches.
        self._first = self._filled(0, 0)
        tried = range(1, ORDERS if shuffle else 1)
        self._most = max(len(self._first), *(len(self._filled(0, n)) for n in tried), 0)
        self._count = self._shared_count()
        if oversize == "error" and self._most > self._count and not drop_last:
            raise ValueError(
                f"'budget' leaves {self._most} batches of single graphs that "
                f"{world_size} processes cannot share evenly; raise it or set "
                f"'drop_last'"
            )

    @property
    def sampler(self) -> "PairBudgetBatchSampler":
        r"""This sampler: Lightning sets the epoch of a batch sampler's sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        r"""Chooses the order of an epoch.

        Args:
            epoch (int): Its number. Another one than before begins at its first batch.
        """
        if epoch < 0:
            raise ValueError(f"'epoch' must be at least 0 (got {epoch})")
        if epoch != self.epoch:
            self.epoch = epoch
            self._start = self._position = 0

    def __len__(self) -> int:
        return self._count // self.world_size

    def __iter__(self) -> Iterator[list[int]]:
        start, self._start = self._start, 0
        # Also of an iteration that nothing is asked of.
        self._position = start
        return self._batches(start)

    def state_dict(self) -> dict[str, Any]:
        r"""Returns the epoch, the number of batches of it that were handed out, and
        what the plan depends on. It is the same on every process."""
        return {"epoch": self.epoch, "position": self._position, "plan": self._tag()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Continues where a sampler with the same arguments was: the next iteration
        yields the batches that were left.

        Args:
            state (dict[str, Any]): What :meth:`state_dict` returned.

        Raises:
            ValueError: If the arguments or the graphs were others.
        """
        for name, value in self._tag().items():
            if state["plan"].get(name) != value:
                raise ValueError(
                    f"'state' belongs to other batches: '{name}' was "
                    f"{state['plan'].get(name)} and is {value}; make the sampler as it "
                    f"was made, or begin the epoch anew"
                )
        if not 0 <= state["position"] <= len(self):
            raise ValueError(
                f"'position' of 'state' must be at most {len(self)} "
                f"(got {state['position']})"
            )
        self.set_epoch(state["epoch"])
        self._start = self._position = state["position"]

    def _batches(self, start: int) -> Iterator[list[int]]:
        for batch in self._plan()[self.rank :: self.world_size][start:]:
            self._position += 1
            yield batch.tolist()

    def _tag(self) -> dict[str, Any]:
        names = ("budget", "shuffle", "seed", "world_size", "drop_last")
        tag = {name: getattr(self, name) for name in names}
        return {**tag, "costs": zlib.crc32(self.costs.tobytes())}

    def _check_budget(self) -> None:
        above = np.flatnonzero(self.costs > self.budget)
        if len(above):
            raise ValueError(
                f"'budget' must be at least the cost of each graph: that of graph "
                f"{above[0]} is {self.costs[above[0]]}, of {len(above)} in all above "
                f"{self.budget}; raise it, or give them batches of their own with "
                f"oversize='alone'"
            )

    def _filled(self, epoch: int, attempt: int) -> list[Numbers]:
        order = np.arange(len(self.costs))
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, attempt]).shuffle(order)
        return fill(self.costs, order, self.budget)

    def _shared_count(self) -> int:
        graphs, processes = len(self.costs), self.world_size
        if graphs < processes:
            raise ValueError(
                f"'dataset' must hold a graph for each of {processes} processes "
                f"(got {graphs})"
            )
        count = -(-self._most // processes) * processes
        return count if count <= graphs else graphs // processes * processes

    def _plan(self) -> list[Numbers]:
        """The batches of the epoch, of all processes."""
        for attempt in range(ORDERS):
            batches = self._filled(self.epoch, attempt)
            if len(batches) <= self._most:
                break
        else:
            batches = [*self._first]
            np.random.default_rng([self.seed, self.epoch]).shuffle(batches)
        if len(batches) <= self._count:
            return split_largest(batches, self._count)
        if self.drop_last:
            return batches[: self._count]
        return join_lightest(batches, self._count, self.costs)


def _check_arguments(
    budget: float, seed: int, rank: int, world_size: int, oversize: str
) -> None:
    for name, value, least in (
        ("budget", budget, 1),
        ("seed", seed, 0),
        ("world_size", world_size, 1),
    ):
        if value < least:
            raise ValueError(f"'{name}' must be at least {least} (got {value})")
    if not 0 <= rank < world_size:
        raise ValueError(
            f"'rank' must be from 0 to {world_size - 1}, below 'world_size' "
            f"(got {rank})"
        )
    if oversize not in OVERSIZE:
        raise ValueError(
            f"'oversize' must be one of {', '.join(OVERSIZE)} (got '{oversize}')"
        )


def _check_costs(costs: Tensor, graphs: int) -> Tensor:
    if costs.shape != (graphs,) or costs.dtype != torch.long:
        raise ValueError(
            f"'cost' must be the name of a method or the cost of each graph, int64 of "
            f"shape [{graphs}] (got {costs.dtype} of shape {list(costs.shape)})"
        )
    if bool((costs < 1).any()):
        raise ValueError(f"'cost' must be at least 1 (got {int(costs.min())})")
    return costs.cpu()
