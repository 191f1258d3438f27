"""The figures of a run: ``results.json`` and the table that ends a training run."""

import re
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import read_json

Scores = dict[str, dict[str, float]]


def collect(
    config: dict[str, Any],
    ours: dict[str, Any],
    baseline: dict[str, Any] | None,
    metric: str,
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Args:
        config (dict): The resolved configuration.
        ours (dict): ``scores`` and ``training`` of the model.
        baseline (dict, optional): The same of the baseline.
        metric (str): Name of the score.

    Returns:
        dict: Every score of ours beside the baseline's and the published ones, with
        the seed, command, versions and kind of hardware that produced them.
    """
    test = {
        grouping: {
            name: {
                "ours": value,
                "baseline": baseline and baseline["scores"][grouping].get(name),
                "published": {
                    entry["name"]: entry["figures"][name]
                    for entry in config["published"]
                    if name in entry["figures"]
                },
            }
            for name, value in values.items()
        }
        for grouping, values in ours["scores"].items()
    }
    return {
        "recipe": config["recipe"],
        "size": config["size"],
        "representation": config["representation"],
        "model": config["model_name"],
        "seed": config["seed"],
        "command": config["command"],
        "metric": metric,
        "test": test,
        "training": ours["training"],
        "baseline": baseline
        and {"model": config["baseline_name"], "training": baseline["training"]},
        "published": config["published"],
        "settings": {
            "dataset": {k: v for k, v in config["dataset"].items() if k != "root"},
            **{key: config[key] for key in ("optimizer", "budget", "precision")},
            "model": config["model"],
            "baseline": config["baseline"],
        },
        "versions": versions(),
        "hardware": hardware("cuda" if _on_gpu(config) else "cpu"),
    }


def read_results(folder: Path) -> dict[str, Any]:
    """Read the ``results.json`` of a finished run.

    Raises:
        UsageError: If the run is not finished, or the file is damaged.
    """
    results = read_json(folder / "results.json")
    if not isinstance(results, dict) or "test" not in results:
        raise UsageError(f"'{folder / 'results.json'}' holds no test figures")
    return results


def print_table(results: dict[str, Any], console: Console | None = None) -> None:
    """Print a table: a row each for ours, the baseline and every published result.

    Args:
        results (dict): What :func:`collect` returned.
        console (Console, optional): Where to print. (default: standard output)
    """
    columns = [
        (grouping, name)
        for grouping, values in results["test"].items()
        for name in values
        if grouping != "all" or len(results["test"]) == 1
    ]
    percent = results["metric"] == "accuracy"
    unit = "accuracy in %" if percent else results["metric"].replace("_", " ")
    table = Table(
        title=f"{results['recipe']}, test split, {unit}",
        caption="\n".join(published_notes(results["published"])),
        box=SIMPLE_HEAD,
        padding=0,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for _, name in columns:
        title = re.sub("[_-]", "\n", name)
        table.add_column(title, justify="right", no_wrap=True)
    cells = [results["test"][grouping][name] for grouping, name in columns]
    scale = 100 if percent else 1

    def row(label: str, key: str) -> None:
        values = [cell[key] for cell in cells]
        shown = ["-" if v is None else f"{v * scale:.1f}" for v in values]
        table.add_row(label, *shown)

    row(f"ours ({results['model']})", "ours")
    if results["baseline"]:
        row(f"baseline ({results['baseline']['model']})", "baseline")
    for entry in results["published"]:
        figures = [cell["published"].get(entry["name"], "-") for cell in cells]
        table.add_row(entry["name"], *figures)
    (console or Console()).print(table)


def published_notes(published: list[dict[str, Any]]) -> list[str]:
    """Return the source of each published result, marked if quoted from memory."""
    return [
        f"{entry['name']}: {entry['source']}"
        + ("" if entry["read"] else " (quoted from memory)")
        for entry in published
    ]


def _on_gpu(config: dict[str, Any]) -> bool:
    import torch

    return config["accelerator"] != "cpu" and torch.cuda.is_available()
