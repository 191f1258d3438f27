"""What a conversion found, for people and for programs."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LISTED = 100  # bad scenes in the report for people


def write_report(root: Path, report: Mapping[str, Any]) -> None:
    """Writes `report.json` and `report.md`, each whole or not at all.

    Args:
        root (Path): The folder.
        report (Mapping): What :func:`pyg_relational.data.convert.convert` returns.
    """
    report = {**report, "warnings": list(warnings(report))}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    _write(root / "report.json", text)
    _write(root / "report.md", "\n".join(_lines(report)) + "\n")


def warnings(report: Mapping[str, Any]) -> Iterator[str]:
    """Yields what may not be as the user thinks.

    Args:
        report (Mapping): The report.
    """
    if report["bad"]:
        yield f"{len(report['bad']):,} bad scenes were left out"
    for name, number in report["splits"].items():
        if number == 0:
            yield f"the split '{name}' is empty"
    for level, attributes in report["attributes"].items():
        for attribute in attributes:
            what = f"{level} attribute {attribute['name']!r}"
            if (
                attribute["kind"] in ("text", "mixed")
                and attribute["role"] == "feature"
            ):
                yield f"{what} is of kind '{attribute['kind']}' and has no features"
            counts = attribute["counts"]
            unknown = counts.get("missing", 0) + counts.get("none", 0)
            if unknown > counts.get("present", 0):
                yield f"{what} is unknown more often than known"
            if counts.get("not_finite"):
                yield f"{what} has {counts['not_finite']:,} values that are not finite"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield "# Conversion of scenes"
    yield ""
    shares = ", ".join(
        f"{number:,} {name}" for name, number in report["splits"].items()
    )
    yield f"{report['scenes']:,} scenes ({shares}) from `{report['source']}`"
    yield ""
    yield "| level | attribute | kind | role | present | missing | none | types |"
    yield "|---|---|---|---|---|---|---|---|"
    for level, attributes in report["attributes"].items():
        for attribute in attributes:
            counts = attribute["counts"]
            numbers = [f"{counts.get(k, 0):,}" for k in ("present", "missing", "none")]
            types = ", ".join(attribute["types"])
            cells = [attribute["name"], attribute["kind"], attribute["role"], *numbers]
            yield "| " + " | ".join([level, *map(_cell, cells), _cell(types)]) + " |"
    for title, found in (
        ("Warnings", report["warnings"]),
        ("Bad scenes", [f"{b['place']}: {b['reason']}" for b in report["bad"]]),
    ):
        if found:
            yield from ("", f"## {title}", "")
            yield from (f"- {line}" for line in found[:LISTED])
            if len(found) > LISTED:
                yield f"- and {len(found) - LISTED:,} more, in `report.json`"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
