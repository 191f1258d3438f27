"""The figures of a run: ``results.json`` and the table that ends a training run."""

import glob
import math
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pyg_relational._checks import UsageError
from pyg_relational._files import read_json, write_json, write_text
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
TABLE = re.compile(
    r"(<!-- table:(?P<name>[\w.-]+) -->\n).*?(<!-- /table:(?P=name) -->)", re.DOTALL
)
# Headlines of all records, or of those named: "<!-- headlines clutrr sick -->".
HEADLINES = re.compile(
    r"(<!-- headlines(?P<names>[ \w.-]*?) -->\n).*?(<!-- /headlines -->)", re.DOTALL
)
# How the headline of a benchmark reads, beside its table.
HEADLINE = re.compile(r"<!-- headline:(?P<name>[\w.-]+) (?P<text>.*?) -->", re.DOTALL)
CELL = re.compile(r"\{([^{}]*)/([^{}/]*)\}")
BEST = re.compile(r"(min|max) not (.+)")
COMMAND = re.compile(r"`((?:pyg-relational|python|make) [^`]+)`")


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
    return "\n".join([*table, "", "\n\n".join(captions), *notes]) + "\n"


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


def update_pages(patterns: Sequence[str], records: Path, check: bool) -> list[str]:
    """Render all records into Markdown pages, or only compare.

    A table stands between ``<!-- table:NAME -->`` and ``<!-- /table:NAME -->``, on one
    page; a record ``NAME-MODEL.json`` without lines of its own is a row in the table
    ``NAME``. Between ``<!-- headlines -->`` and ``<!-- /headlines -->`` stand the
    headlines of all records; where names follow ``headlines``, of those. Runs have the
    headlines that :func:`run_headlines` gives them, a benchmark those that
    ``<!-- headline:NAME TASK | OURS | BASELINE | PUBLISHED -->`` on the page of its
    table says, with ``{ROW/COLUMN}`` for a cell.

    Args:
        patterns (Sequence[str]): The pages, as glob patterns.
        records (Path): The folder of the records ``NAME.json``.
        check (bool): Change nothing.

    Returns:
        list[str]: The pages that did not agree with the records before.

    Raises:
        UsageError: If a record has no place or two, or a place no record.
    """
    # Path.glob refuses absolute patterns; a name without a pattern must be there.
    pages = [
        page
        for pattern in patterns
        for page in sorted(glob.glob(pattern)) or [pattern]  # noqa: PTH207
        if page != pattern or not glob.has_magic(pattern)
    ]
    texts = {page: _read(page) for page in pages}
    files = sorted(records.glob("*.json"), key=lambda path: path.stem)
    recorded = {path.stem: read_json(path) for path in files}
    place: dict[str, str] = {}
    heading: dict[str, str] = {}
    for page, text in texts.items():
        for match in TABLE.finditer(text):
            name = match["name"]
            if name not in recorded:
                raise UsageError(
                    f"'{page}' shows table '{name}', {records} has no record"
                )
            if name in place:
                raise UsageError(
                    f"table '{name}' is in '{place[name]}' and again in '{page}'; "
                    "leave one"
                )
            place[name] = page
            above = re.findall(r"^#+ (.+)$", text[: match.start()], re.MULTILINE)
            heading[name] = _anchor(above[-1]) if above else ""
    within = {name: _table_of(name, place, recorded) for name in recorded}
    for name, table in within.items():
        if table is None:
            raise UsageError(
                f"no page has a place for '{records / name}.json'; add the lines "
                f"<!-- table:{name} --> and <!-- /table:{name} --> to one of "
                f"{', '.join(patterns)}"
            )
    blocks = [x for text in texts.values() for x in HEADLINES.finditer(text)]
    if all(block["names"] for block in blocks):
        raise UsageError(
            "no page has a place for the headlines of all records; add the lines "
            "<!-- headlines --> and <!-- /headlines --> to one of "
            f"{', '.join(patterns)}"
        )
    for page, text in texts.items():
        for name in (match["name"] for match in HEADLINE.finditer(text)):
            if place.get(name) != page:
                raise UsageError(
                    f"'{page}' says how the headline of '{name}' reads, but does not "
                    "show its table; move the line to where the table is, or delete it"
                )
    headlines: dict[str, list[list[str]]] = {}
    for name, content in recorded.items():
        table = str(within[name])
        page = place[table]
        if "table" in content:
            headlines[name] = _benchmark_headlines(name, content, page, texts[page])
        else:
            headlines[name] = run_headlines(content, recorded[table])

    def table_block(match: re.Match[str]) -> str:
        name = match["name"]
        others = [recorded[x] for x in recorded if within[x] == name and x != name]
        return f"{match[1]}{render(recorded[name], others)}{match[3]}"

    def headlines_block(match: re.Match[str]) -> str:
        lines = [
            match[1] + "| task | ours | best baseline | published | seeds | command |"
        ]
        lines += ["|---|---|---|---|---|---|"]
        for name in match["names"].split() or recorded:
            if name not in recorded:
                raise UsageError(
                    f"'{page}' shows the headline of '{name}', {records} has no record"
                )
            table = str(within[name])
            target = heading[table]
            if place[table] != page:
                file = os.path.relpath(place[table], Path(page).parent)
                target = Path(file).as_posix() + target
            title = recorded[name].get("recipe", name)
            title = f"[{title}]({target})" if target else title
            lines += [f"| {title}: {' | '.join(row)} |" for row in headlines[name]]
        return "\n".join([*lines, match[3]])

    differ = {}
    for page, before in texts.items():
        after = HEADLINES.sub(headlines_block, TABLE.sub(table_block, before))
        if after != before:
            differ[page] = after
    for page, after in () if check else differ.items():
        _write(page, after)
    return list(differ)


