"""All runs of a table: training what is missing, figures, table and picture."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from pyg_relational.benchmarks.ogb.report import draw, table
from pyg_relational.benchmarks.ogb.settings import READOUTS, Case, choose_size
from pyg_relational.datasets.ogb_loader import molecule_sets
from pyg_relational.train.environment import versions
from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.files import write_json

RUNS = Path("runs/benchmark-ogb")
RECORDS = Path("examples/results")


def run(
    dataset: str = "ogbg-molesol",
    readouts: list[str] | None = None,
    seeds: int = 3,
    body: Literal["gin", "gcn"] = "gin",
    size: Literal["laptop", "paper"] = "laptop",
    epochs: int | None = None,
    root: str = "datasets/ogb",
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    threads: int | None = None,
    quick: bool = False,
    record: bool = False,
) -> dict[str, Any]:
    """Compares readouts of graph networks on a set of OGB's molecules, with equally
    many parameters, the epoch that validates best, and OGB's evaluator.

    Every finished run is kept in `runs/benchmark-ogb/<dataset>-<body>-<size>`: the
    same command goes on where it was stopped, and further readouts or seeds add to it.
    The figures of all are written there as `<dataset>-<body>-<size>.json` and `.png`.

    Args:
        dataset (str): Name of the set. (default: `"ogbg-molesol"`)
        readouts (list[str], optional): Readouts; all by default. (default: `None`)
        seeds (int): Number of seeds, from 0 on. (default: `3`)
        body (str): `"gin"` or `"gcn"`. (default: `"gin"`)
        size (str): `"laptop"` (narrow, few epochs) or `"paper"`, as OGB's examples.
            (default: `"laptop"`)
        epochs (int, optional): Epochs instead of those of the size. (default: `None`)
        root (str): Folder of the sets. (default: `"datasets/ogb"`)
        accelerator (str): Where to compute. (default: `"auto"`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        quick (bool): A tiny model, two epochs. (default: `False`)
        record (bool): Write the figures to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A name is unknown, a number is too small, or data are missing or
            damaged.
    """
    chosen = choose_size(size, epochs, quick)
    names = _check(dataset, readouts, seeds, threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    label: str = "quick" if quick else size
    if epochs is not None:
        label += f"-{epochs}epochs"
    name = f"{dataset}-{body}-{label}"
    folder = RUNS / name
    try:
        cases = [
            Case(dataset, body, readout, seed, chosen)
            for readout in names
            for seed in range(seeds)
        ]
        runs = _run_all(cases, folder, root, accelerator)
    finally:
        torch.set_num_threads(before)
    kind = runs[-1]["hardware"]
    options: dict[str, Any] = {"dataset": dataset}
    options |= {"readouts": " ".join(names), "seeds": seeds, "body": body}
    options |= {"size": size}
    if epochs is not None:
        options["epochs"] = epochs
    words = [f"--{option} {value}" for option, value in options.items()]
    words += ["--quick"] * quick
    command = " ".join(["pyg-relational benchmark ogb", *words])
    rows = [_row(readout, runs) for readout in names]
    where = kind.get("accelerator") or f"{kind['threads']} threads, {kind['processor']}"
    note = f"{where}. `{command}`"
    figures = {
        "table": table(dataset, body, chosen, rows, runs[0]["metric"], note),
        "command": command,
        "versions": versions(),
        "hardware": kind,
        "dataset": dataset,
        "body": body,
        "size": dict(vars(chosen)),
        "metric": runs[0]["metric"],
        "rows": rows,
        "runs": runs,
    }
    target = RECORDS if record else folder
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / f"{name}.json", figures)
    draw(target / f"{name}.png", figures)
    return figures


def _check(
    dataset: str, readouts: Sequence[str] | None, seeds: int, threads: int | None
) -> list[str]:
    """The readouts, each once."""
    if dataset not in molecule_sets():
        hint = nearest_names(dataset, molecule_sets())
        raise UsageError(f"unknown dataset '{dataset}'; {hint}")
    for name in readouts or ():
        if name not in READOUTS:
            hint = nearest_names(name, READOUTS)
            raise UsageError(f"unknown readout '{name}'; {hint}")
    for option, number in (("seeds", seeds), ("threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"expected --{option} of at least 1, got {number}")
    return list(dict.fromkeys(readouts or READOUTS))


def _run_all(
    cases: list[Case], folder: Path, root: str, accelerator: str
) -> list[dict[str, Any]]:
    from pyg_relational.benchmarks.ogb.training import (
        load_data,
        run_case,
        settings_of,
    )
    from pyg_relational.train.continuation import finished

    folder.mkdir(parents=True, exist_ok=True)
    data, runs = None, []
    for number, case in enumerate(cases, start=1):
        place = f"{number}/{len(cases)} {case.name}"
        figures = finished(folder / f"{case.name}.json", settings_of(case))
        if figures is not None:
            place += " (kept)"
        else:
            print(f"{place} ...", file=sys.stderr, flush=True)
            if data is None:
                data = load_data(case.dataset, root, case.size.batch_size)
            figures = run_case(case, data, folder, accelerator)
        shown = ", ".join(f"{key} {figures[key]:.4f}" for key in ("validation", "test"))
        print(
            f"{place}: {figures['metric']} {shown}; {figures['parameters']:,} "
            f"parameters, {figures['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        runs.append(figures)
    return runs


def _row(readout: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    own = [run for run in runs if run["settings"]["readout"] == readout]
    row: dict[str, Any] = {
        "readout": readout,
        "seeds": len(own),
        "parameters": own[0]["parameters"],
        "channels": own[0]["channels"],
        "seconds": statistics.mean(run["seconds"] for run in own),
    }
    for split in ("validation", "test"):
        values = [run[split] for run in own]
        row[split] = {
            "mean": statistics.mean(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
        }
    return row
