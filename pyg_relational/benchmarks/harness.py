"""What all benchmarks share: options, clocks, peak memory, figures and how they are
written. `benchmarks/ops` shows its use; scripts of measurements end in :func:`main`.
"""

import argparse
import ctypes
import gc
import inspect
import json
import random
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import psutil
import torch

from pyg_relational._checks import UsageError
from pyg_relational._files import write_atomic, write_json
from pyg_relational.train.results import table_text
from pyg_relational.train.run_folder import hardware, keep_freed_memory, versions

RECORDS = Path("examples/results")
SAMPLE_SECONDS = 0.02
ROUNDS = 3  # at least so many, whatever the budget
CLEAR_REFS = Path("/proc/self/clear_refs")
Call = Callable[[], Any]
Run = Callable[..., dict[str, Any]]


# From the options of a run to what it prints and writes.


def main(run: Run, summary: Callable[[dict[str, Any]], str] | None = None) -> None:
    """Run a script of measurements as its command line says, and exit."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output", help="JSON file for the figures as well")
    add_options(parser, run)
    options = vars(parser.parse_args())
    try:
        execute(run, options, summary)
    except (UsageError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def execute(
    run: Run,
    options: Mapping[str, Any],
    summary: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    """Run with options, print the summary (the table, or else JSON), write JSON to
    `output`."""
    keep_freed_memory()
    figures = run(**{name: options[name] for name in inspect.signature(run).parameters})
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    if summary is None and "table" in figures:
        summary = table_summary
    print(text if summary is None else summary(figures))
    if options["output"] is not None:
        path = Path(options["output"])
        write_atomic(path, lambda partial: partial.write_text(text + "\n"))


def add_options(parser: Any, run: Run) -> None:
    """Add the arguments of a run to a parser, with what its docstring says of them: a
    bool is a switch without a value, several values follow one option of a list."""
    text = inspect.getdoc(run) or ""
    # From "    name (type): what it says" to the next name, or the end of the section.
    entry = r"^    (\w+) \(.*?\): (.*?)(?=^    \w|^\w|\Z)"
    found = re.findall(entry, text, re.MULTILINE | re.DOTALL)
    helps = {name: " ".join(said.split()) for name, said in found}
    group = parser.add_argument_group(
        "options of the benchmark", text.partition("\n\n")[0]
    )
    for name, parameter in inspect.signature(run).parameters.items():
        said = re.sub(r" ?\(default: .*?\)$", "", helps.get(name, ""))
        option, kind = f"--{name.replace('_', '-')}", parameter.annotation
        if isinstance(kind, UnionType):
            (kind,) = (part for part in get_args(kind) if part is not type(None))
        if kind is bool:
            group.add_argument(option, action="store_true", help=said)
            continue
        more: dict[str, Any] = {"type": kind}
        if get_origin(kind) is Literal:
            more = {"choices": get_args(kind)}
        elif get_origin(kind) is list:
            more = {"type": get_args(kind)[0], "nargs": "+"}
        if parameter.default is inspect.Parameter.empty:
            more["required"] = True
        else:
            more["default"] = parameter.default
        group.add_argument(option, help=said, **more)


def command_line(
    run: Run, options: Mapping[str, Any], every: Sequence[str] = ()
) -> str:
    """Return the command that repeats a run. Defaults are left out, but those of
    `every`; so is where it reads and writes."""
    name = Path(inspect.getfile(run)).name
    words = [f"python examples/benchmarks/{name}"]
    if (parts := run.__module__.split("."))[0] == "pyg_relational":
        words = [f"pyg-relational benchmark {parts[2]}"]
    for name, parameter in inspect.signature(run).parameters.items():
        value = options.get(name, parameter.default)
        if value == parameter.default and name not in every:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return " ".join(words)


def check_at_least(least: int, **numbers: int | None) -> None:
    """Refuse options that are smaller."""
    for name, number in numbers.items():
        if number is not None and number < least:
            option = name.replace("_", "-")
            raise UsageError(f"expected --{option} of at least {least}, got {number}")


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads; with as many as before where there is no number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Figures, and the files that hold them.


def made_by(command: str, device: str = "cpu") -> dict[str, Any]:
    """Return what a record says beside its figures."""
    kind = hardware(device)
    return {"command": command, "versions": versions(), "hardware": kind}


def place(kind: dict[str, Any]) -> str:
    """Say on what figures were measured: an accelerator, or threads and processor."""
    return kind.get("accelerator") or f"{kind['threads']} threads, {kind['processor']}"


def write_record(
    folder: Path,
    name: str,
    figures: dict[str, Any],
    record: bool = False,
    picture: Any = None,
) -> dict[str, Any]:
    """Write figures, and a matplotlib figure beside them, to the folder or the recorded
    figures; returns the figures."""
    folder = RECORDS if record else folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", figures)
    if picture is not None:
        save = {"format": "png", "dpi": 110}
        path = folder / f"{name}.png"
        write_atomic(path, lambda partial: picture.savefig(partial, **save))
    return figures


def table_summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text."""
    return table_text(figures["table"])


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median with the lowest and the highest value."""
    median, low, high = (
        f"{value:,.{digits}f}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{median} [{low} to {high}]"


def over_seeds(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and standard deviation, where there are values enough."""
    return {
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }


# Seconds, taken in turns, and peak memory of a call.


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
