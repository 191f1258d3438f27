"""How long generating Sort-of-CLEVR takes, from nothing to the stored dataset."""

import tempfile
import time
from typing import Any

from pyg_relational.benchmarks import harness
from pyg_relational.datasets.sort_of_clevr import REPRESENTATIONS, SortOfCLEVR


def run(num_scenes: int = 10_000, repeats: int = 3) -> dict[str, Any]:
    """Measures the wall time of generating and storing scenes on one thread.

    Args:
        num_scenes (int): Scenes a dataset, 20 questions each. (default: `10000`)
        repeats (int): Measurements; the median counts. (default: `3`)

    Returns:
        dict[str, Any]: Under `state` and `pixels` the seconds (median, and all), and
        what they were measured on.

    Raises:
        UsageError: A number is smaller than 1.
    """
    harness.check_at_least(1, num_scenes=num_scenes, repeats=repeats)
    command = harness.command_line(run, {"num_scenes": num_scenes, "repeats": repeats})
    with harness.threads(1):
        made = harness.made_by(command)
        seconds = {
            name: [_measure(name, num_scenes) for _ in range(repeats)]
            for name in REPRESENTATIONS
        }
    results: dict[str, Any] = {
        name: {"seconds": sorted(values)[len(values) // 2], "all": values}
        for name, values in seconds.items()
    }
    return results | {
        "num_scenes": num_scenes,
        "questions_per_scene": 20,
        **made,
    }


def _measure(representation: str, num_scenes: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        SortOfCLEVR(root, representation=representation, num_train=num_scenes)
        return time.perf_counter() - start


if __name__ == "__main__":
    harness.main(run)
