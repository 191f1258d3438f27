"""The run: a batch against loops, then peers where they are installed; files."""

import inspect
from pathlib import Path
from typing import Any

import torch

from pyg_relational.benchmarks.temporal.batches import batches_table, measure_batches
from pyg_relational.benchmarks.temporal.peers import (
    EPOCHS,
    measure_peers,
    missing_package,
    peers_table,
)
from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import write_json
from pyg_relational.train.tables import table_text

FOLDERS = {False: Path("runs/benchmark-temporal"), True: Path("examples/results")}
ROOT = "datasets/chickenpox"


def run(
    quick: bool = False,
    threads: int | None = None,
    repeats: int = 7,
    seeds: list[int] | None = None,
    epochs: int | None = None,
    data_root: str = ROOT,
    record: bool = False,
) -> dict[str, Any]:
    """Measures graphs that change over time: one batch of mixed graphs against a loop
    over graphs and frames with the same weights, and a training epoch on chickenpox
    beside PyTorch Geometric Temporal.

    Writes `temporal.json` and `temporal-chickenpox.json` to `runs/benchmark-temporal`.
    The second needs a package that is no extra of this one, as it has to be built
    against the installed torch; without it, the run says how to install it.

    Args:
        quick (bool): Few graphs, one seed, two epochs: seconds. (default: `False`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        repeats (int): Rounds a case, fewer where they take long. (default: `7`)
        seeds (list[int], optional): Seeds of the training; the first is that of
            graphs and weights too. (default: 0, 1, 2)
        epochs (int, optional): Epochs of the training. (default: 60)
        data_root (str): Folder of the chickenpox dataset.
            (default: `"datasets/chickenpox"`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures under `temporal` and `chickenpox`, as in the files;
        the latter a text where it was skipped.

    Raises:
        UsageError: A number is too small, or no seed is given.
    """
    options = {"threads": threads, "repeats": repeats, "seeds": seeds, "epochs": epochs}
    seeds = seeds if seeds is not None else [0] if quick else [0, 1, 2]
    epochs = epochs if epochs is not None else 2 if quick else EPOCHS
    if min(repeats, epochs, 1 if threads is None else threads) < 1 or not seeds:
        raise UsageError(
            f"expected --repeats, --epochs and --threads of at least 1 and a seed, got "
            f"{repeats}, {epochs}, {threads} and {seeds}"
        )
    command = _command(quick, options)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        kind = hardware()
        sizes, cases = measure_batches(quick, repeats, seeds[0])
        found = _peers(data_root, seeds, epochs)
    finally:
        torch.set_num_threads(before)
    shared = {"command": command, "versions": versions(), "hardware": kind}
    table = batches_table(sizes, cases, command, kind)
    files: dict[str, Any] = {
        "temporal": {"table": table, **shared, "sizes": sizes, "cases": cases}
    }
    if isinstance(found, dict):
        table = peers_table(found, command, kind)
        files["temporal-chickenpox"] = {"table": table, **shared, **found}
    FOLDERS[record].mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_json(FOLDERS[record] / f"{name}.json", content)
    return {
        "temporal": files["temporal"],
        "chickenpox": files.get("temporal-chickenpox", found),
    }


def summary(figures: dict[str, Any]) -> str:
    """Return the tables of a run as text, or why one is missing.

    Args:
        figures (dict): What :func:`run` returned.
    """
    parts = []
    for name, content in figures.items():
        if isinstance(content, str):
            parts.append(f"{name}: skipped, {content}")
            continue
        parts.append(table_text(content["table"]))
    return "\n\n".join(parts)


def _command(quick: bool, options: dict[str, Any]) -> str:
    """Returns the command line; where it reads and writes is left out."""
    defaults = inspect.signature(run).parameters
    chosen = [
        f"--{name} {str(value).replace(' ', '')}"
        for name, value in options.items()
        if value != defaults[name].default
    ]
    return " ".join(
        ["pyg-relational benchmark temporal", *["--quick"] * quick, *chosen]
    )


def _peers(data_root: str, seeds: list[int], epochs: int) -> dict[str, Any] | str:
    reason = missing_package()
    if reason is not None:
        return reason
    try:
        return measure_peers(data_root, seeds, epochs)
    except OSError as error:
        return f"the dataset cannot be had: {error}"
