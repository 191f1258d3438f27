"""The error whose message is written for the person at the command line."""

import difflib
from collections.abc import Iterable

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
    """Return a hint that names what ``name`` may have meant, and everything known.

    Args:
        name (str): What was asked for.
        known (Iterable[str]): All accepted names.

    Returns:
        str: For example ``did you mean 'relation'? Known: attention, relation``.
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = " or ".join(f"'{match}'" for match in matches)
    listing = f"Known: {', '.join(names) if names else 'none'}"
    return f"did you mean {hint}? {listing}" if hint else listing
