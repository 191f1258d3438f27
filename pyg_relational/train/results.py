"""The figures of a run: ``results.json`` and the table that ends a training run."""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pyg_relational._checks import UsageError
from pyg_relational._files import read_json, write_atomic, write_json
from pyg_relational.train.run_folder import hardware, versions

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
    """Return the content of ``results.json``."""
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
    """Read the ``results.json`` of a finished run."""
    results = read_json(folder / "results.json")
    if not isinstance(results, dict) or "test" not in results:
        raise UsageError(f"'{folder / 'results.json'}' holds no test figures")
    return results


def print_table(results: dict[str, Any], console: Console | None = None) -> None:
    """Print a table: a row each for ours, the baseline and every published result."""
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
    """Return the format in which a small figure still shows two digits."""
    if digits < 2 or value == 0 or abs(value) >= 10 ** (1 - digits):
        return f".{digits}f"
    return ".1e" if abs(value) < 1e-4 else f".{1 - math.floor(math.log10(abs(value)))}f"


def with_solved(scores: Scores, above: dict[str, float]) -> Scores:
    """Return scores, with how many groups of a grouping score above a bound."""
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


# Runs of one record may differ in their seed and in where they ran, nothing else.
SHARED = ("recipe", "size", "representation", "model", "metric", "published")
# The 97.5 % quantiles of Student's distribution, by the number of values.
STUDENT = {
    2: 12.706,
    3: 4.303,
    4: 3.182,
    5: 2.776,
    6: 2.571,
    7: 2.447,
    8: 2.365,
    9: 2.306,
    10: 2.262,
}
BLOCK = re.compile(
    r"(<!-- table:(?P<name>[\w.-]+) -->\n).*?(<!-- /table:(?P=name) -->)", re.DOTALL
)


def record(path: Path, results: dict[str, Any]) -> None:
    """Add the figures of a run to a record; a run with the same seed is replaced."""
    shared = {key: results[key] for key in SHARED}
    shared["baseline"] = results["baseline"] and results["baseline"]["model"]
    shared["settings"] = results["settings"]
    if _shows_interval(results):
        shared["spread"] = results["spread"]
    run = {
        key: value
        for key, value in results.items()
        if key not in (*shared, "spread") or key == "baseline"
    }
    run["test"] = {
        grouping: {
            name: {key: cell[key] for key in ("ours", "baseline", "references")}
            for name, cell in values.items()
        }
        for grouping, values in results["test"].items()
    }
    runs = []
    if path.is_file():
        before = read_json(path)
        differ = [key for key in shared if before.get(key) != shared[key]]
        if differ:
            raise UsageError(
                f"'{path}' records runs that differ from this one in "
                f"{', '.join(differ)}; name another file with --record, or delete it "
                "to start over"
            )
        runs = [entry for entry in before["runs"] if entry["seed"] != run["seed"]]
    runs = sorted([*runs, run], key=lambda entry: entry["seed"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**shared, "runs": runs})


def render(content: dict[str, Any], others: Sequence[dict[str, Any]] = ()) -> str:
    """Return a record as a Markdown table, with what produced it underneath.

    Figures are the mean over seeds and, from two seeds on, ± the standard deviation,
    or half the 95 % confidence interval of the mean where the recipe says so."""
    if "table" in content:
        return _render_benchmark(content["table"])
    runs = content["runs"]
    columns = test_columns(runs[0]["test"])
    lines = [["", *(name.replace("_", " ") for _, name in columns)]]

    def row(label: str, measured: list[dict[str, Any]], *keys: str) -> None:
        cells = []
        for grouping, name in columns:
            values = [_at(run["test"][grouping][name], *keys) for run in measured]
            scale, digits = scale_of(content["metric"], grouping)
            cells.append(_spread(values, scale, digits, _shows_interval(content)))
        lines.append([label, *cells])

    for record in (content, *others):
        row(f"**ours: {record['model']}**", record["runs"], "ours")
    if content["baseline"]:
        row(f"baseline: {content['baseline']}", runs, "baseline")
    (first, *_) = columns
    for name in runs[0]["test"][first[0]][first[1]]["references"]:
        row(name, runs, "references", name)
    for entry in content["published"]:
        figures = [entry["figures"].get(name, "-") for _, name in columns]
        lines.append([entry["name"], *figures])
    head, *body = upright(lines)
    rows = [f"| {' | '.join(line)} |" for line in body]
    # The first column has no name.
    table = [f"| | {' | '.join(head[1:])} |", "|---|" + "---:|" * (len(head) - 1)]
    table += rows
    notes = [f"{note}." for note in published_notes(content["published"])]
    captions = [_caption(content)]
    captions += [f"{other['model']}: {_caption(other)}" for other in others]
    return "\n".join([*table, "", *captions, *notes]) + "\n"


