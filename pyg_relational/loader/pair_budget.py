"""Batches by what their pairs cost, and batches shared among processes."""

import heapq
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset
from pyg_relational.loader.stored import NotStoredError, StoredGraphs

Numbers = NDArray[np.int64]
COSTS = ("sorted", "dense", "edges")
OVERSIZE = ("alone", "error")
ORDERS = 8  # tried in an epoch until one needs no more batches than planned


class SplitBatchSampler(Sampler[list[int]]):
    r"""Splits each batch of another sampler among processes, so that together they
    compute what one process would.

    Rank :math:`r` of :math:`R` gets the graphs from :math:`\lfloor B r / R \rfloor` to
    :math:`\lfloor B (r + 1) / R \rfloor` of a batch of :math:`B`: parts that differ by
    one graph at most. Every process has as many parts as there are batches. No part is
    empty: where a batch has fewer graphs than there are processes, its first graph
    stands in, and :meth:`stands_in` says that it does not count.

    Pass it to a loader as :obj:`batch_sampler`, with
    :obj:`use_distributed_sampler=False` to Lightning's trainer. All processes must be
    given the same batches.

    Args:
        batches (Sampler): Yields the batches, lists of numbers of graphs.
        rank (int): The number of this process. (default: :obj:`0`)
        world_size (int): The number of processes. (default: :obj:`1`)

    Raises:
        ValueError: If :obj:`rank` or :obj:`world_size` is out of range.
    """

    def __init__(self, batches: Any, rank: int = 0, world_size: int = 1) -> None:
        _check_rank(rank, world_size)
        self.batches = batches
        self.rank = rank
        self.world_size = world_size
        self._stand_ins: set[int] = set()

    @property
    def sampler(self) -> Any:
        r"""What orders the graphs: Lightning tells it the epoch."""
        return getattr(self.batches, "sampler", None)

    def stands_in(self, number: int) -> bool:
        r"""Tells whether a part of the current epoch is a graph of another process's
        part, which must not count.

        Args:
            number (int): The number of the part, once it was yielded.
        """
        return number in self._stand_ins

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        self._stand_ins.clear()
        for number, batch in enumerate(self.batches):
            size = len(batch)
            start = size * self.rank // self.world_size
            part = batch[start : size * (self.rank + 1) // self.world_size]
            if not part:
                self._stand_ins.add(number)
            yield part or batch[:1]


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
        _check_least("budget", budget, 1)
        _check_least("seed", seed, 0)
        _check_rank(rank, world_size)
        if oversize not in OVERSIZE:
            raise ValueError(
                f"'oversize' must be one of {', '.join(OVERSIZE)} (got '{oversize}')"
            )
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
        _check_least("epoch", epoch, 0)
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


def fill(costs: Numbers, order: Numbers, budget: int) -> list[Numbers]:
    """Returns batches filled one after another; what does not fit begins the next."""
    ends = costs[order].cumsum()
    bounds = [0]
    while bounds[-1] < len(order):
        start = bounds[-1]
        spent = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, spent + budget, "right"))
        bounds.append(max(stop, start + 1))
    return np.split(order, bounds[1:-1]) if len(order) else []


def split_largest(batches: list[Numbers], count: int) -> list[Numbers]:
    """Returns more batches: those of the most graphs are divided evenly, in place."""
    parts = [1] * len(batches)
    heap = [(-float(len(batch)), number) for number, batch in enumerate(batches)]
    heapq.heapify(heap)
    for _ in range(count - len(batches)):
        _, number = heapq.heappop(heap)
        parts[number] += 1
        heapq.heappush(heap, (-len(batches[number]) / parts[number], number))
    divided = zip(batches, parts, strict=True)
    return [part for batch, n in divided for part in np.array_split(batch, n)]


