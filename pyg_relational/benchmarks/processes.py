"""The losses and the speed of two processes against those of one."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pyg_relational._files import write_json
from pyg_relational.benchmarks.processes_worker import BATCH_SIZE, OBJECTS, WARM_UP
from pyg_relational.train.results import table_text
from pyg_relational.train.run_folder import hardware, versions

FOLDERS = {False: Path("runs/benchmark-processes"), True: Path("examples/results")}
LIMIT = 1e-5  # of the difference between losses
SCORE_LIMIT = 1e-6
COMMAND = "pyg-relational benchmark processes"
# Processes, and threads of each.
CASES = {
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 1),
}
ALONE, _, SHARED = CASES


def run(
    quick: bool = False,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Trains a relation network on ragged scenes in one process and in two that share
    each batch, and compares losses, test scores and time.

    Every round starts each case anew, in a new order. Writes `processes.json` to
    `runs/benchmark-processes`.

    Args:
        quick (bool): A small model on small scenes. (default: `False`)
        steps (int): Steps of the optimiser. (default: `50`)
        repeats (int): Rounds. (default: `5`)
        seed (int): Seed of scenes, weights and the order of cases. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        AssertionError: Losses or scores of one process and of two differ.
        ValueError: A number is too small.
    """
    if repeats < 1 or steps <= WARM_UP:
        raise ValueError(
            f"expected --repeats of at least 1 and --steps above {WARM_UP}, got "
            f"{repeats} and {steps}"
        )
    generator = random.Random(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CASES}
    for _ in range(repeats):
        for name in generator.sample([*CASES], len(CASES)):
            found[name].append(_train(*CASES[name], steps, seed, quick))
    differences = _differences(found)
    chosen = [f"--steps {steps}"] * (steps != 50) + [f"--seed {seed}"] * bool(seed)
    chosen += [f"--repeats {repeats}"] * (repeats != 5)
    figures = {
        "command": " ".join([COMMAND, *["--quick"] * quick, *chosen]),
        "versions": versions(),
        "hardware": hardware(),
        "seed": seed,
        "steps": steps,
        "largest_differences": differences,
        "seconds": {
            name: [each["seconds"] for each in rounds] for name, rounds in found.items()
        },
        "losses": {name: found[name][0]["losses"] for name in (ALONE, SHARED)},
    }
    figures = {"table": _table(figures, *OBJECTS[quick]), **figures}
    FOLDERS[record].mkdir(parents=True, exist_ok=True)
    write_json(FOLDERS[record] / "processes.json", figures)
    return figures


def summary(figures: dict[str, Any]) -> str:
    """Return the table of a run as text."""
    return table_text(figures["table"])


def _train(
    processes: int, threads: int, steps: int, seed: int, quick: bool
) -> dict[str, Any]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += [f"--nproc-per-node={processes}", "--module"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        options = [f"--steps={steps}", f"--seed={seed}", f"--threads={threads}"]
        worker = "pyg_relational.benchmarks.processes_worker"
        command = [*launcher, worker, str(output), *options, *["--quick"] * quick]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{processes} processes failed:\n{done.stderr}")
        return dict(json.loads(output.read_text()))


def _differences(found: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """The largest ones between two processes and one, in all rounds."""
    pairs = [*zip(found[ALONE], found[SHARED], strict=True)]
    losses = max(
        abs(a - b)
        for one, two in pairs
        for a, b in zip(one["losses"], two["losses"], strict=True)
    )
    scores = max(
        abs(one["scores"][name] - two["scores"][name])
        for one, two in pairs
        for name in one["scores"]
    )
    if losses > LIMIT or scores > SCORE_LIMIT:
        raise AssertionError(
            f"two processes differ from one by {losses:.1e} in losses (at most "
            f"{LIMIT:.0e}) and {scores:.1e} in test scores (at most {SCORE_LIMIT:.0e})"
        )
    return {"losses": losses, "scores": scores}


def _table(figures: dict[str, Any], fewest: int, most: int) -> dict[str, Any]:
    seconds, differences = figures["seconds"], figures["largest_differences"]
    rows = []
    for name, rounds in seconds.items():
        times = [one / other for one, other in zip(seconds[ALONE], rounds, strict=True)]
        spread = f"{min(times):.2f} to {max(times):.2f}"
        rows.append(
            [
                name,
                f"{1000 * statistics.median(rounds):,.1f}",
                f"{statistics.median(times):.2f} [{spread}]",
            ]
        )
    return {
        "columns": ["", "milliseconds a step", "times faster"],
        "rows": rows,
        "caption": (
            f"A relation network on scenes of {fewest} to {most} objects, "
            f"{BATCH_SIZE} a batch; median [lowest to highest] over rounds, "
            f"{figures['hardware']['processor']}. Over {figures['steps']} steps the "
            f"losses of two processes differ from those of one by at most "
            f"{differences['losses']:.1e}; test scores of equal weights differ by "
            f"{differences['scores']:.1e}. `{figures['command']}`"
        ),
    }
