"""Recorded figures: JSON files of runs, rendered as tables into the README."""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import read_json, write_atomic, write_json
from pyg_relational.train.results import (
    figure_format,
    published_notes,
    scale_of,
    test_columns,
    upright,
)

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
    """Add the figures of a run to a record; a run with the same seed is replaced.

    Args:
        path (Path): The JSON file, made if missing.
        results (dict): The ``results.json`` of the run.

    Raises:
        UsageError: If the record is of another recipe, size, representation, model or
            baseline, or of other settings.
    """
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
    or half the 95 % confidence interval of the mean where the recipe says so.

    Args:
        content (dict): The content of a record: of runs, or of a benchmark, whose
            ``table`` has ``columns``, ``rows`` (of text) and a ``caption``.
        others (Sequence[dict]): Records of other models of ours on the same task, each
            a further row. (default: ``()``)
    """
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
    """Return the table of a benchmark as text for the terminal, columns aligned.

    Args:
        table (dict): ``columns``, ``rows`` (of text) and a ``caption``.
    """
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
    """Return the README as it is, and as it should be.

    Args:
        readme (Path): The README, with ``<!-- table:NAME -->`` and
            ``<!-- /table:NAME -->`` around each table.
        records (Path): The folder of the records ``NAME.json``.

    Raises:
        UsageError: If a table has no record, or a record no table.
    """
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
    """Render all records into the README, or only compare.

    Args:
        readme (Path): The README.
        records (Path): The folder of the records.
        check (bool): Change nothing.

    Returns:
        bool: Whether the README agreed with the records before.

    Raises:
        UsageError: If a table has no record, or a record no table.
    """
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
