import os
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import sudoku as module
from pyg_relational.datasets import sudoku as sudoku_files
from pyg_relational.datasets.sudoku import Sudoku, puzzle_from_text
from pyg_relational.datasets.sudoku_solver import solve

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


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "valid"}, ValueError, "Unknown split 'valid'; did you mean 'val'"),
        ({"size": 6}, ValueError, "`size` to be 4 or 9, got 6"),
        ({"size": 16}, ValueError, "`size` to be from 4 to 9, got 16"),
        ({"size": "9"}, TypeError, "`size` to be an integer"),
        ({"num_val": 0}, ValueError, "`num_val` to be at least 1"),
        ({"size": 9, "num_test": 10001}, ValueError, "from 1 to 10000, got 10001"),
        ({"seed": -1}, ValueError, "`seed` to be at least 0"),
    ],
)
def test_wrong_arguments_leave_no_folder(tmp_path, kwargs, error, message):
    with pytest.raises(error, match=message):
        build(tmp_path / "root", **kwargs)
    assert not (tmp_path / "root").exists()


def test_too_many_puzzles(tmp_path):
    with pytest.raises(ValueError, match=r"Expected at most .* with 4 givens"):
        build(tmp_path, "val", num_val=100000)


@pytest.fixture
def two_lines(tmp_path, monkeypatch):
    """Makes a list of two puzzles the one that is expected, and gives its source."""
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    digest = sudoku_files.hashlib.sha256("\n".join(LINES).encode()).hexdigest()
    monkeypatch.setattr(sudoku_files, "SHA256", digest)
    sizes = {"train": 1, "val": 1, "test": 0}
    monkeypatch.setitem(module.DEFAULT_SIZES, 9, sizes)
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
