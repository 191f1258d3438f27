import numpy as np
import pytest

from pyg_relational.datasets.sudoku import (
    group_grids,
    sample_puzzles,
    solution_grids,
    unique_masks,
)
from pyg_relational.datasets.sudoku_solver import solve, units


def test_288_grids():
    grids = solution_grids()
    assert len({tuple(grid) for grid in grids.tolist()}) == len(grids) == 288
    for grid in grids:
        assert all(set(grid[unit]) == {1, 2, 3, 4} for unit in units(4))


def test_groups_are_all_grids_up_to_the_names_of_digits():
    assert len(group_grids()) == 12
    renamed = set()
    for grid in solution_grids():
        names = np.zeros(5, dtype=int)
        names[grid[:4]] = [1, 2, 3, 4]
        renamed.add(tuple(names[grid].tolist()))
    assert renamed == {tuple(grid) for grid in group_grids().tolist()}


def test_masks_equal_the_solver():
    grid = group_grids()[1]
    masks = unique_masks(grid, 5)
    every = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    every = every[every.sum(axis=1) == 5].astype(bool)
    unique = solve(np.where(every, grid, 0)).number == 1
    assert 0 < unique.sum() < len(every)
    assert np.array_equal(masks, every[unique])


def test_known_numbers_of_puzzles():
    # No 4 x 4 Sudoku has fewer than 4 givens; 25,728 have 4.
    numbers = [
        24 * sum(len(unique_masks(grid, n)) for grid in group_grids()) for n in (3, 4)
    ]
    assert numbers == [0, 25728]


def test_puzzles():
    groups = np.array([1, 5])
    puzzles = sample_puzzles(groups, 503, np.random.default_rng(0))
    solutions = solve(puzzles.given)
    assert (solutions.number == 1).all()
    assert np.array_equal(solutions.digits, puzzles.solution)
    assert len({tuple(given) for given in puzzles.given.tolist()}) == 503
    counts = np.bincount((puzzles.given > 0).sum(axis=1), minlength=9)
    assert counts.tolist() == [0, 0, 0, 0, 100, 100, 101, 101, 101]
    # Shuffled: the easy ones are not at the end.
    assert 5 < (puzzles.given[-50:] > 0).sum(axis=1).mean() < 7
    # All names of the digits, and the grids of these groups only.
    names = {tuple(row) for row in puzzles.solution[:, :4].tolist()}
    assert len(names) == 24
    allowed = {tuple(group_grids()[g]) for g in groups}
    for solution in puzzles.solution:
        back = np.zeros(5, dtype=int)
        back[solution[:4]] = [1, 2, 3, 4]
        assert tuple(back[solution]) in allowed


def test_all_puzzles_there_are():
    # Group 0 has 12 puzzles with 4 givens and 24 names.
    puzzles = sample_puzzles(np.array([0]), 5 * 288, np.random.default_rng(0))
    assert len({tuple(given) for given in puzzles.given.tolist()}) == 5 * 288
    with pytest.raises(ValueError, match=r"at most 1440 puzzles.*288 with 4.*got 1445"):
        sample_puzzles(np.array([0]), 5 * 289, np.random.default_rng(0))