def join_lightest(batches: list[Numbers], count: int, costs: Numbers) -> list[Numbers]:
    """Returns fewer batches: those of the lowest cost are joined."""
    heap = [(int(costs[batch].sum()), n) for n, batch in enumerate(batches)]
    heapq.heapify(heap)
    kept = dict(enumerate(batches))
    for _ in range(len(batches) - count):
        one, first = heapq.heappop(heap)
        other, second = heapq.heappop(heap)
        kept[second] = np.concatenate([kept[second], kept.pop(first)])
        heapq.heappush(heap, (one + other, second))
    return [*kept.values()]


def pair_costs(dataset: Any, cost: str = "sorted") -> Tensor:
    r"""Returns what a model spends on the pairs of each graph, in whole units.

    With :math:`N` nodes and :math:`E` edges, the units are

    .. math::
        \text{sorted} = \lceil N \log_2 \max(N, 2) \rceil, \quad
        \text{dense} = N^2, \quad \text{edges} = E,

    and at least 1, so that no batch holds more graphs than its budget.

    Args:
        dataset (Dataset): The graphs.
        cost (str): The method that will run: :obj:`"sorted"` operators over all pairs,
            :obj:`"dense"` pairs, or given :obj:`"edges"`. (default: :obj:`"sorted"`)

    Returns:
        torch.Tensor: The cost of each graph, int64, :math:`[G]`.

    Raises:
        ValueError: If :obj:`cost` is unknown, or the number of nodes or edges of a
            graph is not known.
    """
    if cost not in COSTS:
        raise ValueError(f"'cost' must be one of {', '.join(COSTS)} (got '{cost}')")
    counts = _counts(dataset, edges=cost == "edges")
    if cost == "dense":
        counts = counts**2
    elif cost == "sorted":
        counts = (counts * counts.clamp(min=2).double().log2()).ceil().long()
    return counts.clamp(min=1)


def _counts(dataset: Any, edges: bool) -> Tensor:
    name = "edge_index" if edges else None
    try:
        counts = StoredGraphs(dataset).row_counts(name)
    except NotStoredError:
        if isinstance(dataset, ChunkedOnDiskDataset) and dataset.transform is None:
            name = name or "x"
            if name in dataset.schema and (edges or "num_nodes" not in dataset.schema):
                return dataset.row_counts(name)
        return _count_each(dataset, edges)
    if counts is None:
        raise _unknown(edges)
    return counts


def _count_each(dataset: Any, edges: bool) -> Tensor:
    found = []
    for number in range(len(dataset)):
        graph = dataset[number]
        if edges and "edge_index" not in graph:
            raise _unknown(edges)
        count = graph.num_edges if edges else graph.num_nodes
        if count is None:
            raise _unknown(edges)
        found.append(count)
    return torch.tensor(found, dtype=torch.long)


def _unknown(edges: bool) -> ValueError:
    if edges:
        return ValueError(
            "'cost' is \"edges\", but graphs have no 'edge_index'; all pairs cost "
            '"sorted" or "dense"'
        )
    return ValueError(
        "the number of nodes of a graph is not known; set 'num_nodes', or pass the "
        "costs as 'cost'"
    )


def _check_rank(rank: int, world_size: int) -> None:
    _check_least("world_size", world_size, 1)
    if not 0 <= rank < world_size:
        raise ValueError(
            f"'rank' must be from 0 to {world_size - 1}, below 'world_size' "
            f"(got {rank})"
        )


def _check_least(name: str, value: float, least: int) -> None:
    if value < least:
        raise ValueError(f"'{name}' must be at least {least} (got {value})")


def _check_costs(costs: Tensor, graphs: int) -> Tensor:
    if costs.shape != (graphs,) or costs.dtype != torch.long:
        raise ValueError(
            f"'cost' must be the name of a method or the cost of each graph, int64 of "
            f"shape [{graphs}] (got {costs.dtype} of shape {list(costs.shape)})"
        )
    if bool((costs < 1).any()):
        raise ValueError(f"'cost' must be at least 1 (got {int(costs.min())})")
    return costs.cpu()
