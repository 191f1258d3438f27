import numpy as np
import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.datasets.sudoku import puzzle_data, sample_puzzles
from pyg_relational.datasets.sudoku_solver import solve
from pyg_relational.transforms.augment_sudoku import AugmentSudoku

NINE = (
    "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
)


def small(count):
    puzzles = sample_puzzles(np.array([1, 2]), count, np.random.default_rng(0))
    return [
        with_solution(torch.from_numpy(given), torch.from_numpy(solution))
        for given, solution in zip(*puzzles, strict=True)
    ]


def with_solution(given, solution):
    puzzle = puzzle_data(given)
    puzzle.y = solution - 1
    return puzzle


def digits(puzzle, size):
    return puzzle.x[:, : size + 1].argmax(dim=1)


def check(before, after, size, most):
    """The puzzle is another one, but the same up to names and added givens."""
    old, new = digits(before, size), digits(after, size)
    solution = solve(new[None].numpy())
    assert solution.number.tolist() == [1]
    assert (solution.digits[0] - 1).tolist() == after.y.tolist()
    # One new name for each digit.
    names = {(a, b) for a, b in zip(before.y.tolist(), after.y.tolist(), strict=True)}
    assert len(names) == size
    assert torch.equal(after.given, new > 0)
    assert torch.equal(after.question_cells, (new == 0).long())
    assert (after.given | ~before.given).all()
    assert after.x.dtype == before.x.dtype
    assert (after.x[:, : size + 1].sum(dim=1) == 1).all()
    assert torch.equal(after.x[:, size + 1 :], before.x[:, size + 1 :])
    assert torch.equal(after.edge_index, before.edge_index)
    added = int(after.given.sum() - before.given.sum())
    assert 0 <= added <= min(most, int((old == 0).sum()))
    return added


@given_by(st.integers(0, 2**31), st.integers(1, 6), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_every_puzzle_of_a_batch_stays_right(seed, count, most):
    torch.manual_seed(seed)
    puzzles = small(count)
    batch = Batch.from_data_list(puzzles)
    changed = AugmentSudoku(most)(batch).to_data_list()
    for before, after in zip(puzzles, changed, strict=True):
        check(before, after, 4, most)


def test_nine_by_nine_and_single_puzzles():
    torch.manual_seed(0)
    given = torch.tensor([int(c) for c in NINE])
    solution = torch.from_numpy(solve(given[None].numpy()).digits[0])
    puzzle = with_solution(given, solution)
    x, y = puzzle.x.clone(), puzzle.y.clone()
    added = {check(puzzle, AugmentSudoku()(puzzle), 9, 17) for _ in range(200)}
    assert added == set(range(18))
    assert torch.equal(puzzle.x, x)
    assert torch.equal(puzzle.y, y)


def test_every_name_and_every_blank_cell_is_equally_likely():
    torch.manual_seed(0)
    puzzle = small(1)[0]
    batch = Batch.from_data_list([puzzle] * 4000)
    changed = AugmentSudoku(2)(batch)
    # [B * cells] -> [B, cells]
    y, given = changed.y.view(4000, 16), changed.given.view(4000, 16)
    for cell in range(16):
        share = torch.bincount(y[:, cell], minlength=4) / 4000
        assert (share - 1 / 4).abs().max() < 0.04
    names = {tuple(row) for row in y[:, :4].tolist()}
    assert len(names) == 24
    added = given.sum(dim=1) - puzzle.given.sum()
    share = torch.bincount(added, minlength=3) / 4000
    assert (share - 1 / 3).abs().max() < 0.04
    blank = given[:, ~puzzle.given].float().mean(dim=0)
    assert (blank - 1 / blank.numel()).abs().max() < 0.03


def test_only_what_is_there_is_changed():
    puzzle = small(1)[0]
    changed = AugmentSudoku()(Data(x=puzzle.x, y=puzzle.y))
    assert {*changed.keys()} == {"x", "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(x=torch.zeros(16, 13)), "'x' and 'y' must be there .*got x"),
        (Data(x=torch.zeros(16, 12), y=torch.zeros(16)), "3 . size . 1 columns"),
        (Data(x=torch.zeros(15, 13), y=torch.zeros(15)), r"got \[15, 13\] and \[15\]"),
        (Data(x=torch.zeros(16, 13), y=torch.zeros(15)), r"got \[16, 13\] and \[15\]"),
    ],
)
def test_wrong_data_is_explained(data, message):
    with pytest.raises(ValueError, match=message):
        AugmentSudoku()(data)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`max_extra` to be at least 0, got -1"):
        AugmentSudoku(-1)
    with pytest.raises(TypeError, match="`max_extra` to be an integer"):
        AugmentSudoku(1.5)
    assert str(AugmentSudoku(3)) == "AugmentSudoku(max_extra=3)"
