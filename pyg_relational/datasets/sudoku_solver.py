"""An exact Sudoku solver that works on many puzzles at a time.

The candidates of a cell are the bits of an integer: bit d stands for digit d + 1.
Every function takes `P` boards with the cells in front, `[cells, P]`, so that each
cell is one contiguous row.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Boards that are worked on together; more would leave the processor's cache.
CHUNK = 2048

Boards = NDArray[np.uint16]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Solutions(NamedTuple):
    """What is known about the solutions of `P` puzzles.

    Attributes:
        digits: `[P, cells]`, a solution with digits from 1, or 0 where there is none.
        number: `[P]`, how many solutions there are; 2 stands for two or more.
    """

    digits: IntArray
    number: IntArray


@cache
def units(size: int) -> IntArray:
    """Returns the cells `[3 * size, size]` of all rows, columns and boxes."""
    side = round(size**0.5)
    cells = np.arange(size * size).reshape(size, size)
    # [side, row in box, side, column in box] -> [box, cell in box]
    boxes = cells.reshape(side, side, side, side).swapaxes(1, 2).reshape(size, size)
    return np.concatenate([cells, cells.T, boxes])


@cache
def units_of_cell(size: int) -> IntArray:
    """Returns the row, the column and the box `[cells, 3]` of every cell."""
    order = np.argsort(units(size).ravel(), kind="stable")
    # Every cell occurs three times: in a row, a column and a box, in this order.
    return (order // size).reshape(size * size, 3)


@cache
def peers(size: int) -> BoolArray:
    """Returns which cells share a row, a column or a box, `[cells, cells]`."""
    unit = units_of_cell(size)
    shared = (unit[:, None] == unit[None]).any(-1)
    np.fill_diagonal(shared, False)
    return shared


def solve(puzzles: IntArray) -> Solutions:
    """Solves puzzles and counts their solutions up to two."""
    num_puzzles, num_cells = puzzles.shape
    size = round(num_cells**0.5)
    bits = np.array([2**size - 1, *(1 << np.arange(size))], dtype=np.uint16)
    solutions = Solutions(np.zeros_like(puzzles), np.zeros(num_puzzles, dtype=np.int64))
    for start in range(0, num_puzzles, CHUNK):
        owner = np.arange(start, min(start + CHUNK, num_puzzles))
        boards = np.ascontiguousarray(bits[puzzles[owner]].T)
        _solve_chunk(boards, owner, size, solutions)
    return solutions


def _solve_chunk(
    boards: Boards, owner: IntArray, size: int, solutions: Solutions
) -> None:
    """Searches depth first, one step of all boards at a time."""
    digit_of = np.zeros(2**size, dtype=np.int64)
    digit_of[1 << np.arange(size)] = np.arange(1, size + 1)
    stack = [(boards, owner)]
    while stack:
        boards, owner = stack.pop()
        changed, valid = _propagate(boards, size)
        # What just changed is checked in the next step.
        done = valid & ~changed & _is_single(boards).all(axis=0)
        for i in np.flatnonzero(done):
            # A loop, as two boards of one puzzle may be done in the same step.
            solutions.digits[owner[i]] = digit_of[boards[:, i]]
            solutions.number[owner[i]] = min(2, solutions.number[owner[i]] + 1)
        active = valid & ~done & (solutions.number[owner] < 2)
        moving, stalled = active & changed, active & ~changed
        left, right = _branch(boards[:, stalled])
        boards = np.concatenate([boards[:, moving], left, right], axis=1)
        owner = np.concatenate([owner[moving], owner[stalled], owner[stalled]])
        # Pieces bound the memory where a puzzle has very many solutions.
        for start in range(0, len(owner), CHUNK):
            piece = slice(start, start + CHUNK)
            stack.append((boards[:, piece], owner[piece]))


def _propagate(boards: Boards, size: int) -> tuple[BoolArray, BoolArray]:
    """Applies naked and hidden singles once, in place."""
    before = boards.copy()
    cell_units = units_of_cell(size)
    single = _is_single(boards)
    fixed, twice = _once_and_more(np.where(single, boards, 0), size)
    valid = ~twice.any(axis=0)
    taken = np.bitwise_or.reduce(fixed[cell_units], axis=1)
    np.copyto(boards, boards & ~taken, where=~single)

    seen, more = _once_and_more(boards, size)
    valid &= (seen == 2**size - 1).all(axis=0)
    # Digits that have only this cell left in one of its units.
    only_here = np.bitwise_or.reduce((seen & ~more)[cell_units], axis=1) & boards
    np.copyto(boards, only_here, where=only_here != 0)
    valid &= (boards != 0).all(axis=0)
    return (boards != before).any(axis=0), valid


def _once_and_more(boards: Boards, size: int) -> tuple[Boards, Boards]:
    """Returns the bits that occur in each unit, and those that occur repeatedly."""
    cells = units(size)
    seen = boards[cells[:, 0]]
    more = np.zeros_like(seen)
    for k in range(1, size):
        # [units, P]
        candidate = boards[cells[:, k]]
        more |= seen & candidate
        seen |= candidate
    return seen, more


def _is_single(boards: Boards) -> BoolArray:
    return (boards & (boards - 1)) == 0


def _branch(boards: Boards) -> tuple[Boards, Boards]:
    """Splits boards at a cell with the fewest candidates: its lowest one, or not."""
    counts = np.zeros(boards.shape, dtype=np.uint8)
    for bit in range(int(boards.max(initial=0)).bit_length()):
        counts += ((boards >> bit) & 1).astype(np.uint8)
    counts[counts == 1] = np.iinfo(np.uint8).max
    cell, column = counts.argmin(axis=0), np.arange(boards.shape[1])
    lowest = boards[cell, column] & (~boards[cell, column] + 1)
    left, right = boards.copy(), boards.copy()
    left[cell, column] = lowest
    right[cell, column] ^= lowest
    return left, right
