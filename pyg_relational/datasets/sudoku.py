"""The Sudoku dataset."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets import sudoku_files, sudoku_grids
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import (
    collate_stacked,
    load_stored,
    stored_content,
    stored_name,
)
from pyg_relational.datasets.sudoku_puzzles import (
    CELL_GROUPS,
    SIZES,
    puzzle_data,
    puzzle_from_text,
    solution_text,
)

SPLITS = ("train", "val", "test")
# Puzzles of each split where no number is given; for 9 x 9 there are no more.
DEFAULT_SIZES = {
    4: {"train": 20000, "val": 1000, "test": 1000},
    9: {"train": 38151, "val": 1000, "test": 10000},
}
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class Sudoku(InMemoryDataset):
    r"""Sudokus as graphs, after `"Recurrent relational networks"
    <https://arxiv.org/abs/1711.08028>`_: a node a cell, an edge from each cell to
    every other one in its row, column or box.

    `size=4`: 4 x 4 puzzles with 4 to 8 givens, generated from the seed. No split has
    a solution grid of another one, not even with its digits renamed.

    `size=9`: the 49,151 puzzles with 17 givens that Gordon Royle collected, solved
    when they are stored. As in the paper, 10,000 are for testing, 1,000 for
    validation, the rest for training; which ones depends on the seed. For the paper's
    augmentation see :class:`~pyg_relational.transforms.AugmentSudoku`.

    Every puzzle has exactly one solution, and no puzzle occurs twice.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`, and the list
            for `size=9` to `root/raw`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        size (int): Number of digits, 4 or 9. (default: `4`)
        num_train (int, optional): Puzzles in the training split. (default: `20000`
            for `size=4`, `38151` for `size=9`)
        num_val (int, optional): Puzzles in the validation split. (default: `1000`)
        num_test (int, optional): Puzzles in the test split. (default: `1000` for
            `size=4`, `10000` for `size=9`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the puzzles for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

    Shapes:
        - **x:** `[cells, 3 * size + 1]` one-hot of the given digit (column 0 for
          blank), of the row, and of the column
        - **edge_index:** `[2, E]`, 112 edges for `size=4`, 1,620 for `size=9`
        - **y:** `[cells]` digit of the solution, from 0
        - **given:** `[cells]` bool
        - **question_cells:** `[cells]` 0 for a given cell, 1 for a blank one

    Raises:
        OSError: The list is missing and cannot be fetched, or `root` cannot be
            written.
        TypeError: A number is not an integer.
        ValueError: A name is unknown, a number is out of range, or the list is
            damaged.
    """

    task = "classification"
    kind = "node"
    puzzle_from_text = staticmethod(puzzle_from_text)
    solution_text = staticmethod(solution_text)

    url = "http://staffhome.ecm.uwa.edu.au/~00013890/sudoku17"

    def __init__(
        self,
        root: str,
        split: str = "train",
        size: int = 4,
        num_train: int | None = None,
        num_val: int | None = None,
        num_test: int | None = None,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.size = check_int("size", size, min(SIZES), max(SIZES))
        if size not in SIZES:
            raise ValueError(f"Expected `size` to be 4 or 9, got {size}.")
        self.split = check_name("split", split, SPLITS)
        given = {"train": num_train, "val": num_val, "test": num_test}
        numbers = dict(DEFAULT_SIZES[size])
        for name, number in given.items():
            if number is not None:
                most = numbers[name] if size == 9 else None
                numbers[name] = check_int(f"num_{name}", number, 1, most)
        self.num_puzzles = numbers[split]
        self.seed = check_int("seed", seed, 0)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the list even where the puzzles are stored already.
        return False

    @property
    def raw_file_names(self) -> str:
        return "sudoku17.txt.gz"

    @property
    def raw_dir(self) -> str:
        return raw_folder(self.root, self.raw_file_names, "sudoku")

    @property
    def processed_file_names(self) -> str:
        name = (
            f"{self.split}-size{self.size}-puzzles{self.num_puzzles}"
            f"-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which cells are scored, with their names; `"sets"`
        stands for whole puzzles."""
        return {"cells": CELL_GROUPS, "sets": ("solved",)}

    def get(self, idx: int) -> Data:
        """Returns a puzzle; stored are its digits only, a fiftieth of its graph."""
        if "digit" not in self._data:
            return super().get(idx)
        cells = slice(idx * self.size**2, (idx + 1) * self.size**2)
        puzzle = puzzle_data(self._data.digit[cells])
        puzzle.y = self._data.y[cells].long()
        return puzzle

    def download(self) -> None:
        """Fetches the 9 x 9 puzzles, checks them and stores them compressed."""
        path = Path(self.raw_paths[0])
        plain = fetch_raw(self.url, path.with_suffix(""))
        try:
            sudoku_files.read_seventeen(plain)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            partial.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
            partial.replace(path)
        finally:
            plain.unlink(missing_ok=True)

    def _generate(self) -> dict[str, Any]:
        puzzles = self._four() if self.size == 4 else self._nine()
        tensors = {
            "digit": torch.from_numpy(puzzles.given.astype(np.uint8)),
            "y": torch.from_numpy((puzzles.solution - 1).astype(np.uint8)),
        }
        return stored_content(self, *collate_stacked(tensors))

    def _four(self) -> sudoku_grids.Puzzles:
        # The groups are the same for all splits, so they have a stream of their own.
        order = np.random.default_rng(self.seed).permutation(
            sum(sudoku_grids.GROUPS.values())
        )
        ends = np.cumsum([sudoku_grids.GROUPS[split] for split in SPLITS])[:-1]
        groups = np.split(order, ends)[SPLITS.index(self.split)]
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split)])
        return sudoku_grids.sample_puzzles(groups, self.num_puzzles, rng)

    def _nine(self) -> sudoku_grids.Puzzles:
        if not Path(self.raw_paths[0]).is_file():
            self.download()
        path = self.raw_paths[0]
        puzzles = sudoku_files.read_seventeen(path)
        order = np.random.default_rng(self.seed).permutation(len(puzzles.line))
        ends = np.cumsum([DEFAULT_SIZES[9][split] for split in SPLITS])[:-1]
        rows = np.split(order, ends)[SPLITS.index(self.split)][: self.num_puzzles]
        chosen = sudoku_files.PuzzleFile(puzzles.given[rows], puzzles.line[rows])
        solution = sudoku_files.solve_lines(chosen, path)
        return sudoku_grids.Puzzles(chosen.given, solution)
