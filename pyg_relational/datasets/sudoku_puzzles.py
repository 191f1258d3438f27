"""Single Sudokus: as graphs, and as text."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational.datasets.sudoku_solver import peers, units

SIZES = (4, 9)
CELL_GROUPS = ("given", "blank")
_BLANKS = ".0_"
# What people draw between boxes.
_RULES = "|+-"


def puzzle_data(digit: Tensor) -> Data:
    """Returns the graph of a Sudoku: a node a cell, an edge a pair that excludes.

    Args:
        digit (Tensor): The given digits from 1, and 0 for a blank cell.

    Shapes:
        - **input:** `[cells]`
        - **output:** `x` `[cells, 3 * size + 1]`, `edge_index` `[2, E]`, `given`
          `[cells]`, `question_cells` `[cells]` index into `CELL_GROUPS`
    """
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
    """Reads a Sudoku of 16 or 81 cells such as `"1..4 .... .... 4..1"`.

    Args:
        text (str): The cells row by row: digits from 1, and `.`, `0` or `_` for a
            blank cell. White space and the rules `|`, `-`, `+` are skipped.

    Returns:
        Data: The graph of the puzzle, without `y`.

    Raises:
        TypeError: `text` is not a string.
        ValueError: The number of cells is another one, a character is foreign, or
            two given digits contradict each other.
    """
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
    """Writes a filled-in Sudoku, a row a line.

    Args:
        data (Data): The graph of one puzzle, whose given digits are kept.
        digits (Tensor): A digit from 0 for each cell, such as the most likely one.

    Shapes:
        - **digits:** `[cells]`

    Raises:
        ValueError: There is not one digit for each cell.
    """
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
