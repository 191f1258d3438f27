"""Checks of user-given names that answer with the nearest known ones."""

from collections.abc import Sequence
from difflib import get_close_matches


def check_name(argument: str, value: object, known: Sequence[str]) -> str:
    """Returns `value` if it is one of the known names.

    Args:
        argument (str): What the name stands for, used in the message.
        value (object): The name that was given.
        known (Sequence[str]): The names that are allowed.

    Raises:
        ValueError: `value` is not known; the message lists the nearest names first.
    """
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value).lower(), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise ValueError(
        f"Unknown {argument} {value!r}{hint} Expected one of: {', '.join(known)}."
    )
