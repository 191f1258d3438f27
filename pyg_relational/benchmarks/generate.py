"""How long generating Sort-of-CLEVR takes, from nothing to the stored dataset."""

import tempfile
import time
from typing import Any

import torch

from pyg_relational.datasets.sort_of_clevr import REPRESENTATIONS, SortOfCLEVR
from pyg_relational.train.run_folder import hardware, versions


def run(num_scenes: int = 10_000, repeats: int = 3) -> dict[str, Any]:
    """Measures the wall time of generating and storing scenes on one thread.

    Args:
        num_scenes (int): Scenes a dataset, 20 questions each. (default: `10000`)
        repeats (int): Measurements; the median counts. (default: `3`)

    Returns:
        dict[str, Any]: Under `state` and `pixels` the seconds (median, and all), and
        what they were measured on.

    Raises:
        ValueError: A number is smaller than 1.
    """
    if num_scenes < 1 or repeats < 1:
        raise ValueError(
            f"Expected `num_scenes` and `repeats` to be at least 1, got {num_scenes} "
            f"and {repeats}."
        )
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = {
            name: [_measure(name, num_scenes) for _ in range(repeats)]
            for name in REPRESENTATIONS
        }
    finally:
        torch.set_num_threads(num_threads)
    results: dict[str, Any] = {
        name: {"seconds": sorted(values)[len(values) // 2], "all": values}
        for name, values in seconds.items()
    }
    return results | {
        "num_scenes": num_scenes,
        "questions_per_scene": 20,
        "hardware": hardware() | {"threads": 1},
        "versions": versions(),
    }


def _measure(representation: str, num_scenes: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        SortOfCLEVR(root, representation=representation, num_train=num_scenes)
        return time.perf_counter() - start