def _render_benchmark(table: dict[str, Any]) -> str:
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    rows = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([*rows, "", table["caption"]]) + "\n"


def table_text(table: dict[str, Any]) -> str:
    """Return the table of a benchmark as text for the terminal, columns aligned."""
    lines = [table["columns"], *table["rows"]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([*text, table["caption"]])


def render_readme(readme: Path, records: Path) -> tuple[str, str]:
    """Return the README as it is, and as it should be."""
    try:
        before = readme.read_text()
    except OSError as error:
        raise UsageError(f"cannot read '{readme}': {error.strerror}") from error
    recorded = {path.stem: path for path in sorted(records.glob("*.json"))}
    further = _further_models(recorded)
    marked = [match["name"] for match in BLOCK.finditer(before)]
    for name in marked:
        if name not in recorded:
            raise UsageError(
                f"'{readme}' shows table '{name}', {records} has no record"
            )
    for name in recorded:
        if name not in marked and name not in chain(*further.values()):
            raise UsageError(
                f"'{readme}' has no place for '{recorded[name]}'; add the lines "
                f"<!-- table:{name} --> and <!-- /table:{name} -->"
            )

    def replace(match: re.Match[str]) -> str:
        others = [read_json(recorded[x]) for x in further.get(match["name"], [])]
        table = render(read_json(recorded[match["name"]]), others)
        return f"{match[1]}{table}{match[3]}"

    return before, BLOCK.sub(replace, before)


def _further_models(recorded: Iterable[str]) -> dict[str, list[str]]:
    """Records that are rows in the table of another: NAME-MODEL in that of NAME."""
    names = list(recorded)
    return {
        name: [other for other in names if other.startswith(f"{name}-")]
        for name in names
    }


def update_readme(readme: Path, records: Path, check: bool) -> bool:
    """Render all records into the README, or only compare."""
    before, after = render_readme(readme, records)
    if before != after and not check:
        write_atomic(readme, lambda partial: partial.write_text(after))
    return before == after


def _at(cell: dict[str, Any], *keys: str) -> float | None:
    value: Any = cell
    for key in keys:
        value = None if value is None else value.get(key)
    return value


def _spread(values: list[float | None], scale: int, digits: int, interval: bool) -> str:
    numbers = [value * scale for value in values if value is not None]
    if not numbers:
        return "-"
    # Counts of whole runs are whole; their means need a digit.
    digits = max(digits, int(len(numbers) > 1))
    style = figure_format(statistics.mean(numbers), digits)
    mean = f"{statistics.mean(numbers):{style}}"
    if len(numbers) < 2:
        return mean
    spread = statistics.stdev(numbers)
    if interval:
        spread *= STUDENT[min(len(numbers), max(STUDENT))] / math.sqrt(len(numbers))
    return f"{mean} ± {spread:{style}}"


def _shows_interval(content: dict[str, Any]) -> bool:
    return content.get("spread") == "interval"


UNITS = {
    "accuracy": "Accuracy in %",
    "absolute_error": "Mean absolute error",
    "squared_error": "Mean squared error",
    "displacement": "Mean displacement",
}


def _caption(content: dict[str, Any]) -> str:
    runs = content["runs"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    over = f"seed {seeds}"
    if len(runs) > 1:
        kind = "standard deviation"
        if _shows_interval(content):
            kind = "half the 95 % confidence interval (Student's t)"
        over = f"mean ± {kind} over seeds {seeds}"
    seconds = [run["training"]["seconds"] for run in runs]
    ends = (min(seconds) / 60, max(seconds) / 60)
    minutes = list(dict.fromkeys(f"{end:.1f}" for end in ends))
    kinds = sorted({_hardware(run["hardware"]) for run in runs})
    unit = UNITS[content["metric"]]
    return (
        f"{unit} on the test split, {over}; {' to '.join(minutes)} minutes of training "
        f"a run on {' and '.join(kinds)}. `{runs[0]['command']}`"
    )


def _hardware(kind: dict[str, Any]) -> str:
    device = kind.get("accelerator")
    threads = "1 thread" if kind["threads"] == 1 else f"{kind['threads']} threads"
    return device or f"{threads} of {kind['processor']}"
