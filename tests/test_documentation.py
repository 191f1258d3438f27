"""What the public parts say of their arguments, each thing said once."""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator

import pyg_relational

LONGEST = 9
ROOMS = ("ops", "nn", "models", "data", "transforms", "loader", "explain", "testing")
SECTION = re.compile(r"^(Args|Shapes|Returns|Raises):$")


def documented() -> Iterator[tuple[str, str]]:
    """The documentation of public classes, their methods and functions, by name."""
    for room in ROOMS:
        package = getattr(pyg_relational, room)
        for name in package.__all__:
            part = getattr(package, name)
            parts = {name: part}
            if inspect.isclass(part):
                parts |= {
                    f"{name}.{key}": value
                    for key, value in vars(part).items()
                    if inspect.isfunction(value) and not key.startswith("_")
                }
            for key, value in parts.items():
                if inspect.isclass(value) or inspect.isfunction(value):
                    # Not what is inherited.
                    text = vars(value).get("__doc__") or ""
                    if inspect.isfunction(value):
                        text = value.__doc__ or ""
                    yield f"{room}.{key}", inspect.cleandoc(text)


def sections(text: str) -> list[str]:
    """The lines from the first section on."""
    lines = [line.strip() for line in text.splitlines()]
    for place, line in enumerate(lines):
        if SECTION.match(line):
            return lines[place:]
    return []


def test_arguments_are_documented_once() -> None:
    """No two parts have the same ten lines of documentation in a row."""
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, text in documented():
        lines = [line for line in sections(text) if line]
        for start in range(len(lines) - LONGEST):
            owners[tuple(lines[start : start + LONGEST + 1])].add(name)
    twice = {tuple(sorted(names)) for names in owners.values() if len(names) > 1}
    assert not twice, sorted(twice)
