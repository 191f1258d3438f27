"""The schema of scenes as JSON."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pyg_relational.data.scene_attributes import LEVELS, Attribute
from pyg_relational.data.scene_options import SceneOptions
from pyg_relational.data.scene_values import from_json, to_json

FORMAT = "pyg-relational scenes"
VERSION = 1
FACTS = ("scenes", "nodes", "edges", "graph_classes", "self_loops", "parallel_edges")


def schema_content(
    attributes: Sequence[Attribute],
    facts: Mapping[str, Any],
    options: SceneOptions,
    exact: bool,
) -> dict[str, Any]:
    """Returns what a schema file holds.

    Args:
        attributes (sequence of Attribute): The attributes.
        facts (Mapping): What else is known of the scenes.
        options (SceneOptions): What the user asks for.
        exact (bool): Whether exact values travel along.
    """
    chosen = asdict(options)
    chosen["edge_type"] = to_json(options.edge_type)
    chosen["targets"], chosen["leave_out"] = [*options.targets], [*options.leave_out]
    chosen["kinds"] = dict(sorted(options.kinds.items()))
    return {
        "format": FORMAT,
        "version": VERSION,
        "scenes": {name: facts[name] for name in FACTS},
        "options": chosen | {"exact": exact},
        "attributes": {
            level: [a.to_json() for a in attributes if a.level == level]
            for level in LEVELS
        },
    }


def read_schema(
    schema: Mapping[str, Any],
) -> tuple[list[Attribute], dict[str, Any], SceneOptions, bool]:
    """Returns attributes, facts, options and whether exact values travel along.

    Args:
        schema (Mapping): What :func:`schema_content` returned.

    Raises:
        ValueError: If it is no schema, incomplete, or of another version.
    """
    if not isinstance(schema, Mapping) or schema.get("format") != FORMAT:
        raise ValueError(f"expected 'format' to be '{FORMAT}'; save the schema again")
    if schema.get("version") != VERSION:
        raise ValueError(
            f"expected version {VERSION} (got {schema.get('version')!r}); use the "
            f"release of pyg-relational that wrote it, or fit again"
        )
    for section in ("scenes", "options", "attributes"):
        if not isinstance(schema.get(section), Mapping):
            raise ValueError(f"expected a section '{section}'; save the schema again")
    missing = [name for name in FACTS if name not in schema["scenes"]]
    if missing:
        raise ValueError(f"'scenes' lacks '{missing[0]}'; save the schema again")
    chosen = dict(schema["options"])
    exact = bool(chosen.pop("exact", True))
    unknown = set(chosen) - {part.name for part in fields(SceneOptions)}
    if unknown:
        raise ValueError(f"unknown option '{min(unknown)}'; remove it")
    for name in ("targets", "leave_out"):
        chosen[name] = tuple(chosen.get(name, ()))
    chosen["edge_type"] = from_json(chosen.get("edge_type"))
    attributes = [
        Attribute.from_json(level, content)
        for level in LEVELS
        for content in schema["attributes"].get(level, ())
    ]
    return attributes, dict(schema["scenes"]), SceneOptions(**chosen), exact


def write_schema(path: Path, schema: Mapping[str, Any]) -> None:
    """Writes a schema, whole or not at all.

    Args:
        path (Path): The file.
        schema (Mapping): What :func:`schema_content` returned.
    """
    text = json.dumps(schema, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
