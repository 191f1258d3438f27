"""Checks of names and numbers, and the error for the person at the command line."""

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Never

# Characters of a message.
MOST = 3000


class UsageError(ValueError):
    """A request that cannot be met as it stands; the message says what to change.

    The command line prints the message as one line and exits with code 2. Every other
    exception is a defect and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        # What a damaged file holds may be of any length.
        super().__init__(message if len(message) <= MOST else message[:MOST] + " ...")


def check_int(argument: str, value: int, low: int, high: int | None = None) -> int:
    """Returns `value` if it is an integer within the limits, both included."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected `{argument}` to be an integer, got {value!r}.")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected `{argument}` to be {allowed}, got {value}.")
    return value


def check_bool(argument: str, value: bool) -> bool:
    """Returns `value` if it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"Expected `{argument}` to be a bool, got {value!r}.")
    return value


def check_fraction(argument: str, value: float, *, zero: bool = False) -> float:
    """Returns `value` if it is a number above 0, or 0 where allowed, and below 1."""
    check_number(argument, value)
    if not 0 <= value < 1 or (value == 0 and not zero):
        least = "at least 0" if zero else "above 0"
        raise ValueError(
            f"Expected `{argument}` to be {least} and below 1, got {value!r}."
        )
    return float(value)


def check_positive(argument: str, value: float) -> float:
    """Returns `value` if it is a positive and finite number."""
    check_number(argument, value)
    if not 0 < value < float("inf"):
        raise ValueError(f"Expected `{argument}` to be positive, got {value}.")
    return float(value)


def check_number(argument: str, value: float) -> float:
    """Returns `value` if it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `{argument}` to be a number, got {value!r}.")
    return value


def check_name(argument: str, value: object, known: Iterable[str]) -> str:
    """Returns `value` if it is one of the known names."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    raise ValueError(
        f"'{argument}' must be one of {', '.join(map(repr, names))} (got {value!r})"
        + "".join(f"; did you mean {meant}?" for meant in _meant(value, names))
    )


def argument_names(kind: type) -> tuple[list[str], bool]:
    """Returns the arguments of a constructor, those included that it passes on to the
    class it is derived from, and whether there may be any others."""
    names: list[str] = []
    # Of `__init__` itself: a class may have a metaclass with another signature.
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        others = False
        for name, parameter in inspect.signature(
            vars(base)["__init__"]
        ).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                # `**unknown: Never` is there to be refused.
                others = parameter.annotation is not Never
            elif parameter.kind is not parameter.VAR_POSITIONAL and name not in names:
                names.append(name)
        if not others:
            break
    return [name for name in names if name != "self"], others


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Returns a hint that names what ``name`` may have meant, and everything known."""
    names = sorted(known)
    hints = [f"did you mean {meant}? " for meant in _meant(name, names)]
    return f"{''.join(hints)}Known: {', '.join(names) if names else 'none'}"


def _meant(name: object, known: list[str]) -> list[str]:
    """The nearest of the known names in words, if there are any."""
    near = get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    return [" or ".join(map(repr, near))] if near else []
