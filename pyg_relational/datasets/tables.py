"""Lines and rows of text files, parsed one by one; errors say which one is wrong."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import TypeVar

Parsed = TypeVar("Parsed")
# Characters of a message: what a damaged file holds may be of any length.
MOST = 1000
AGAIN = "correct the file, or fetch it again"


def parse_lines(
    content: bytes,
    name: str,
    parse: Callable[[str], Parsed],
    header: str | None = None,
) -> list[Parsed]:
    """Returns what is made of each line of a UTF-8 text, but for a header.

    A `ValueError` of `parse` comes out with the name of the file, the number of the
    line, and the line itself."""
    parsed = []
    # Not `splitlines`, which knows more line ends than an editor counts.
    for number, line in enumerate(content.rstrip(b"\r\n").split(b"\n"), 1):
        try:
            text = line.decode().rstrip("\r")
            if number > 1 or header is None:
                parsed.append(parse(text))
            elif text != header:
                raise ValueError(f"expected {header!r}")
        except ValueError as error:
            reason = str(error)[:MOST]
            if isinstance(error, UnicodeDecodeError):
                reason = "expected UTF-8 text, got other bytes"
            shown = line.decode(errors="replace").strip()[:80]
            raise ValueError(
                f"{name}, line {number}: {reason} in {shown!r}; {AGAIN}."
            ) from error
    return parsed


def parse_table(
    text: str,
    name: str,
    columns: Sequence[str],
    parse: Callable[[dict[str, str]], Parsed],
) -> list[Parsed]:
    """Returns what is made of each row of a CSV text, of which the first line names
    the columns.

    A `ValueError` of `parse` comes out with the name of the file and the number of the
    row, counted without that line."""
    parsed: list[Parsed] = []
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), restval="")
        found = rows.fieldnames or ()
        missing = [column for column in columns if column not in found]
        for row in () if missing else rows:
            parsed.append(parse(row))
    except (ValueError, csv.Error) as error:
        reason = str(error)[:MOST]
        raise ValueError(
            f"{name}, row {len(parsed) + 1}: {reason}; {AGAIN}."
        ) from error
    if missing:
        raise ValueError(
            f"{name}: expected the columns {', '.join(columns)}; {', '.join(missing)} "
            f"missing; {AGAIN}."
        )
    if not parsed:
        raise ValueError(f"{name}: expected rows, found none; {AGAIN}.")
    return parsed
