"""All runs of a table: training what is missing, figures, table and picture."""

import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from pyg_relational.benchmarks.graphs.report import draw, table
from pyg_relational.benchmarks.graphs.settings import (
    MODELS,
    SIZES,
    TASKS,
    Case,
    choose_budget,
    choose_names,
)
from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import write_json

RUNS = Path("runs/benchmark-graphs")
RECORDS = Path("examples/results")


def run(
    tasks: list[str] | None = None,
    models: list[str] | None = None,
    sizes: list[str] | None = None,
    seeds: int = 1,
    epochs: int | None = None,
    root: str = "datasets/graph-tasks",
    threads: int | None = None,
    quick: bool = False,
    record: bool = False,
) -> dict[str, Any]:
    """Trains models on graphs of 8 to 16 nodes and tests them on ever larger ones: the
    share of graphs in which every answer is right.

    All models have the same width, batches and epochs, and a number of steps that
    depends on the number of nodes alone. The epoch with the lowest loss on further
    graphs of 8 to 16 nodes is tested; larger graphs decide nothing.

    Every finished run is kept in `runs/benchmark-graphs`: the same command goes on
    where it was stopped, and further tasks, models or seeds add to it.

    Args:
        tasks (list[str], optional): Tasks; all by default. (default: `None`)
        models (list[str], optional): Models; all by default. (default: `None`)
        sizes (list[str], optional): Nodes of the graphs to test on; all sizes by
            default. (default: `None`)
        seeds (int): Number of seeds, from 0 on. (default: `1`)
        epochs (int, optional): Epochs instead of the usual ones. (default: `None`)
        root (str): Folder of the graphs. (default: `"datasets/graph-tasks"`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        quick (bool): Tiny models, few graphs, two epochs. (default: `False`)
        record (bool): Write the figures to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A name is unknown, or a number is too small.
    """
    budget = choose_budget(epochs, quick)
    chosen = {
        "tasks": choose_names("task", tasks, list(TASKS)),
        "models": choose_names("model", models, list(MODELS)),
        "sizes": choose_names("size", sizes, list(SIZES)),
    }
    for option, number in (("seeds", seeds), ("threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"expected --{option} of at least 1, got {number}")
    cases = [
        Case(task, model, seed, budget, chosen["sizes"])
        for task in chosen["tasks"]
        for model in chosen["models"]
        for seed in range(seeds)
    ]
    label = "-quick" * quick + ("" if epochs is None else f"-{epochs}epochs")
    folder = RUNS / f"graphs{label}"
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        runs, kind = _run_all(cases, folder, root), hardware()
    finally:
        torch.set_num_threads(before)
    rows = [
        _row(task, model, runs)
        for task in chosen["tasks"]
        for model in chosen["models"]
    ]
    command = _command(chosen, seeds, epochs, quick)
    note = f"{kind['threads']} threads, {kind['processor']}. `{command}`"
    figures = {
        "table": table(budget, rows, note),
        "command": command,
        "versions": versions(),
        "hardware": kind,
        "rows": rows,
        "runs": runs,
    }
    name = "-".join(["graphs", *(t for t in chosen["tasks"] if tasks is not None)])
    target = RECORDS if record else folder
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / f"{name}{label}.json", figures)
    draw(target / f"{name}{label}.png", rows)
    return figures


def _command(
    chosen: dict[str, tuple[str, ...]], seeds: int, epochs: int | None, quick: bool
) -> str:
    words = ["pyg-relational benchmark graphs"]
    words += [f"--{option} {' '.join(names)}" for option, names in chosen.items()]
    words.append(f"--seeds {seeds}")
    if epochs is not None:
        words.append(f"--epochs {epochs}")
    return " ".join([*words, *["--quick"] * quick])


def _run_all(cases: list[Case], folder: Path, root: str) -> list[dict[str, Any]]:
    from pyg_relational.benchmarks.graphs.training import load_data, run_case
    from pyg_relational.train.continuation import finished

    folder.mkdir(parents=True, exist_ok=True)
    data, runs = {}, []
    for number, case in enumerate(cases, start=1):
        place = f"{number}/{len(cases)} {case.name}"
        figures = finished(folder / f"{case.name}.json", case.settings)
        if figures is not None:
            place += " (kept)"
        else:
            print(f"{place} ...", file=sys.stderr, flush=True)
            if case.task not in data:
                data[case.task] = load_data(case.task, root, case.budget)
            figures = run_case(case, data[case.task], folder, root)
        solved = ", ".join(
            f"{size} {test['solved']:.1%}" for size, test in figures["test"].items()
        )
        print(
            f"{place}: solved in validation {figures['validation']['solved']:.1%}, "
            f"{solved}; {figures['parameters']:,} parameters, "
            f"{figures['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        runs.append(figures)
    return runs


def _row(task: str, model: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    own = [
        run
        for run in runs
        if (run["settings"]["task"], run["settings"]["model"]) == (task, model)
    ]
    tested = {
        size: {
            "graphs": first["graphs"],
            "steps": first["steps"],
            **{
                key: _over_seeds([run["test"][size][key] for run in own])
                for key in ("solved", "right")
            },
        }
        for size, first in own[0]["test"].items()
    }
    return {
        "task": task,
        "model": model,
        "seeds": len(own),
        "parameters": own[0]["parameters"],
        "seconds": statistics.mean(run["seconds"] for run in own),
        "validation": _over_seeds([run["validation"]["solved"] for run in own]),
        "test": tested,
    }


def _over_seeds(values: list[float]) -> dict[str, float | None]:
    return {
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }
