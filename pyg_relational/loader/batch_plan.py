"""Which graphs of an epoch go into which batch."""

import heapq

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def fill(costs: Numbers, order: Numbers, budget: int) -> list[Numbers]:
    """Returns batches filled one after another; what does not fit begins the next.

    Args:
        costs (numpy.ndarray): The cost of each graph, `[G]`.
        order (numpy.ndarray): The order of graphs, `[G]`.
        budget (int): What a batch may cost; a graph above it is alone.
    """
    ends = costs[order].cumsum()
    bounds = [0]
    while bounds[-1] < len(order):
        start = bounds[-1]
        spent = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, spent + budget, "right"))
        bounds.append(max(stop, start + 1))
    return np.split(order, bounds[1:-1]) if len(order) else []


def split_largest(batches: list[Numbers], count: int) -> list[Numbers]:
    """Returns more batches: those of the most graphs are divided evenly, in place.

    Args:
        batches (list of numpy.ndarray): Batches.
        count (int): How many to make of them, at most as many as there are graphs.
    """
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
    """Returns fewer batches: those of the lowest cost are joined.

    Args:
        batches (list of numpy.ndarray): Batches.
        count (int): How many to make of them.
        costs (numpy.ndarray): The cost of each graph, `[G]`.
    """
    heap = [(int(costs[batch].sum()), n) for n, batch in enumerate(batches)]
    heapq.heapify(heap)
    kept = dict(enumerate(batches))
    for _ in range(len(batches) - count):
        one, first = heapq.heappop(heap)
        other, second = heapq.heappop(heap)
        kept[second] = np.concatenate([kept[second], kept.pop(first)])
        heapq.heappush(heap, (one + other, second))
    return [*kept.values()]
