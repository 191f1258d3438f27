"""One case: build its methods, check that they agree, time them side by side."""

import random
import statistics
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyg_relational.benchmarks.ops.cases import Case
from pyg_relational.benchmarks.ops.measure import (
    Call,
    free_bytes,
    in_turns,
    peak_memory,
)
from pyg_relational.benchmarks.ops.methods import (
    LABELS,
    QUADRATIC,
    YARDSTICKS,
    Method,
    Problem,
    needed_bytes,
)

MODES = ("forward", "training")
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
