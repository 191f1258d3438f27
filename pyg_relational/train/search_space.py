"""The section ``search`` of a recipe: options to tune, and the values they may take."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_relational.train.errors import UsageError, nearest_names

if TYPE_CHECKING:
    from optuna.trial import Trial

KEYS = {"low", "high", "log", "step", "choices"}


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if both are whole.

    Args:
        low (int or float): The smallest value.
        high (int or float): The largest value.
        log (bool): If set, the logarithm of the value is uniform. (default: ``False``)
        step (int or float, optional): Distance of the values. (default: ``None``)
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def examples(self) -> list[Any]:
        """Return values that must be legal if all of them are to be."""
        return [self.low, self.high]

    def suggest(self, trial: "Trial", key: str) -> Any:
        """Return the value that a trial takes for an option."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(key, self.low, self.high, step=step, log=self.log)
        return trial.suggest_float(
            key, self.low, self.high, step=self.step, log=self.log
        )

    def decode(self, stored: Any) -> Any:
        """Return the value that a study stored."""
        return stored


@dataclass(frozen=True)
class Choices:
    """One of some values, which need not be numbers.

    Args:
        choices (tuple): The values: numbers, strings, booleans, ``None``, lists.
    """

    choices: tuple[Any, ...]

    def examples(self) -> list[Any]:
        """Return values that must be legal if all of them are to be."""
        return list(self.choices)

    def suggest(self, trial: "Trial", key: str) -> Any:
        """Return the value that a trial takes for an option."""
        # As JSON: a study stores no lists.
        texts = [json.dumps(choice) for choice in self.choices]
        return self.decode(trial.suggest_categorical(key, texts))

    def decode(self, stored: Any) -> Any:
        """Return the value that a study stored."""
        return json.loads(stored)


Distribution = Range | Choices


def check_search(path: Path, content: dict[str, Any]) -> None:
    """Check every section ``search`` of a recipe's file.

    Args:
        path (Path): The file, for messages.
        content (dict): What the file holds.

    Raises:
        UsageError: As :func:`read_space`.
    """
    for place, block in _blocks(content):
        if "search" in block:
            read_space(block["search"], f"'{place}search' of recipe '{path}'")


def read_space(search: Any, where: str) -> dict[str, Distribution]:
    """Return the distribution of each option of a section ``search``.

    Args:
        search (Any): A mapping of options, such as ``optimizer.learning_rate``, to
            ``{low, high}`` with ``log`` or ``step``, or to ``{choices}``.
        where (str): What is read, for messages.

    Raises:
        UsageError: If the section is not such a mapping, or a distribution has unknown
            keys, no values, values out of order, or a logarithm of zero or less.
    """
    if not isinstance(search, dict):
        raise UsageError(
            f"{where} must be a mapping of options to distributions, not {search!r}"
        )
    return {str(key): _read(value, f"{where}: {key}") for key, value in search.items()}


def short(value: Any) -> str:
    """Return a value as a person reads it: floats with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _blocks(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", content
    for section in ("sizes", "representations", "models"):
        blocks = content.get(section)
        for name, block in blocks.items() if isinstance(blocks, dict) else ():
            if isinstance(block, dict):
                inner = _blocks(block) if section != "models" else [("", block)]
                for place, part in inner:
                    yield f"{section}.{name}.{place}", part


def _read(value: Any, where: str) -> Distribution:
    if not isinstance(value, dict):
        raise UsageError(
            f"{where} must be {{low: ..., high: ...}} or {{choices: [...]}}, "
            f"not {value!r}"
        )
    for key in sorted(map(str, set(value) - KEYS)):
        raise UsageError(
            f"{where} has an unknown key '{key}'; {nearest_names(key, KEYS)}"
        )
    if "choices" in value:
        return _read_choices(value, where)
    if missing := sorted({"low", "high"} - set(value)):
        raise UsageError(f"{where} lacks {', '.join(missing)}")
    return _read_range(value, where)


def _read_choices(value: dict[str, Any], where: str) -> Choices:
    choices = value["choices"]
    if len(value) > 1:
        others = ", ".join(sorted(set(value) - {"choices"}))
        raise UsageError(f"{where} has choices, which exclude {others}; keep either")
    if not isinstance(choices, list) or not choices:
        raise UsageError(
            f"{where}: choices must be a list of values with at least one, "
            f"not {choices!r}"
        )
    texts = [json.dumps(choice, default=str) for choice in choices]
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"{where}: choices hold {text} twice; keep one")
    # Dates and the like become what a command line would have said.
    return Choices(tuple(json.loads(text) for text in texts))


def _read_range(value: dict[str, Any], where: str) -> Range:
    for key in ("low", "high", *(["step"] if value.get("step") is not None else [])):
        _check_number(value[key], f"{where}: {key}")
    low, high = value["low"], value["high"]
    log, step = value.get("log", False), value.get("step")
    if not isinstance(log, bool):
        raise UsageError(f"{where}: log must be true or false, not {log!r}")
    if low > high:
        raise UsageError(f"{where}: low {low} is above high {high}; exchange them")
    if log and low <= 0:
        raise UsageError(f"{where}: log needs a low above 0, not {low}")
    if step is None:
        return Range(low, high, log)
    if log:
        raise UsageError(f"{where}: log and step exclude each other; keep either")
    whole = isinstance(low, int) and isinstance(high, int)
    if step <= 0 or (whole and not isinstance(step, int)):
        kind = "whole number" if whole else "number"
        raise UsageError(f"{where}: step must be a {kind} above 0, not {step}")
    # As decimals: 0.3 is three steps of 0.1, in binary it is not.
    steps = (Fraction(str(high)) - Fraction(str(low))) / Fraction(str(step))
    if steps.denominator != 1:
        raise UsageError(
            f"{where}: high {high} is no whole number of steps of {step} above {low}"
        )
    return Range(low, high, log, step)


def _check_number(value: Any, where: str) -> None:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value):
        hint = ""
        if isinstance(value, str):
            hint = " (YAML reads 1e-4 as text: write 1.0e-4)"
        raise UsageError(f"{where} must be a number, not {value!r}{hint}")
