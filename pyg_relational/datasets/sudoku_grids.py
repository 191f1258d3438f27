"""All 4x4 Sudokus: solution grids, and which cells may be blank.

There are 288 solution grids. Renaming the digits makes 12 groups of 24 of them, one
for each grid whose first row is 1 2 3 4; what may be blank is the same in a group.
"""

from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_relational.datasets.sudoku_solver import units

SIZE = 4
NUM_CELLS = SIZE * SIZE
MIN_GIVENS, MAX_GIVENS = 4, 8
# Groups of solution grids, of the 12: no split sees a grid of another one, not even
# with its digits renamed.
GROUPS = {"train": 8, "val": 2, "test": 2}

IntArray = NDArray[np.int64]


class Puzzles(NamedTuple):
    """Sudokus with their solutions.

    Attributes:
        given: `[P, cells]`, digits from 1, and 0 for a blank cell.
        solution: `[P, cells]`, digits from 1.
    """

    given: IntArray
    solution: IntArray


@cache
def solution_grids() -> IntArray:
    """Returns all solution grids `[288, 16]`, in ascending order."""
    rows = np.array(list(permutations(range(1, SIZE + 1))))
    choice = np.indices([len(rows)] * SIZE).reshape(SIZE, -1).T
    # [24^4, 4 rows, 4 columns] -> [24^4, cells]
    grids = rows[choice].reshape(-1, NUM_CELLS)
    for unit in units(SIZE):
        grids = grids[(1 << grids[:, unit]).sum(axis=1) == 2 ** (SIZE + 1) - 2]
    return grids


@cache
def group_grids() -> IntArray:
    """Returns the grids `[12, 16]` that start with 1 2 3 4, one for each group."""
    grids = solution_grids()
    return grids[(grids[:, :SIZE] == np.arange(1, SIZE + 1)).all(axis=1)]


def unique_masks(grid: IntArray, num_givens: int) -> NDArray[np.bool_]:
    """Returns the choices of given cells that leave `grid` as the only solution.

    Args:
        grid (ndarray): `[16]`, a solution grid.
        num_givens (int): Number of given cells.

    Returns:
        ndarray: `[M, 16]`, true for a given cell.
    """
    masks = np.arange(2**NUM_CELLS)
    cells = (masks[:, None] >> np.arange(NUM_CELLS)) & 1
    chosen = cells.sum(axis=1) == num_givens
    masks, cells = masks[chosen], cells[chosen].astype(bool)
    differs = (solution_grids() != grid) @ (1 << np.arange(NUM_CELLS))
    # The givens have to tell the grid from every other one.
    unique = np.ones(len(masks), dtype=bool)
    for other in differs[differs != 0]:
        unique &= (masks & other) != 0
    return cells[unique]


def sample_puzzles(
    groups: IntArray, num_puzzles: int, rng: np.random.Generator
) -> Puzzles:
    """Draws distinct puzzles with exactly one solution and 4 to 8 givens.

    As far as possible each number of givens occurs equally often; the puzzles with
    one number of givens are drawn uniformly among all there are.

    Args:
        groups (ndarray): Which groups of solution grids are used, from 0 to 11.
        num_puzzles (int): Number of puzzles.
        rng (np.random.Generator): Source of randomness.

    Raises:
        ValueError: There are not so many puzzles.
    """
    numbers = range(MIN_GIVENS, MAX_GIVENS + 1)
    share, rest = divmod(num_puzzles, len(numbers))
    names = np.array(list(permutations(range(1, SIZE + 1))))
    given, solution = [], []
    for position, num_givens in enumerate(numbers):
        # The puzzles left over have more givens, of which there are more to choose.
        wanted = share + (len(numbers) - position <= rest)
        masks = [unique_masks(group_grids()[g], num_givens) for g in groups]
        grids = np.repeat(group_grids()[groups], [len(mask) for mask in masks], axis=0)
        available = len(grids) * len(names)
        if wanted > available:
            raise ValueError(
                f"Expected at most {available * len(numbers)} puzzles, as this split "
                f"has {available} with {num_givens} givens, got {num_puzzles}."
            )
        chosen = rng.choice(available, wanted, replace=False)
        which, renamed = np.divmod(chosen, len(names))
        # [wanted, 4] names of the digits, looked up by [wanted, cells] digits
        full = np.take_along_axis(names[renamed], grids[which] - 1, axis=1)
        given.append(np.where(np.concatenate(masks)[which], full, 0))
        solution.append(full)
    order = rng.permutation(num_puzzles)
    return Puzzles(np.concatenate(given)[order], np.concatenate(solution)[order])
