"""The Sudoku dataset.

There are 288 solution grids. Renaming the digits makes 12 groups of 24 of them, one
for each grid whose first row is 1 2 3 4; what may be blank is the same in a group.
"""

import hashlib
import re
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational._checks import check_int
from pyg_relational.datasets.base import (
    SPLITS,
    GeneratedDataset,
    Slices,
    collate_stacked,
)
from pyg_relational.datasets.downloads import RawFile, gunzip
from pyg_relational.datasets.sudoku_solver import peers, solve, units

SIZES = (4, 9)
CELL_GROUPS = ("given", "blank")
_BLANKS = ".0_"
# What people draw between boxes.
_RULES = "|+-"
# The puzzles of 4 x 4 cells, which are generated.
SIZE = 4
NUM_CELLS = SIZE * SIZE
MIN_GIVENS, MAX_GIVENS = 4, 8
# Groups of solution grids, of the 12: no split sees a grid of another one, not even
# with its digits renamed.
GROUPS = {"train": 8, "val": 2, "test": 2}
# Gordon Royle's list of Sudokus with 17 givens.
LINE_CELLS = 81
NUM_PUZZLES = 49151
# Of the sorted puzzles, with 0 for blank cells and a newline between two: the copies
# in circulation differ in order, line ends and compression.
SHA256 = "d6bcbd3d9bb939f9b2abd7934760ecef1ff6101bef49f17d5568cffadd4beb6a"
# The list has 4 MB.
MAX_BYTES = 64 * 2**20
# One copy of the list marks a line like this.
_REMARK = "--"
# Puzzles of each split where no number is given; for 9 x 9 there are no more.
DEFAULT_SIZES = {
    4: (20000, 1000, 1000),
    9: (38151, 1000, 10000),
}

IntArray = NDArray[np.int64]


def puzzle_data(digit: Tensor) -> Data:
    """Returns the graph of a Sudoku: a node a cell, an edge a pair that excludes."""
    digit = digit.long()
    size = round(digit.numel() ** 0.5)
    blank = digit == 0
    # Every puzzle of a size shares its edges and places.
    edge_index, place, codes = _board(size)
    return Data(
        x=torch.cat([codes[digit], place], dim=1),
        edge_index=edge_index,
        given=~blank,
        question_cells=blank.long(),
    )


def puzzle_from_text(text: str) -> Data:
    """Reads a Sudoku of 16 or 81 cells such as `"1..4 .... .... 4..1"`."""
    if not isinstance(text, str):
        raise TypeError(f"Expected a Sudoku as text, got {type(text).__name__}.")
    cells = [c for c in text if not c.isspace() and c not in _RULES]
    sizes = {size * size: size for size in SIZES}
    if len(cells) not in sizes:
        raise ValueError(
            f"Expected a Sudoku of {' or '.join(map(str, sizes))} cells, got "
            f"{len(cells)}."
        )
    size = sizes[len(cells)]
    digits = "123456789"[:size]
    for i, cell in enumerate(cells):
        if cell not in digits and cell not in _BLANKS:
            raise ValueError(
                f"Expected a digit from 1 to {size}, or one of {' '.join(_BLANKS)} for "
                f"a blank cell, in row {i // size + 1}, column {i % size + 1}, got "
                f"{cell!r}."
            )
    digit = torch.tensor([digits.find(cell) + 1 for cell in cells])
    _check_givens(digit.numpy(), size)
    return puzzle_data(digit)


def solution_text(data: Data, digits: Tensor) -> str:
    """Writes a filled-in Sudoku, a row a line."""
    cells = data.x.size(0)
    if digits.shape != (cells,):
        raise ValueError(
            f"Expected `digits` to be [{cells}], one for each cell, got "
            f"{list(digits.shape)}."
        )
    size = round(cells**0.5)
    given = data.x[:, : size + 1].argmax(dim=1).cpu()
    filled = torch.where(given > 0, given, digits.cpu() + 1)
    rows = filled.view(size, size).tolist()
    return "\n".join(" ".join(map(str, row)) for row in rows)


