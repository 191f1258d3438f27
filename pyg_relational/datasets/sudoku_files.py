"""Gordon Royle's list of Sudokus with 17 givens."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_relational.datasets.archives import gunzip
from pyg_relational.datasets.sudoku_solver import solve

NUM_CELLS = 81
NUM_PUZZLES = 49151
# Of the sorted puzzles, with 0 for blank cells and a newline between two: the copies
# in circulation differ in order, line ends and compression.
SHA256 = "d6bcbd3d9bb939f9b2abd7934760ecef1ff6101bef49f17d5568cffadd4beb6a"
# The list has 4 MB.
MAX_BYTES = 64 * 2**20
# One copy of the list marks a line like this.
_REMARK = "--"

IntArray = NDArray[np.int64]


class PuzzleFile(NamedTuple):
    """The puzzles of a file, sorted.

    Attributes:
        given: `[P, 81]`, digits from 1, and 0 for a blank cell.
        line: `[P]`, the line of each puzzle, from 1.
    """

    given: IntArray
    line: IntArray


def read_seventeen(path: str | Path) -> PuzzleFile:
    """Reads the list and checks that it is Royle's.

    Args:
        path (str or Path): The file, compressed if its name ends in `.gz`.

    Raises:
        ValueError: The file cannot be read as text, a line is no puzzle with exactly
            one solution, or this is another list; the message names file and line.
    """
    puzzles, content = _parse(path)
    if hashlib.sha256(content).hexdigest() != SHA256:
        solve_lines(puzzles, path)
        raise ValueError(
            f"Expected {str(path)!r} to be Royle's list of {NUM_PUZZLES} Sudokus with "
            f"17 givens, got {len(puzzles.line)} puzzles with another checksum. Fetch "
            "the file again."
        )
    return puzzles


def solve_lines(puzzles: PuzzleFile, path: str | Path) -> IntArray:
    """Returns the solutions `[P, 81]` with digits from 1.

    Args:
        puzzles (PuzzleFile): The puzzles.
        path (str or Path): Where they come from, used in the message.

    Raises:
        ValueError: A puzzle has no solution, or more than one.
    """
    solutions = solve(puzzles.given)
    wrong = np.flatnonzero(solutions.number != 1)
    if len(wrong) > 0:
        first = wrong[puzzles.line[wrong].argmin()]
        found = "none" if solutions.number[first] == 0 else "more than one"
        raise ValueError(
            f"Expected a Sudoku with exactly one solution in line "
            f"{puzzles.line[first]} of {str(path)!r}, got {found}."
        )
    return solutions.digits


def _parse(path: str | Path) -> tuple[PuzzleFile, bytes]:
    """Returns the sorted puzzles, and as the text that is checksummed."""
    found = []
    for number, line in enumerate(_lines(Path(path)), start=1):
        text = line.strip().partition(_REMARK)[0].replace(".", "0")
        if not text and not line.strip():
            continue
        foreign = re.search(r"[^0-9]", text)
        if foreign is not None:
            raise ValueError(
                f"Expected the digits 0 to 9 or dots in line {number} of "
                f"{str(path)!r}, got {foreign.group()!r} at position "
                f"{foreign.start() + 1}."
            )
        if len(text) != NUM_CELLS:
            raise ValueError(
                f"Expected {NUM_CELLS} cells in line {number} of {str(path)!r}, got "
                f"{len(text)}."
            )
        found.append((text, number))
    if not found:
        raise ValueError(f"Expected puzzles in {str(path)!r}, got an empty file.")
    found.sort()
    content = "\n".join(text for text, _ in found).encode()
    # [P, 81 digits and a newline] -> [P, 81]
    cells = np.frombuffer(content + b"\n", dtype=np.uint8).reshape(len(found), -1)
    given = cells[:, :NUM_CELLS].astype(np.int64) - ord("0")
    return PuzzleFile(given, np.array([number for _, number in found])), content


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gunzip(content, path, MAX_BYTES)
    # Foreign bytes become characters that are named with their line.
    return content.decode("utf-8-sig", errors="replace").splitlines()
