"""Weights of models: safetensors, checked against their description before anything of
the described size is built.

The description beside the weights, ``config.json``, lists their checksum as
``"weights"``: ``[{"bytes": ..., "sha256": ...}]``.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from pyg_relational._checks import UsageError, argument_names
from pyg_relational._files import read_json, write_atomic, write_json
from pyg_relational.train.recipe import build_model, model_class

# Files of these kinds are pickles, which run what they please when they are read.
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
# A zip archive of torch, and bare pickles of the protocols 2 to 5.
MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# An argument counts layers, steps or channels. What is above is at most as large as
# the number of weights, as channels are.
LARGEST = 10_000
# What the description calls the checksums.
WEIGHTS = "weights"
# Arguments that had another name, or a default, when older models were saved.
RENAMED = {
    "embedding_channels": "object_channels",
    "head_channels": "readout_channels",
    "reduce": "aggr",
}
DEFAULTS = {"PixelRelationNetwork": {"in_channels": 3}}


def load_weights(path: Path, spec: Any, remedy: str) -> nn.Module:
    """Build the model that a description names with the weights of a file."""
    check_no_pickle(path)
    _check_checksum(path, spec, remedy)
    stored = _stored_numbers(path, remedy)
    check_spec(spec, stored)
    spec = renewed(spec)
    other = f"'{path.parent}' is a run folder of another model: the weights do not fit "
    # Memory is asked for only after the file has shown that it holds as much.
    needed = _needed_numbers(spec)
    if needed > stored:
        raise UsageError(
            f"{other}{spec['class']}, which has {needed:,} numbers; the file has "
            f"{stored:,}"
        )
    model = build_model(spec)
    try:
        safetensors.torch.load_model(model, path)
    except SafetensorError as error:
        raise UsageError(f"'{path}' is damaged ({error}); {remedy}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{other}{spec['class']}. {reason}") from error
    return model.eval()


def save_weights(path: Path, model: nn.Module, spec: dict[str, Any]) -> None:
    """Write weights, and the description beside them with their checksum.

    The folder can be read at any moment: while the old file is replaced by the new one,
    the description names the checksums of both."""
    description = path.with_name("config.json")
    before = _before(path, description)

    def write(partial: Path) -> None:
        # Not `save_file`: parts of a model may share a parameter, such as an embedding.
        safetensors.torch.save_model(model, str(partial))
        write_json(description, {**spec, WEIGHTS: [*before, checksum(partial)]})

    write_atomic(path, write)
    write_json(description, {**spec, WEIGHTS: [checksum(path)]})


def checksum(path: Path) -> dict[str, Any]:
    """Return ``bytes`` and ``sha256`` of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def without_checksum(spec: Any) -> Any:
    """Return a description as it was before weights were written beside it."""
    if not isinstance(spec, dict):
        return spec
    return {key: value for key, value in spec.items() if key != WEIGHTS}


def renewed(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a model as its class takes it today."""
    taken, _ = argument_names(model_class(spec["class"]))
    args: dict[str, Any] = dict(DEFAULTS.get(spec["class"], {}))
    for name, value in spec["args"].items():
        now = RENAMED.get(name, name)
        inner = isinstance(value, dict) and set(value) == {"class", "args"}
        args[now if name not in taken and now in taken else name] = (
            renewed(value) if inner else value
        )
    return {**spec, "args": args}


def check_no_pickle(path: Path) -> None:
    """Check that a file of weights is not a pickle, by its name and its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from error
    # Safetensors begin with the length of their header, which may look like anything.
    plain = start[8:] == b"{"
    if path.suffix in PICKLES or (start.startswith(MAGIC) and not plain):
        raise UsageError(
            f"'{path}' is a pickle, which may run any code when it is read; it is not "
            f"opened. Ask for 'model.safetensors', or convert the file where it was "
            f"made: safetensors.torch.save_model(model, 'model.safetensors')"
        )


def check_spec(spec: Any, most: int) -> None:
    """Check that a description is one, and that none of its numbers is out of range."""
    if (
        not isinstance(spec, dict)
        or not isinstance(spec.get("class"), str)
        or not isinstance(spec.get("args"), dict)
    ):
        raise UsageError(
            "the description of a model must be a mapping with 'class', a name, and "
            f"'args', a mapping of its arguments; got {str(spec)[:80]}"
        )
    for name, number in _numbers(spec["args"]):
        if abs(number) > max(most, LARGEST):
            raise UsageError(
                f"model {spec['class']}: '{name}' is {number}, more than the {most:,} "
                f"weights there are; the description is damaged"
            )


def _before(path: Path, description: Path) -> list[dict[str, Any]]:
    """The checksum of the file that is replaced, unless it is damaged."""
    if not (path.is_file() and description.is_file()):
        return []
    try:
        _check_checksum(path, read_json(description), "")
    except UsageError:
        return []
    return [checksum(path)]


def _check_checksum(path: Path, spec: Any, remedy: str) -> None:
    if not isinstance(spec, dict) or WEIGHTS not in spec:
        return
    allowed = spec[WEIGHTS]
    if not isinstance(allowed, list):
        raise UsageError(
            f"the description of '{path.name}' must list its checksums as '{WEIGHTS}', "
            f"got {str(allowed)[:80]}; it is damaged: {remedy}"
        )
    found = checksum(path)
    if found not in allowed:
        raise UsageError(
            f"'{path}' or config.json beside it is damaged: the file has "
            f"{found['bytes']:,} bytes and the SHA-256 {found['sha256']}, config.json "
            f"lists {str(allowed)[:200]}; {remedy}"
        )


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, (int, float)):
        yield name, value


def _needed_numbers(spec: dict[str, Any]) -> int:
    """How many numbers a model has, without the memory for them."""
    try:
        with torch.device("meta"):
            return sum(x.numel() for x in build_model(spec).parameters())
    except UsageError:
        raise
    # Arguments that no check of the model has foreseen, such as a width below 0.
    except Exception as error:
        raise UsageError(
            f"model {spec['class']} cannot be built with the arguments of its "
            f"description ({' '.join(str(error).split())}); the description is damaged"
        ) from error


def _stored_numbers(path: Path, remedy: str) -> int:
    """How many numbers a file holds, from its header alone."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            return sum(math.prod(file.get_slice(x).get_shape()) for x in names)
    except SafetensorError as error:
        raise UsageError(f"'{path}' is damaged ({error}); {remedy}") from error
