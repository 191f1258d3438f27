import torch
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational._checks import check_int
from pyg_relational.transforms.required import required


class AugmentSudoku(BaseTransform):
    r"""Renames the digits of a Sudoku at random and gives away some of its blank
    cells, as in `"Recurrent relational networks" <https://arxiv.org/abs/1711.08028>`_.

    Both keep the solution unique. Works on single puzzles and on batches, whose
    puzzles are changed independently; the number of added givens is uniform in
    :math:`\{0, \ldots, \textrm{max\_extra}\}`.

    Args:
        max_extra (int): Most givens to add, fewer if there are fewer blank cells.
            (default: :obj:`17`)

    Shapes:
        - **input:** puzzles of one size, :obj:`x` :math:`(N, 3 \cdot size + 1)` that
          starts with the given digit and :obj:`y` :math:`(N)`; :obj:`given` and
          :obj:`question_cells` are changed where they are there
        - **output:** the same

    Raises:
        TypeError: If :obj:`max_extra` is not an integer.
        ValueError: If :obj:`max_extra` is negative, or the data has no :obj:`x` or
            :obj:`y` of Sudokus.
    """

    def __init__(self, max_extra: int = 17) -> None:
        self.max_extra = check_int("max_extra", max_extra, 0)

    def forward(self, data: Data) -> Data:
        r"""Changes a copy."""
        x, y = required(data, ["x", "y"], "change a Sudoku")
        size = (x.size(1) - 1) // 3
        puzzles = data.num_graphs if "batch" in data else 1
        if x.size(1) != 3 * size + 1 or len(x) != puzzles * size**2 or len(y) != len(x):
            raise ValueError(
                "'x' and 'y' must hold Sudokus of one size: 3 * size + 1 columns and "
                f"size * size rows a puzzle (got {list(x.shape)} and {list(y.shape)} "
                f"for {puzzles} puzzles)"
            )
        # [N] -> [B, cells]
        given = (x[:, 0] == 0).view(puzzles, -1)
        extra = torch.randint(self.max_extra + 1, (puzzles, 1), device=x.device)
        order = torch.rand(given.shape, device=x.device).masked_fill(given, 2)
        # Given cells come last, so that adding them again changes nothing.
        given = given | (order.argsort(dim=1).argsort(dim=1) < extra)
        names = torch.rand(puzzles, size, device=x.device).argsort(dim=1)
        # [N] -> [B, cells] -> [N]
        y = names.gather(1, y.view(puzzles, -1)).flatten()
        given = given.flatten()
        digit = one_hot(torch.where(given, y + 1, 0), size + 1).to(x.dtype)
        data.x = torch.cat([digit, x[:, size + 1 :]], dim=1)
        data.y = y
        if "given" in data:
            data.given = given
        if "question_cells" in data:
            data.question_cells = (~given).long()
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(max_extra={self.max_extra})"
