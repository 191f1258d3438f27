"""All pairs of a set: our operators against what people write otherwise."""

import gc
import random
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import (
    Call,
    free_bytes,
    in_turns,
    peak_memory,
    seconds,
)
from pyg_relational.benchmarks.ops.cases import Case, all_cases
from pyg_relational.benchmarks.ops.methods import (
    LABELS,
    QUADRATIC,
    YARDSTICKS,
    Method,
    Problem,
    needed_bytes,
)
from pyg_relational.benchmarks.ops.report import (
    MODES,
    draw,
    exponents,
    floors,
    summary,
    table,
)

__all__ = ["run", "summary"]

FOLDER = Path("runs/benchmark-ops")
REPEATS = 7  # of the bounds of the machine


def bounds(device: str, size: int = 2048, megabytes: int = 256) -> dict[str, float]:
    """Measure the copy bandwidth and the matrix-multiply rate."""
    x = torch.ones(megabytes * 2**18, device=device)
    rows = torch.ones(4096, 256, device=device)
    weight = torch.ones(256, 256, device=device)
    square = torch.ones(size, size, device=device)
    work = {
        "copy_gb_per_s": (lambda: x.clone(), 2 * 4 * x.numel()),
        "matmul_gflop_per_s": (lambda: rows @ weight, 2 * 4096 * 256 * 256),
        "square_matmul_gflop_per_s": (lambda: square @ square, 2 * size**3),
    }
    rates = {}
    for name, (call, amount) in work.items():
        call()
        times = [seconds(call, device) for _ in range(REPEATS)]
        rates[name] = amount / statistics.median(times) / 1e9
    return rates


SHARE = 0.6  # of the free memory that a method may need
ONCE = 20.0  # seconds; a slower call is measured once
# Relative, over all numbers. Where a pair is zero to rounding, the two ways may take
# either side of the ReLU's kink: gradients differ more than values.
TOLERANCES = (1e-4, 2e-3, 2e-3)


@dataclass
class Runner:
    """Runs cases one after the other and remembers how fast the methods are.

    Args:
        device (str): Where to compute.
        repeats (int): Rounds a case.
        seed (int): Seed of objects, weights and the order in a round.
    """

    device: str
    repeats: int
    seed: int
    rates: dict[tuple[str, str, tuple[int, ...]], float] = field(default_factory=dict)

    def run(self, case: Case) -> dict[str, Any]:
        """Measure a case.

        Args:
            case (Case): The case.

        Returns:
            dict: What the case is, and for each method either seconds and peak memory
            of `forward` and `training` (forward and backward), or a note why not.
        """
        # What was compiled for another case must not be bent to this one's shape.
        torch._dynamo.reset()
        problem = Problem(case, self.device, self.seed)
        reference = problem.build("auto").train()
        results: dict[str, dict[str, Any]] = {}
        methods: dict[str, Method] = {}
        for name in case.methods:
            note = self._reason_to_skip(case, name)
            results[name] = {"note": note} if note else {}
            if not note:
                method = self._try(problem, name, reference, results[name])
                if method is not None:
                    methods[name] = method
        generator = random.Random(self.seed)
        for mode in MODES:
            self._time(case, mode, methods, results, generator)
        return {
            "key": case.key,
            "case": case.describe(),
            "kind": case.kind,
            "series": case.series,
            "objects": sum(case.sizes),
            "pairs": case.pairs,
            "channels": list(case.channels),
            "methods": results,
        }

    def _reason_to_skip(self, case: Case, name: str) -> str:
        needed, free = needed_bytes(case, name), free_bytes(self.device)
        if needed > SHARE * free:
            return f"needs about {needed / 1e9:,.0f} GB of {free / 1e9:,.0f} GB free"
        rate = self.rates.get((name, case.kind, case.channels))
        if rate is not None and name in QUADRATIC and rate * case.pairs > case.limit:
            return f"would take about {rate * case.pairs:,.0f} s a call"
        return ""

    def _try(
        self, problem: Problem, name: str, reference: list[Tensor], result: dict
    ) -> Method | None:
        """Builds and checks a method; one that cannot run leaves a note."""
        try:
            method = problem.build(name)
            if name in ("compiled", "keops"):
                method.forward()
                method.train()
            outputs, elapsed, peak = peak_memory(method.train, self.device)
        except ModuleNotFoundError as error:
            result["note"] = f"'{error.name}' is not installed"
            return None
        except Exception as error:
            # A baseline may fail in many ways that are not ours: compilers, memory.
            if name not in ("textbook", "compiled", "edges", "keops"):
                raise
            result["note"] = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            return None
        if name not in YARDSTICKS:
            result["difference"] = _compare(name, problem.case, outputs, reference)
        del outputs
        if elapsed < min(ONCE, problem.case.limit):
            _, elapsed, peak = peak_memory(method.train, self.device)
        result["training"] = {
            "seconds": [elapsed],
            "peak_bytes": peak.extra,
            "process_bytes": peak.total,
        }
        return method

    def _time(
        self,
        case: Case,
        mode: str,
        methods: dict[str, Method],
        results: dict[str, dict[str, Any]],
        generator: random.Random,
    ) -> None:
        calls: dict[str, Call] = {}
        expected: dict[str, float] = {}
        for name, method in methods.items():
            if mode == "forward" and name in YARDSTICKS:
                continue
            call = method.train if mode == "training" else method.forward
            if mode == "forward":
                _, elapsed, peak = peak_memory(call, self.device)
                results[name][mode] = {
                    "seconds": [elapsed],
                    "peak_bytes": peak.extra,
                    "process_bytes": peak.total,
                }
            figures = results[name][mode]
            once = min(ONCE, case.limit)
            if figures["seconds"][0] > once:
                figures["note"] = f"measured once: a call takes more than {once:.0f} s"
                continue
            calls[name], expected[name] = call, figures["seconds"][0]
        budget = case.budget if mode == "training" else case.budget / 3
        samples = in_turns(
            calls, expected, self.device, self.repeats, budget, generator
        )
        for name, values in samples.items():
            results[name][mode]["seconds"] = values
        for name in methods if mode == "training" else ():
            median = statistics.median(results[name][mode]["seconds"])
            self.rates[name, case.kind, case.channels] = median / case.pairs


