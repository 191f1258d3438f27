"""The figures of a run: ``results.json`` and the table that ends a training run."""

import math
import re
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import read_json

# The grouping of counts: how many groups are solved.
SOLVED = "solved"
# Groupings whose few groups say all there is to say: the mean over all is left out.
ALL_SHOWN = {"kind", "target"}
# With more figures than this, models are columns.
WIDE = 12
Scores = dict[str, dict[str, float]]


def collect(
    config: dict[str, Any],
    ours: dict[str, Any],
    baseline: dict[str, Any] | None,
    metric: str,
    references: dict[str, dict[str, dict[str, float]]],
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Args:
        config (dict): The resolved configuration.
        ours (dict): ``scores`` and ``training`` of the model.
        baseline (dict, optional): The same of the baseline.
        metric (str): Name of the score.
        references (dict): ``scores`` of each method without a network.

    Returns:
        dict: Every score of ours beside the baseline's, the references' and the
        published ones, with the seed, command, versions and kind of hardware that
        produced them.
    """
    above = config["solved_above"]
    scores = with_solved(ours["scores"], above)
    other = baseline and with_solved(baseline["scores"], above)
    given = {name: with_solved(x, above) for name, x in references.items()}
    test = {
        grouping: {
            name: {
                "ours": value,
                "baseline": other and other[grouping].get(name),
                "references": {
                    key: x.get(grouping, {}).get(name) for key, x in given.items()
                },
                "published": {
                    entry["name"]: entry["figures"][name]
                    for entry in config["published"]
                    if name in entry["figures"]
                },
            }
            for name, value in values.items()
        }
        for grouping, values in scores.items()
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
        "spread": config["spread"],
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
    columns = test_columns(results["test"])
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
    cells = [results["test"][grouping][name] for grouping, name in columns]
    rows = [[f"ours ({results['model']})", *(cell["ours"] for cell in cells)]]
    if results["baseline"]:
        label = f"baseline ({results['baseline']['model']})"
        rows.append([label, *(cell["baseline"] for cell in cells)])
    for name in cells[0]["references"]:
        rows.append([name, *(cell["references"][name] for cell in cells)])
    lines = [["", *(name for _, name in columns)]]
    for label, *values in rows:
        figures = [
            shown(value, results["metric"], grouping)
            for value, (grouping, _) in zip(values, columns, strict=True)
        ]
        lines.append([label, *figures])
    for entry in results["published"]:
        figures = [cell["published"].get(entry["name"], "-") for cell in cells]
        lines.append([entry["name"], *figures])
    first, *others = upright(lines)
    for name in first:
        wrapped = re.sub("[_-]", "\n", name) if len(columns) <= WIDE else name
        justify: Literal["left", "right"] = "right" if name else "left"
        table.add_column(wrapped, justify=justify, no_wrap=bool(name))
    for line in others:
        table.add_row(*line)
    (console or Console()).print(table)


def upright(lines: list[list[str]]) -> list[list[str]]:
    """Return the lines of a table, turned on its side if it has many columns."""
    if len(lines[0]) <= WIDE + 1:
        return lines
    return [list(line) for line in zip(*lines, strict=True)]


def published_notes(published: list[dict[str, Any]]) -> list[str]:
    """Return the source of each published result, marked if quoted from memory."""
    return [
        f"{entry['name']}: {entry['source']}"
        + ("" if entry["read"] else " (quoted from memory)")
        for entry in published
    ]


def test_columns(test: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return grouping and name of every figure that a table shows, in order."""
    return [
        (grouping, name)
        for grouping, values in test.items()
        for name in values
        if grouping != "all" or ALL_SHOWN.isdisjoint(test)
    ]


def shown(value: float | None, metric: str, grouping: str) -> str:
    """Return a figure as tables show it: shares in percent, ``-`` for none."""
    if value is None:
        return "-"
    scale, digits = scale_of(metric, grouping)
    return f"{value * scale:{figure_format(value * scale, digits)}}"


def scale_of(metric: str, grouping: str) -> tuple[int, int]:
    """Return what tables multiply figures by, and how many digits they show."""
    if grouping == SOLVED:
        return 1, 0
    return (100, 1) if metric == "accuracy" else (1, 3)


def figure_format(value: float, digits: int) -> str:
    """Return the format in which a small figure still shows two digits.

    Args:
        value (float): A figure.
        digits (int): The digits behind the point of figures that are not small.
    """
    if digits < 2 or value == 0 or abs(value) >= 10 ** (1 - digits):
        return f".{digits}f"
    return ".1e" if abs(value) < 1e-4 else f".{1 - math.floor(math.log10(abs(value)))}f"


def with_solved(scores: Scores, above: dict[str, float]) -> Scores:
    """Return scores, with how many groups of a grouping score above a bound.

    Args:
        scores (dict): ``{grouping: {group: mean}}``.
        above (dict): The bound of each grouping to count.
    """
    solved = {
        f"{grouping}s above {bound:.0%}": float(
            sum(value > bound for value in scores[grouping].values())
        )
        for grouping, bound in above.items()
    }
    return {**scores, SOLVED: solved} if solved else scores


def _on_gpu(config: dict[str, Any]) -> bool:
    import torch

    return config["accelerator"] != "cpu" and torch.cuda.is_available()
