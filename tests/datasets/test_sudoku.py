import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import sudoku as module
from pyg_relational.datasets import sudoku as sudoku_files
from pyg_relational.datasets.sudoku import (
    Sudoku,
    group_grids,
    puzzle_data,
    puzzle_from_text,
    read_seventeen,
    sample_puzzles,
    solution_grids,
    solution_text,
    unique_masks,
)
from pyg_relational.datasets.sudoku_solver import solve, units

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


def test_puzzles_have_one_solution():
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


A = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
B = "000000010400000000020000000000050604008000300001090000300400200050100000000807000"


def write(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.fixture
def small_list(monkeypatch):
    """Makes the list of A and B the one that is expected."""
    monkeypatch.setattr(
        "pyg_relational.datasets.sudoku.SHA256",
        "b301438c9d29960c6f02511349b812543cb998c7b92cd21d18811225d3add47f",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"{B}\n{A}",
        f"\ufeff{A}\r\n{B}\r\n",
        f"{A}--\n\n{B.replace('0', '.')}\n",
    ],
)
@pytest.mark.parametrize("name", ["list.txt", "list.txt.gz"])
def test_copies_that_differ_in_form_only(tmp_path, small_list, text, name):
    puzzles = read_seventeen(write(tmp_path, text, name))
    assert ["".join(map(str, row)) for row in puzzles.given.tolist()] == sorted([A, B])


def test_lines_are_remembered(tmp_path, small_list):
    assert read_seventeen(write(tmp_path, f"{B}\n\n{A}\n")).line.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{A}\n{B[:-1]}\n", r"81 cells in line 2 of '.*list.txt', got 80"),
        (f"{A}\n{B}0\n", "81 cells in line 2 .*, got 82"),
        (f"{A}\n{B[:40]}x{B[41:]}\n", "line 2 of '.*list.txt', got 'x' at position 41"),
        (f"{A}\n{B[:-1]}-\n", "line 2 .*got '-' at position 81"),
        (f"{A}\n--\n", "81 cells in line 2 .*, got 0"),
        (A.encode() + b"\n\xff" + B.encode(), "line 2 .*got '\ufffd' at position 1"),
        (
            f"{A}\n1{B[1:]}\n",
            "one solution in line 2 of '.*list.txt', got none",
        ),
        (f"{A}\n\n{B[:7]}0{B[8:]}\n", "in line 3 of '.*list.txt', got more than one"),
        (f"{A}\n", "Royle's list of 49151 .*, got 1 puzzles with another checksum"),
        (f"{A}\n{A}\n", "got 2 puzzles with another checksum"),
        ("\n", "Expected puzzles in '.*list.txt', got an empty file"),
    ],
)
def test_wrong_files_are_explained(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_seventeen(write(tmp_path, text))


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_half_a_compressed_file(tmp_path, keep):
    path = write(tmp_path, f"{A}\n{B}\n", "list.txt.gz")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"list.txt.gz' is damaged.*Fetch"):
        read_seventeen(path)


def test_not_compressed_at_all(tmp_path):
    path = write(tmp_path, f"{A}\n{B}\n")
    path = path.rename(tmp_path / "list.txt.gz")
    with pytest.raises(ValueError, match=r"is damaged"):
        read_seventeen(path)


SIZES = {"num_train": 60, "num_val": 40, "num_test": 30}
SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).parents[2].parent / "shared" / "data"
)
LINES = [
    "000000010400000000020000000000050407008000300001090000300400200050100000000806000",
    "000000010400000000020000000000050604008000300001090000300400200050100000000807000",
]


def build(root, split="train", **kwargs):
    return Sudoku(root, split, **(SIZES | kwargs))


def given_digits(puzzle, size):
    return puzzle.x[:, : size + 1].argmax(dim=1)


def check_puzzle(puzzle, size):
    digit = given_digits(puzzle, size)
    solution = solve(digit[None].numpy())
    assert solution.number.tolist() == [1]
    assert puzzle.y.tolist() == (solution.digits[0] - 1).tolist()
    assert puzzle.y.dtype == torch.int64
    assert torch.equal(puzzle.given, digit > 0)
    assert torch.equal(puzzle.question_cells, (digit == 0).long())
    text = "".join(map(str, digit.tolist()))
    expected = puzzle_from_text(text)
    assert torch.equal(puzzle.x, expected.x)
    assert torch.equal(puzzle.edge_index, expected.edge_index)


def test_puzzles(tmp_path):
    for split in SPLITS:
        dataset = build(tmp_path, split)
        assert len(dataset) == SIZES[f"num_{split}"]
        for puzzle in dataset:
            check_puzzle(puzzle, 4)
        givens = [int(puzzle.given.sum()) for puzzle in dataset]
        assert set(givens) == {4, 5, 6, 7, 8}


def test_splits_share_no_grid_even_with_other_names(tmp_path):
    sizes = {"num_train": 2000, "num_val": 500, "num_test": 500}
    grids = {}
    for split in SPLITS:
        y = build(tmp_path, split, **sizes)._data.y.view(-1, 16).long()
        # The place of each digit in the first row is its new name.
        names = y[:, :4].argsort(dim=1)
        grids[split] = {tuple(row) for row in names.gather(1, y).tolist()}
    assert [len(grids[split]) for split in SPLITS] == [8, 2, 2]
    assert len(set.union(*grids.values())) == 12