def _compare(
    name: str, case: Case, outputs: list[Tensor], reference: list[Tensor]
) -> list[float]:
    """Returns the relative differences of values and gradients."""
    differences = []
    for number, (ours, theirs) in enumerate(zip(reference, outputs, strict=True)):
        difference = float((ours - theirs).norm() / ours.norm())
        if not difference <= TOLERANCES[number]:
            what = "values" if number == 0 else "gradients"
            raise RuntimeError(
                f"{what} of {LABELS[name]} differ from ours by {difference:.1e} of "
                f"their size in the case '{case.describe()}', expected at most "
                f"{TOLERANCES[number]:.0e}; the two do not compute the same"
            )
        differences.append(difference)
    return differences


def run(
    quick: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int | None = None,
    repeats: int = 15,
    seed: int = 0,
    cases: str | None = None,
    record: bool = False,
) -> dict[str, Any]:
    """Measures all-pairs operators and layers against what people write otherwise.

    Writes `ops.json` and `ops.png` to `runs/benchmark-ops`.

    Args:
        quick (bool): Small cases, seconds. (default: `False`)
        device (str): `"cpu"` or `"cuda"`. (default: `"cpu"`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        repeats (int): Rounds a case, fewer where they take long. (default: `15`)
        seed (int): Seed of objects, weights and the order of methods.
            (default: `0`)
        cases (str, optional): Names of cases, separated by commas; all by default.
            (default: `None`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A number is too small, a case is unknown, or there is no CUDA
            device.
    """
    chosen = _choose(quick, cases)
    harness.check_at_least(1, repeats=repeats, threads=threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; use --device cpu")
    options: dict[str, Any] = {"quick": quick, "device": device, "threads": threads}
    options |= {"repeats": repeats, "seed": seed, "cases": cases}
    with harness.threads(threads):
        measured = _measure(chosen, Runner(device, repeats, seed), quick)
        made = harness.made_by(harness.command_line(run, options), device)
    rows = floors(measured["cases"], quick)
    figures = {
        "table": table(rows, made["command"], harness.place(made["hardware"])),
        **made,
        "seed": seed,
        "floors": rows,
        "exponents": exponents(measured["cases"]),
        **measured,
    }
    picture = draw(measured["cases"])
    return harness.write_record(FOLDER, "ops", figures, record, picture)


def _choose(quick: bool, names: str | None) -> list[Case]:
    available = {case.key: case for case in all_cases(quick)}
    if names is None:
        return [*available.values()]
    unknown = [name for name in names.split(",") if name not in available]
    if unknown:
        raise UsageError(
            f"unknown case '{unknown[0]}'; --cases takes {', '.join(available)}"
        )
    return [available[name] for name in names.split(",")]


def _measure(chosen: list[Case], runner: Runner, quick: bool) -> dict[str, Any]:
    sizes = {"size": 256, "megabytes": 16} if quick else {}
    rates = bounds(runner.device, **sizes)
    results = []
    # What was imported stays: collecting garbage before a call need not look at it.
    gc.collect()
    gc.freeze()
    try:
        for number, case in enumerate(chosen, start=1):
            progress = f"{number}/{len(chosen)} {case.describe()}"
            print(progress, file=sys.stderr, flush=True)
            results.append(runner.run(case))
    finally:
        gc.unfreeze()
    return {"bounds": rates, "cases": results}
