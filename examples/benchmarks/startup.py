"""How long importing the package and asking the command for help take."""

import statistics
import subprocess
import sys
import time
from typing import Any

from pyg_relational.benchmarks import harness

_IMPORT = """
import time
start = time.perf_counter()
import torch_geometric
middle = time.perf_counter()
import pyg_relational
pyg_relational.ops, pyg_relational.nn, pyg_relational.models
print(middle - start, time.perf_counter() - middle)
"""


def run(repeats: int = 5) -> dict[str, Any]:
    """Measures start-up in fresh interpreters.

    Args:
        repeats (int): Interpreters per figure; the median is reported.
            (default: ``5``)

    Returns:
        dict[str, Any]: Seconds: ``torch_geometric`` (its import), ``pyg_relational``
        (what importing operators, layers and models adds) and ``help``
        (``pyg-relational --help`` from start to exit), and what they were measured on.
    """
    harness.check_at_least(1, repeats=repeats)
    imports, helps = [], []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True
        )
        imports.append([float(value) for value in done.stdout.split()])
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "pyg_relational", "--help"],
            capture_output=True,
            check=True,
        )
        helps.append(time.perf_counter() - start)
    theirs, ours = zip(*imports, strict=True)
    return {
        "torch_geometric": round(statistics.median(theirs), 3),
        "pyg_relational": round(statistics.median(ours), 3),
        "help": round(statistics.median(helps), 3),
        **harness.made_by(harness.command_line(run, {"repeats": repeats})),
    }


if __name__ == "__main__":
    harness.main(run)
