import networkx as nx
import numpy as np
import pytest

from pyg_relational.datasets.sudoku import solution_grids
from pyg_relational.datasets.sudoku_solver import peers, solve, units, units_of_cell

HARD = (
    "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
)
# Its search fills in a board that is wrong only at the last moment.
LATE = (
    "000000012008030000000000040120500000000004700060000000507000300000620000000100000"
)


def digits(text):
    return np.array([int(c) for c in text])


def naive_solutions(puzzle, limit):
    """Backtracking over the first blank cell."""
    size = round(len(puzzle) ** 0.5)
    if 0 not in puzzle:
        grid = np.array(puzzle)
        return [puzzle] if is_solution(grid, grid) else []
    cell = puzzle.index(0)
    excluded = {puzzle[j] for j in range(len(puzzle)) if peers(size)[cell, j]}
    found = []
    for digit in sorted(set(range(1, size + 1)) - excluded):
        filled = [*puzzle[:cell], digit, *puzzle[cell + 1 :]]
        found += naive_solutions(filled, limit - len(found))
        if len(found) >= limit:
            break
    return found


def is_solution(grid, puzzle):
    size = round(len(grid) ** 0.5)
    full = all(len(set(grid[unit])) == size for unit in units(size))
    return full and (grid[puzzle > 0] == puzzle[puzzle > 0]).all()


@pytest.mark.parametrize(("size", "number"), [(4, 112), (9, 1620)])
def test_peers_equal_networkx(size, number):
    graph = nx.sudoku_graph(round(size**0.5))
    expected = nx.to_numpy_array(graph, nodelist=range(size * size)) > 0
    assert np.array_equal(peers(size), expected)
    assert peers(size).sum() == number


@pytest.mark.parametrize("size", [4, 9])
def test_units(size):
    for i, cells in enumerate(units(size)):
        assert len(set(cells)) == size
        assert all(i in units_of_cell(size)[cell] for cell in cells)
    assert sorted(units(size).ravel()) == sorted([*range(size * size)] * 3)


@pytest.mark.parametrize("givens", [3, 4, 5, 6, 7])
def test_equals_backtracking(givens):
    rng = np.random.default_rng(givens)
    puzzles = rng.choice(solution_grids(), 60)
    order = rng.random(puzzles.shape).argsort(axis=1).argsort(axis=1)
    puzzles = np.where(order < givens, puzzles, 0)
    # Contradictions too, in the grid and only later.
    puzzles[::5] = np.where(puzzles[::5] > 0, rng.integers(1, 5, (12, 16)), 0)
    solutions = solve(puzzles)
    for puzzle, grid, number in zip(puzzles, *solutions, strict=True):
        expected = naive_solutions(puzzle.tolist(), 2)
        assert number == len(expected)
        if expected:
            assert is_solution(grid, puzzle)
        else:
            assert (grid == 0).all()
        if number == 1:
            assert grid.tolist() == expected[0]
    assert len(set(solutions.number.tolist())) > 1


def test_nine_by_nine():
    late = solve(digits(LATE)[None])
    assert late.number.tolist() == [1]
    assert is_solution(late.digits[0], digits(LATE))
    puzzle = digits(HARD)
    removed = puzzle.copy()
    removed[7] = 0  # 16 givens are never enough
    contradiction = puzzle.copy()
    contradiction[8] = 1
    puzzles = np.stack([puzzle, removed, contradiction, np.zeros_like(puzzle)])
    solutions = solve(puzzles)
    assert solutions.number.tolist() == [1, 2, 0, 2]
    for i in (0, 1, 3):
        assert is_solution(solutions.digits[i], puzzles[i])
    assert (solutions.digits[2] == 0).all()


def test_wrong_only_after_filling_in():
    # No two givens exclude each other, but no digit is left for the last cell.
    puzzle = np.array([1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4])
    assert solve(puzzle[None]).number.tolist() == [0]


def test_no_puzzles():
    solutions = solve(np.zeros((0, 81), dtype=np.int64))
    assert solutions.digits.shape == (0, 81)


def test_pieces_do_not_mix(monkeypatch):
    rng = np.random.default_rng(0)
    puzzles = solution_grids() * (rng.random((288, 16)) < 0.4)
    expected = solve(puzzles)
    monkeypatch.setattr("pyg_relational.datasets.sudoku_solver.CHUNK", 7)
    found = solve(puzzles)
    assert np.array_equal(found.number, expected.number)
    unique = expected.number == 1
    assert 20 < unique.sum() < 288
    assert np.array_equal(found.digits[unique], expected.digits[unique])
