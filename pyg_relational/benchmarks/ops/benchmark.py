"""The run: every case, the bounds of the machine, a file and a picture."""

import gc
import inspect
import sys
from pathlib import Path
from typing import Any, Literal

import torch

from pyg_relational.benchmarks.ops.bound import bounds
from pyg_relational.benchmarks.ops.cases import Case, all_cases
from pyg_relational.benchmarks.ops.plot import draw
from pyg_relational.benchmarks.ops.report import exponents, floors, table
from pyg_relational.benchmarks.ops.run_case import Runner
from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import write_json

FOLDERS = {False: Path("runs/benchmark-ops"), True: Path("examples/results")}


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
    if repeats < 1 or (threads is not None and threads < 1):
        raise UsageError(
            f"expected --repeats and --threads of at least 1, got {repeats} and "
            f"{threads}"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; use --device cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        measured = _measure(chosen, Runner(device, repeats, seed), quick)
        kind = hardware(device)
    finally:
        torch.set_num_threads(before)
    options = {"device": device, "threads": threads, "repeats": repeats, "seed": seed}
    command = _command(quick, {**options, "cases": cases})
    rows = floors(measured["cases"], quick)
    where = kind.get("accelerator") or f"{kind['threads']} threads, {kind['processor']}"
    figures = {
        "table": table(rows, command, where),
        "command": command,
        "versions": versions(),
        "hardware": kind,
        "seed": seed,
        "floors": rows,
        "exponents": exponents(measured["cases"]),
        **measured,
    }
    folder = FOLDERS[record]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "ops.json", figures)
    draw(folder / "ops.png", measured["cases"])
    return figures


def _command(quick: bool, options: dict[str, Any]) -> str:
    """Returns the command line; where it writes is left out, as are defaults."""
    defaults = inspect.signature(run).parameters
    chosen = [
        f"--{name} {value}"
        for name, value in options.items()
        if value != defaults[name].default
    ]
    return " ".join(["pyg-relational benchmark ops", *["--quick"] * quick, *chosen])


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