def _anchor(heading: str) -> str:
    """Return how a Markdown link names a heading."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _write(page: str, text: str) -> None:
    write_text(Path(page), text)


def _read(page: str) -> str:
    try:
        return Path(page).read_text()
    except OSError as error:
        raise UsageError(f"cannot read '{page}': {error.strerror}") from error


def _table_of(
    name: str, place: dict[str, str], recorded: dict[str, dict[str, Any]]
) -> str | None:
    """Return the table that shows a record: its own, or that of the main model."""
    if name in place:
        return name
    hosts = [
        table
        for table in place
        if name.startswith(f"{table}-") and "runs" in recorded[table]
    ]
    return max(hosts, key=len, default=None)


def run_headlines(
    content: dict[str, Any], main: dict[str, Any] | None = None
) -> list[list[str]]:
    """Return task, ours, best baseline, published, seeds and command of a record.

    There is one row for each figure of the first grouping, and where nothing is
    published for these, one for the last figure for which something is.

    Args:
        content (dict): The content of a record of runs.
        main (dict, optional): The record that has the baseline and the references.
            (default: ``content``)
    """
    main = main or content
    columns = test_columns(content["runs"][0]["test"])
    known = {name for entry in content["published"] for name in entry["figures"]}
    chosen = {
        (grouping, name): "" if name == "all" else f"{name}, "
        for grouping, name in columns
        if grouping == columns[0][0]
    }
    if known.isdisjoint(name for _, name in chosen):
        further = [column for column in columns if column[1] in known][-1:]
        chosen |= {
            (grouping, name): f"{grouping} {name}, " for grouping, name in further
        }
    unit = UNITS[content["metric"]]
    return [
        [
            f"{figure.replace('_', ' ')}{unit[0].lower()}{unit[1:]}",
            *_compared(content, main, *column),
            _seeds([run["seed"] for run in content["runs"]]),
            f"`{content['runs'][0]['command']}`",
        ]
        for column, figure in chosen.items()
    ]


def _compared(
    content: dict[str, Any], main: dict[str, Any], grouping: str, name: str
) -> list[str]:
    """Return ours, the best baseline and what is published of one figure."""

    def values(record: dict[str, Any], *keys: str) -> list[float | None]:
        return [_at(run["test"][grouping][name], *keys) for run in record["runs"]]

    def text(label: str, found: list[float | None]) -> str:
        scale, digits = scale_of(content["metric"], grouping)
        return f"{_spread(found, scale, digits, _shows_interval(content))} ({label})"

    others = {main["baseline"]: values(main, "baseline")}
    for key in main["runs"][0]["test"][grouping][name]["references"]:
        others[key] = values(main, "references", key)
    means = {
        key: statistics.mean(value for value in found if value is not None)
        for key, found in others.items()
        if set(found) != {None}
    }
    better = max if content["metric"] == "accuracy" else min
    best = better(means, key=means.__getitem__, default=None)
    published = [
        f"{entry['figures'][name]} ({entry['name']}"
        f"{')' if entry['read'] else ', from memory)'}"
        for entry in content["published"]
        if name in entry["figures"]
    ]
    return [
        text(content["model"], values(content, "ours")),
        "-" if best is None else text(best, others[best]),
        "; ".join(published) or "-",
    ]


def _benchmark_headlines(
    name: str, content: dict[str, Any], page: str, text: str
) -> list[list[str]]:
    table = content["table"]
    templates = [x["text"] for x in HEADLINE.finditer(text) if x["name"] == name]
    if not templates:
        raise UsageError(
            f"'{page}' has no headline for table '{name}'; add a line <!-- headline:"
            f"{name} TASK | OURS | BASELINE | PUBLISHED --> with {{ROW/COLUMN}} for a "
            "cell of the table"
        )

    def cell(match: re.Match[str]) -> str:
        start, column = match.groups()
        where = f"'{page}', headline of '{name}': "
        if column not in table["columns"]:
            raise UsageError(
                f"{where}no column '{column}', there are {', '.join(table['columns'])}"
            )
        number = table["columns"].index(column)
        best = BEST.fullmatch(start)
        rows = [row for row in table["rows"] if row[0].startswith(start)]
        if best:
            rows = [row for row in table["rows"] if not row[0].startswith(best[2])]
        if not rows:
            raise UsageError(f"{where}no row of the table begins with '{start}'")
        if not best:
            return str(rows[0][number])
        choose = min if best[1] == "min" else max
        try:
            row = choose(rows, key=lambda row: float(row[number].split()[0]))
        except ValueError as error:
            raise UsageError(
                f"{where}column '{column}' is not all numbers; name a row"
            ) from error
        return f"{row[number]} ({row[0].partition(':')[0]})"

    command = (COMMAND.findall(table["caption"]) or ["-"])[-1]
    seeds = [int(seed) for seed in re.findall(r"-seed(\d+)", command)]
    seeds = seeds or [run["settings"]["seed"] for run in content.get("runs", [])]
    seeds = seeds or content.get("seeds") or [content.get("seed")]
    rows = []
    for template in templates:
        cells = [part.strip() for part in CELL.sub(cell, template).split(" | ")]
        if len(cells) != 4:
            raise UsageError(
                f"'{page}', headline of '{name}': expected four parts TASK | OURS | "
                f"BASELINE | PUBLISHED, got {len(cells)}: {template}"
            )
        rows.append([*cells, _seeds(seeds), f"`{command}`"])
    return rows


def _seeds(seeds: Sequence[int | None]) -> str:
    different = sorted({seed for seed in seeds if seed is not None})
    if len(different) > 3 and different[-1] - different[0] == len(different) - 1:
        return f"{different[0]} to {different[-1]}"
    return ", ".join(map(str, different)) or "-"


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
