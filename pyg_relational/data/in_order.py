"""Work shared among processes, whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import (
    connection,
    get_all_start_methods,
    get_context,
    parent_process,
)
from threading import Thread
from typing import TypeVar

import torch

METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[Result]:
    """Yields the result of each task, in the order of tasks; only a few are under way
    or waiting at once."""
    if workers == 1:
        yield from map(work, tasks)
        return
    context = get_context(METHOD)
    # Imported once, and shared: workers start from a process that has run nothing.
    context.set_forkserver_preload([__name__])
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, context, _set_up) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _set_up() -> None:
    """Each worker has one thread, and ends with the process that started it."""
    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    # A killed process tells nobody: its workers would wait for tasks forever.
    connection.wait([parent.sentinel])
    os._exit(1)
