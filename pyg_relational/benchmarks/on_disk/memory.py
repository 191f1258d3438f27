"""The memory of this process and of those that it started, over time."""

import threading
import time
from types import TracebackType

import psutil


class Memory:
    """Samples the memory that belongs to these processes alone, while it is open.

    Pages of files that the system keeps, such as those of a dataset, are not counted.

    Args:
        interval (float): Seconds between samples.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        # Of each sample: when it was taken, and the bytes.
        self.samples: list[tuple[float, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def within(self, start: float, stop: float) -> dict[str, int]:
        """Return the bytes after 10, 50 and 100 percent of a span of time, and the most
        within it.

        Args:
            start (float): When it began, by `time.perf_counter`.
            stop (float): When it ended.
        """
        found = {
            f"at {share} %": self._nearest(start + share / 100 * (stop - start))
            for share in (10, 50, 100)
        }
        inside = [used for moment, used in self.samples if start <= moment <= stop]
        return {**found, "highest": max([*inside, *found.values()])}

    def _nearest(self, moment: float) -> int:
        return min(self.samples, key=lambda sample: abs(sample[0] - moment))[1]

    def _sample(self) -> None:
        while True:
            self.samples.append((time.perf_counter(), used_bytes()))
            if self._done.wait(self.interval):
                return


def used_bytes() -> int:
    """Return the bytes that this process and those it started use alone."""
    this = psutil.Process()
    total = 0
    for process in [this, *this.children(recursive=True)]:
        try:
            total += process.memory_full_info().uss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # It has ended meanwhile.
            continue
    return total
