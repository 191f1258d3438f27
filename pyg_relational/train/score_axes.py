"""Pictures of test scores against a number, such as the length of a chain.

A dataset asks for them: its ``AXES`` names the groupings whose groups are numbers, and
says what each counts, ``{"length": "relations in the chain"}``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyg_relational.train import pictures
from pyg_relational.train.files import read_json
from pyg_relational.train.registry import dataset_class

# What records of one picture have in common.
SHARED = ("recipe", "size", "representation", "metric")


def draw_run(folder: Path, results: dict[str, Any]) -> list[Path]:
    """Draw the scores of a run and its baseline.

    Args:
        folder (Path): Where the pictures ``<grouping>.png`` go.
        results (dict): The ``results.json`` of the run.

    Returns:
        list[Path]: The pictures, none if the dataset asks for none.
    """
    baseline = results["baseline"] and results["baseline"]["model"]
    content = {**results, "baseline": baseline, "runs": [results]}
    return _draw(folder, "", [content])


def draw_records(path: Path) -> list[Path]:
    """Draw what a record and its further models have recorded, ``NAME.json`` and
    ``NAME-<model>.json``, as ``NAME-<grouping>.png``.

    Args:
        path (Path): One of the records.

    Returns:
        list[Path]: The pictures, none if the dataset asks for none.
    """
    stems = sorted(file.stem for file in path.parent.glob("*.json"))
    name = min(
        (stem for stem in stems if f"{path.stem}-".startswith(f"{stem}-")), key=len
    )
    files = [name, *(stem for stem in stems if stem.startswith(f"{name}-"))]
    records = [read_json(path.with_name(f"{stem}.json")) for stem in files]
    first = records[0]
    same = [
        record
        for record in records
        if "runs" in record and all(record[key] == first.get(key) for key in SHARED)
    ]
    return _draw(path.parent, f"{name}-", same)


def _draw(folder: Path, prefix: str, records: list[dict[str, Any]]) -> list[Path]:
    if not records:
        return []
    first, made = records[0], []
    dataset = dataset_class(first["settings"]["dataset"]["class"])
    for grouping, axis in getattr(dataset, "AXES", {}).items():
        path = folder / f"{prefix}{grouping}.png"
        measured = measured_scores(records, grouping)
        pictures.score_curves(path, measured, first["metric"], axis)
        made.append(path)
    return made


def measured_scores(
    records: Iterable[dict[str, Any]], grouping: str
) -> pictures.Measured:
    """Return the scores of every model, baseline and reference of some records.

    Models of ours come first; of a baseline that several records have, those of the
    first are taken.

    Args:
        records (Iterable[dict]): The records.
        grouping (str): The grouping.
    """
    ours: pictures.Measured = {}
    others: pictures.Measured = {}
    for record in records:
        tests = [run["test"][grouping] for run in record["runs"]]
        cells = [{name: cell["ours"] for name, cell in test.items()} for test in tests]
        ours[record["model"]] = cells
        if record["baseline"]:
            others.setdefault(
                record["baseline"],
                [{k: cell["baseline"] for k, cell in test.items()} for test in tests],
            )
        references = next(iter(tests[0].values()))["references"]
        for reference in references:
            others.setdefault(
                reference,
                [
                    {k: cell["references"][reference] for k, cell in test.items()}
                    for test in tests
                ],
            )
    return ours | {name: runs for name, runs in others.items() if name not in ours}
