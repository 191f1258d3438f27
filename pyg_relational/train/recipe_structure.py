"""What kind of value each section of a recipe holds."""

from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError

NAMES = {"name", "description", "model", "baseline", "spread"}
MAPPINGS = {
    "budget",
    "dataset",
    "models",
    "optimizer",
    "representations",
    "search",
    "sizes",
    "solved_above",
}
LISTS = {"published", "references"}
KINDS: tuple[tuple[set[str], type, str], ...] = (
    (NAMES, str, "a name"),
    (MAPPINGS, dict, "a mapping"),
    (LISTS, list, "a list"),
)
# Their entries are laid over the recipe, so they look like it.
LAYERS = ("sizes", "representations")


def check_structure(path: Path, content: dict[str, Any], place: str = "") -> None:
    """Check that every section is of its kind: a name, a mapping or a list.

    Args:
        path (Path): The file, for messages.
        content (dict): What the file, or a layer of it, holds.
        place (str): Which layer this is, for messages. (default: ``""``)

    Raises:
        UsageError: If one is not; it is named.
    """
    for name, value in content.items():
        where = f"'{place}{name}' of recipe '{path}'"
        for names, kind, text in KINDS:
            # An empty part, or no baseline.
            empty = value is None and (name == "baseline" or place)
            if name in names and not isinstance(value, kind) and not empty:
                raise UsageError(f"{where} must be {text}, not {str(value)[:80]!r}")
        if not isinstance(value, dict):
            continue
        if not all(isinstance(key, str) for key in value):
            raise UsageError(f"{where} has a key that is no text: {list(value)[:9]}")
        if name == "models":
            for key, spec in value.items():
                _check_model(f"'{place}models.{key}' of recipe '{path}'", spec)
        if name in LAYERS:
            for key, layer in value.items():
                if layer is not None and not isinstance(layer, dict):
                    raise UsageError(f"{where}: '{key}' must be a mapping of sections")
                check_structure(path, layer or {}, f"{place}{name}.{key}.")


def check_part(where: str, part: dict[str, Any]) -> None:
    """Check what a description of a model or dataset, or a piece of one, holds.

    Args:
        where (str): What is checked, for messages.
        part (dict): The description.

    Raises:
        UsageError: If a value is not of its kind; it is named.
    """
    kinds = {"class": str, "args": dict, "dataset": dict, "search": dict, "root": str}
    for key, kind in kinds.items():
        if key in part and not isinstance(part[key], kind):
            raise UsageError(
                f"{where}: '{key}' must be a {'text' if kind is str else 'mapping'}, "
                f"not {str(part[key])[:80]!r}"
            )


def _check_model(where: str, spec: Any) -> None:
    """A layer may name a part of a model's description only."""
    if not isinstance(spec, dict):
        raise UsageError(f"{where} must be a mapping with class and args, not {spec!r}")
    check_part(where, spec)