@cache
def _board(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the edges, row and column of each cell, and each digit, one-hot."""
    edge_index = torch.from_numpy(np.stack(np.nonzero(peers(size))))
    cell = torch.arange(size * size)
    place = torch.cat([one_hot(cell // size, size), one_hot(cell % size, size)], dim=1)
    return edge_index, place.float(), torch.eye(size + 1)


def _check_givens(digit: np.ndarray, size: int) -> None:
    kinds = ("row", "column", "box")
    for i, cells in enumerate(units(size)):
        values = digit[cells][digit[cells] > 0].tolist()
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(
                f"Expected each digit at most once in {kinds[i // size]} "
                f"{i % size + 1}, got more than one {twice[0]}."
            )


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
    """Returns the choices of given cells that leave `grid` as the only solution."""
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
    one number of givens are drawn uniformly among all there are."""
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


class PuzzleFile(NamedTuple):
    """The puzzles of a file, sorted.

    Attributes:
        given: `[P, 81]`, digits from 1, and 0 for a blank cell.
        line: `[P]`, the line of each puzzle, from 1.
    """

    given: IntArray
    line: IntArray


def read_seventeen(path: str | Path) -> PuzzleFile:
    """Reads the list and checks that it is Royle's."""
    puzzles, content = _parse(path)
    if hashlib.sha256(content).hexdigest() != SHA256:
        solve_lines(puzzles, path)
        raise ValueError(
            f"Expected {str(path)!r} to be Royle's list of {NUM_PUZZLES} Sudokus with "
            f"17 givens, got {len(puzzles.line)} puzzles with another checksum. Fetch "
            "the file again."
        )
    return puzzles


def _checked_list(path: Path) -> bytes:
    read_seventeen(path)
    return path.read_bytes()


def solve_lines(puzzles: PuzzleFile, path: str | Path) -> IntArray:
    """Returns the solutions `[P, 81]` with digits from 1."""
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
        if len(text) != LINE_CELLS:
            raise ValueError(
                f"Expected {LINE_CELLS} cells in line {number} of {str(path)!r}, got "
                f"{len(text)}."
            )
        found.append((text, number))
    if not found:
        raise ValueError(f"Expected puzzles in {str(path)!r}, got an empty file.")
    found.sort()
    content = "\n".join(text for text, _ in found).encode()
    # [P, 81 digits and a newline] -> [P, 81]
    cells = np.frombuffer(content + b"\n", dtype=np.uint8).reshape(len(found), -1)
    given = cells[:, :LINE_CELLS].astype(np.int64) - ord("0")
    return PuzzleFile(given, np.array([number for _, number in found])), content


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gunzip(content, path, MAX_BYTES)
    # Foreign bytes become characters that are named with their line.
    return content.decode("utf-8-sig", errors="replace").splitlines()


class Sudoku(GeneratedDataset):
    r"""Sudokus as graphs, after `"Recurrent relational networks"
    <https://arxiv.org/abs/1711.08028>`_: a node a cell, an edge from each cell to
    every other one in its row, column or box.

    `size=4`: 4 x 4 puzzles with 4 to 8 givens, by default 20,000 for training, and
    1,000 each for validation and test. No split has a solution grid of another one, not
    even with its digits renamed.

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
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

    Shapes:
        - **x:** `[cells, 3 * size + 1]` one-hot of the given digit (column 0 for
          blank), of the row, and of the column
        - **edge_index:** `[2, E]`, 112 edges for `size=4`, 1,620 for `size=9`
        - **y:** `[cells]` digit of the solution, from 0
        - **given:** `[cells]` bool
        - **question_cells:** `[cells]` 0 for a given cell, 1 for a blank one
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
        **kwargs: Any,
    ) -> None:
        self.size = check_int("size", size, min(SIZES), max(SIZES))
        if size not in SIZES:
            raise ValueError(f"Expected `size` to be 4 or 9, got {size}.")
        self.sizes = DEFAULT_SIZES[size]
        self.most = self.sizes if size == 9 else None
        super().__init__(root, split, **kwargs)

    def _name(self) -> str:
        return f"{self.split}-size{self.size}-puzzles{self.num_samples}-seed{self.seed}"

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        if self.size == 4:
            return ()
        name = "sudoku17.txt.gz"
        return (RawFile(name, self.url, folder="sudoku", read=_checked_list),)

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

    def generate(self) -> tuple[Data, Slices]:
        puzzles = self._four() if self.size == 4 else self._nine()
        return collate_stacked(
            {
                "digit": torch.from_numpy(puzzles.given.astype(np.uint8)),
                "y": torch.from_numpy((puzzles.solution - 1).astype(np.uint8)),
            }
        )

    def _four(self) -> Puzzles:
        # The groups are the same for all splits, so they have a stream of their own.
        order = np.random.default_rng(self.seed).permutation(sum(GROUPS.values()))
        ends = np.cumsum([GROUPS[split] for split in SPLITS])[:-1]
        groups = np.split(order, ends)[SPLITS.index(self.split)]
        return sample_puzzles(groups, self.num_samples, self.stream())

    def _nine(self) -> Puzzles:
        (path,) = self.raw_paths
        puzzles = read_seventeen(path)
        order = np.random.default_rng(self.seed).permutation(len(puzzles.line))
        ends = np.cumsum(self.sizes)[:-1]
        rows = np.split(order, ends)[SPLITS.index(self.split)][: self.num_samples]
        chosen = PuzzleFile(puzzles.given[rows], puzzles.line[rows])
        solution = solve_lines(chosen, path)
        return Puzzles(chosen.given, solution)
