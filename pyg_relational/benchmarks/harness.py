"""Seconds, taken in turns, and peak memory of a call."""

import ctypes
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

SAMPLE_SECONDS = 0.02
ROUNDS = 3  # at least so many, whatever the budget
CLEAR_REFS = Path("/proc/self/clear_refs")
Call = Callable[[], Any]


@dataclass(frozen=True)
class Peak:
    """The memory of a call.

    Args:
        extra (int): Bytes at the highest point beyond those before the call; results
            and gradients count.
        total (int): Bytes of the process, or of the device, at that point.
    """

    extra: int
    total: int


def seconds(call: Call, device: str, calls: int = 1) -> float:
    """Return the mean time of consecutive calls."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return (time.perf_counter() - start) / calls


def in_turns(
    calls: Mapping[str, Call],
    expected: Mapping[str, float],
    device: str,
    repeats: int,
    budget: float,
    generator: random.Random,
) -> dict[str, list[float]]:
    """Time calls side by side: every round times each once, in a new order, so that
    what slows the machine for a while slows all of them."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for number in range(repeats):
        if number >= ROUNDS and time.perf_counter() - start > budget:
            break
        for name in generator.sample(list(calls), len(calls)):
            times = max(1, round(SAMPLE_SECONDS / max(expected[name], 1e-6)))
            samples[name].append(seconds(calls[name], device, times))
    return samples


def peak_memory(call: Call, device: str) -> tuple[Any, float, Peak]:
    """Call once and return the result, the seconds and the peak memory.

    On CUDA the allocator counts. On Linux the kernel keeps the largest resident set,
    which is reset just before the call, after freed memory was handed back to it;
    it counts pages, so some hundred kilobytes are noise. Elsewhere a thread samples
    the resident set, which can miss short peaks."""
    gc.collect()
    if device == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result, elapsed = _timed(call, device)
        most = torch.cuda.max_memory_allocated()
        return result, elapsed, Peak(most - before, most)
    if sys.platform != "linux":
        return _sampled(call, device)
    ctypes.CDLL(None).malloc_trim(0)
    before = psutil.Process().memory_info().rss
    CLEAR_REFS.write_text("5")
    result, elapsed = _timed(call, device)
    most = _high_water_mark()
    return result, elapsed, Peak(max(most - before, 0), most)


def free_bytes(device: str) -> int:
    """Return the memory that is free on a device."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available


def _timed(call: Call, device: str) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    _wait(device)
    return result, time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _high_water_mark() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("'/proc/self/status' has no line VmHWM on this kernel")


def _sampled(call: Call, device: str) -> tuple[Any, float, Peak]:
    process, done = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def sample() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        result, elapsed = _timed(call, device)
    finally:
        done.set()
        thread.join()
    return result, elapsed, Peak(most - before, most)
