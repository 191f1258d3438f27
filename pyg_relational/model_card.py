"""The card of a shared model: what it is, what it was trained on, how well it does."""

import json
from pathlib import Path
from typing import Any

from pyg_relational.train.results import read_results, shown, test_columns
from pyg_relational.train.run_folder import read_config

UNKNOWN = "not recorded"


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what a card states of a run.

    Args:
        folder (Path): A run folder.

    Returns:
        dict: ``recipe, data, seed, command, versions``, and ``results``, the content of
        ``results.json`` if the run is finished.

    Raises:
        UsageError: If the folder is not a run folder, or a file is damaged.
    """
    config = read_config(folder)
    finished = (folder / "results.json").is_file()
    # Where the data lies is nobody's business.
    data = {key: x for key, x in config["dataset"].items() if key != "root"}
    return {
        "recipe": config["recipe"],
        "data": data,
        "seed": config["seed"],
        "command": config.get("command"),
        "versions": config.get("versions"),
        "results": read_results(folder) if finished else None,
    }


def card_text(spec: dict[str, Any], facts: dict[str, Any]) -> str:
    """Return a card in Markdown, without its front matter.

    Args:
        spec (dict): ``class`` and ``args`` of the model.
        facts (dict): What :func:`read_facts` returned, and ``licence``.
    """
    place, _, name = spec["class"].rpartition(".")
    allow = f', allow=["{place}"]' if place else ""
    rows = {
        "Model": _class_text(place, name),
        "Arguments": _code(spec["args"]),
        "Data": _data(facts.get("data")),
        "Recipe": _code(facts.get("recipe")),
        "Seed": _code(facts.get("seed")),
        "Command": _code(facts.get("command")),
        "Versions": _versions(facts.get("versions")),
        "Licence": facts.get("licence") or "not stated",
    }
    lines = [f"# {name}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += ["", "## Test figures", "", *_figures(facts.get("results"))]
    lines += [
        "",
        "## Use",
        "```python",
        "from pyg_relational.hub import load_pretrained",
        "",
        f'model = load_pretrained("this folder, or owner/name on the hub"{allow})',
        "```",
        "Weights are safetensors and the description is JSON: loading runs no code of",
        "this repository.",
    ]
    return "\n".join(lines) + "\n"


def _class_text(place: str, name: str) -> str:
    return f"`{name}` of `{place or 'pyg_relational.models'}`"


def _figures(results: dict[str, Any] | None) -> list[str]:
    if results is None:
        return [f"{UNKNOWN.capitalize()}."]
    test, metric = results["test"], results["metric"]
    baseline = results.get("baseline")
    names = ["this model", *([f"baseline ({baseline['model']})"] if baseline else [])]
    unit = "accuracy in %" if metric == "accuracy" else metric.replace("_", " ")
    lines = [
        f"One run, test split, {unit}.",
        "",
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for grouping, name in test_columns(test):
        values = [test[grouping][name][who] for who in ("ours", "baseline")]
        cells = [shown(x, metric, grouping) for x in values[: len(names)]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _data(data: dict[str, Any] | None) -> str:
    if data is None:
        return UNKNOWN
    return f"`{data['class']}` of `pyg_relational.datasets`, {_code(data['args'])}"


def _versions(versions: dict[str, str] | None) -> str:
    if not versions:
        return UNKNOWN
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _code(value: Any) -> str:
    if value is None:
        return UNKNOWN
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A bar would end the cell of a table.
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")
