"""Checks of names and numbers, and the error for the person at the command line."""

import difflib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def check_choice(value: str, choices: Iterable[str], name: str) -> None:
    r"""Raises a :class:`ValueError` that lists the choices, nearest first, unless
    :obj:`value` is one of them."""
    choices = list(choices)
    if value in choices:
        return
    near = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"'{name}' must be one of {', '.join(map(repr, choices))} (got {value!r}){hint}"
    )


def check_int(argument: str, value: int, low: int, high: int | None = None) -> int:
    """Returns `value` if it is an integer within the limits, both included."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected `{argument}` to be an integer, got {value!r}.")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected `{argument}` to be {allowed}, got {value}.")
    return value


def check_name(argument: str, value: object, known: Sequence[str]) -> str:
    """Returns `value` if it is one of the known names."""
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value).lower(), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise ValueError(
        f"Unknown {argument} {value!r}{hint} Expected one of: {', '.join(known)}."
    )


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


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what ``name`` may have meant, and everything known."""
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = " or ".join(f"'{match}'" for match in matches)
    listing = f"Known: {', '.join(names) if names else 'none'}"
    return f"did you mean {hint}? {listing}" if hint else listing