def test_batches(tmp_path):
    dataset = build(tmp_path)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.num_nodes == len(batch.y) == len(batch.question_cells) == 48
    assert batch.edge_index.shape == (2, 336)
    assert torch.equal(batch.edge_index[:, 224:], dataset[2].edge_index + 32)
    assert torch.equal(batch.y[32:], dataset[2].y)


def test_slices_and_copies(tmp_path):
    dataset = build(tmp_path)
    part = dataset[10:13]
    assert torch.equal(part[1].y, dataset[11].y)
    assert torch.equal(part.copy()[1].x, dataset[11].x)


def test_puzzles_depend_on_the_seed_and_the_own_size_only(tmp_path, monkeypatch):
    first = build(tmp_path / "a")
    other = build(tmp_path / "b", num_val=9, num_test=9)
    assert torch.equal(first._data.digit, other._data.digit)
    assert not torch.equal(first._data.digit, build(tmp_path, seed=1)._data.digit)
    monkeypatch.setattr(Sudoku, "generate", lambda self: pytest.fail("again"))
    assert torch.equal(build(tmp_path / "a")[7].x, first[7].x)


def first_is_given(puzzle):
    return bool(puzzle.given[0])


def forget_places(puzzle):
    puzzle.x = puzzle.x[:, :5]
    return puzzle


def test_filter_and_transform_see_whole_puzzles(tmp_path):
    plain = build(tmp_path)
    kept = [p for p in plain if first_is_given(p)]
    assert 0 < len(kept) < len(plain)
    filtered = build(tmp_path, pre_filter=first_is_given)
    assert len(filtered) == len(kept)
    for found, expected in zip(filtered, kept, strict=True):
        assert {*found.keys()} == {*expected.keys()}
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
    short = build(tmp_path, pre_transform=forget_places)
    assert torch.equal(short[3].x, plain[3].x[:, :5])
    assert torch.equal(short[3].edge_index, plain[3].edge_index)


def test_too_many_puzzles(tmp_path):
    with pytest.raises(ValueError, match=r"Expected at most .* with 4 givens"):
        build(tmp_path, "val", num_val=100000)


@pytest.fixture
def two_lines(tmp_path, monkeypatch):
    """Makes a list of two puzzles the one that is expected, and gives its source."""
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    digest = sudoku_files.hashlib.sha256("\n".join(LINES).encode()).hexdigest()
    monkeypatch.setattr(sudoku_files, "SHA256", digest)
    monkeypatch.setitem(module.DEFAULT_SIZES, 9, (1, 1, 0))
    source = tmp_path / "source"
    source.write_text("\n".join(LINES))
    monkeypatch.setattr(Sudoku, "url", source.as_uri())
    return source


def test_download_once(tmp_path, two_lines):
    train = Sudoku(tmp_path, size=9)
    two_lines.unlink()
    val = Sudoku(tmp_path, "val", size=9)
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["sudoku17.txt.gz"]
    found = set()
    for puzzle in (train[0], val[0]):
        check_puzzle(puzzle, 9)
        found.add("".join(map(str, given_digits(puzzle, 9).tolist())))
    assert found == set(LINES)
    # The stored puzzles need no list.
    (tmp_path / "raw" / "sudoku17.txt.gz").unlink()
    assert len(Sudoku(tmp_path, "val", size=9)) == 1


def test_wrong_download_is_not_kept(tmp_path, two_lines):
    two_lines.write_text(LINES[0] + "\n" + LINES[1][:-1])
    with pytest.raises(ValueError, match="81 cells in line 2 of"):
        Sudoku(tmp_path, size=9)
    assert list((tmp_path / "raw").iterdir()) == []


def test_no_network(tmp_path, two_lines):
    two_lines.unlink()
    with pytest.raises(OSError, match=r"raw/sudoku17.*by hand"):
        Sudoku(tmp_path, size=9)


@pytest.mark.skipif(
    not (SHARED / "sudoku" / "sudoku17.txt.gz").is_file(),
    reason="needs sudoku17.txt.gz; set PYG_RELATIONAL_DATA",
)
def test_royles_list(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    keys = set()
    for split in SPLITS:
        dataset = build(tmp_path, split, size=9)
        for puzzle in dataset:
            check_puzzle(puzzle, 9)
            assert puzzle.given.sum() == 17
            keys.add(tuple(given_digits(puzzle, 9).tolist()))
    assert len(keys) == sum(SIZES.values())
    assert not (tmp_path / "raw").exists()
    # Fewer puzzles are the first ones of the split.
    fewer = build(tmp_path, "test", size=9, num_test=5)
    assert torch.equal(fewer[4].x, dataset[4].x)


def test_what_the_trainer_reads():
    assert (Sudoku.task, Sudoku.kind) == ("classification", "node")
    assert Sudoku.metric_groups() == {
        "cells": ("given", "blank"),
        "sets": ("solved",),
    }
