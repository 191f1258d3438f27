import pytest
import torch

from pyg_relational.datasets.sudoku import puzzle_data, puzzle_from_text, solution_text

TEXT = "1..4 .... .... 4..1"


def test_small_puzzle():
    puzzle = puzzle_from_text(TEXT)
    assert "y" not in puzzle
    assert puzzle.x.shape == (16, 13)
    digits = [1, 0, 0, 4, *[0] * 8, 4, 0, 0, 1]
    for cell, (row, digit) in enumerate(zip(puzzle.x.tolist(), digits, strict=True)):
        assert sum(row) == 3
        assert row[digit] == row[5 + cell // 4] == row[9 + cell % 4] == 1
    assert puzzle.given.tolist() == [digit > 0 for digit in digits]
    assert puzzle.question_cells.tolist() == [int(digit == 0) for digit in digits]
    pairs = {tuple(pair) for pair in puzzle.edge_index.T.tolist()}
    assert len(pairs) == 112
    for i in range(16):
        for j in range(16):
            (a, b), (c, d) = divmod(i, 4), divmod(j, 4)
            shares = a == c or b == d or (a // 2, b // 2) == (c // 2, d // 2)
            assert ((i, j) in pairs) == (shares and i != j)


@pytest.mark.parametrize(
    "text",
    [
        "1004000000004001",
        "1__4|....|....|4__1\n",
        "1.|.4\n..|..\n--+--\n..|..\n4.|.1",
    ],
)
def test_ways_to_write(text):
    assert torch.equal(puzzle_from_text(text).x, puzzle_from_text(TEXT).x)


def test_nine_by_nine():
    puzzle = puzzle_from_text("9" + "." * 79 + "1")
    assert puzzle.x.shape == (81, 28)
    assert puzzle.edge_index.shape == (2, 1620)
    assert puzzle.x[0].nonzero().flatten().tolist() == [9, 10, 19]
    assert puzzle.x[80].nonzero().flatten().tolist() == [1, 18, 27]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1..4", "Expected a Sudoku of 16 or 81 cells, got 4"),
        ("", "got 0"),
        ("1..4 .... .... 5..1", "from 1 to 4, or .*row 4, column 1, got '5'"),
        ("1..4 .x.. .... 4..1", "row 2, column 2, got 'x'"),
        ("1..4 .².. .... 4..1", "row 2, column 2, got '²'"),
        ("1..1 .... .... ....", "at most once in row 1, got more than one 1"),
        (".... ..3. .... ..3.", "at most once in column 3, got more than one 3"),
        (".... .... ..2. ...2", "at most once in box 4, got more than one 2"),
    ],
)
def test_wrong_text_is_explained(text, message):
    with pytest.raises(ValueError, match=message):
        puzzle_from_text(text)


def test_text_must_be_a_string():
    with pytest.raises(TypeError, match="as text, got list"):
        puzzle_from_text([1, 0])


def test_solution():
    puzzle = puzzle_from_text(TEXT)
    digits = torch.tensor([0, 1, 2, 3, 2, 3, 0, 1, 1, 0, 3, 2, 3, 2, 1, 0])
    expected = "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"
    assert solution_text(puzzle, digits) == expected
    # What is given is not up to the model.
    digits[0] = 3
    assert solution_text(puzzle, digits) == expected
    assert torch.equal(
        puzzle_from_text(expected).x[:, :5].argmax(1),
        torch.tensor([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1]),
    )
    with pytest.raises(ValueError, match=r"`digits` to be \[16\].*got \[16, 4\]"):
        solution_text(puzzle, torch.rand(16, 4))


def test_puzzles_do_not_share_what_differs():
    first = puzzle_data(torch.zeros(16))
    first.x[:] = 7
    assert puzzle_data(torch.zeros(16)).x.max() == 1
