"""Which objects form a set."""

import torch
from torch import Tensor

from pyg_relational.ops import batch_to_ptr


def set_ptr(
    batch: Tensor | None, num_rows: int, batch_size: int | None, device: torch.device
) -> Tensor:
    r"""Returns set boundaries :math:`[B + 1]` from the set of each row; one set
    without :obj:`batch`.

    Args:
        batch (torch.Tensor, optional): The set of each row, ascending, :math:`[N]`.
        num_rows (int): The number of rows :math:`N`.
        batch_size (int, optional): The number of sets :math:`B`.
        device (torch.device): Where the rows are.

    Raises:
        ValueError: If :obj:`batch` is not sorted or does not fit the rows.
    """
    if batch is None:
        if batch_size not in (None, 1):
            raise ValueError(
                f"'batch' is missing; 'batch_size={batch_size}' needs the set of each "
                f"row"
            )
        return torch.tensor([0, num_rows], device=device)
    if batch.numel() != num_rows:
        raise ValueError(
            f"'batch' must name the set of each of the {num_rows} rows of 'x' (got "
            f"{batch.numel()} entries)"
        )
    return batch_to_ptr(batch, batch_size)
