import torch
from torch import Tensor

from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import batch_to_ptr, fully_connected_edges


def cross_pairs(
    side: Tensor, batch: Tensor | None = None, batch_size: int | None = None
) -> Tensor:
    r"""Lists the pairs of objects on different sides of each graph, in both
    directions.

    Args:
        side (torch.Tensor): The side of each object, 0 or 1, in any order,
            :math:`(N)`.
        batch (torch.Tensor, optional): The graph of each object, ascending,
            :math:`(N)`; one graph by default. (default: :obj:`None`)
        batch_size (int, optional): The number of graphs. (default: :obj:`None`)

    Returns:
        torch.Tensor: Edges from sources to targets, :math:`(2, E)`.

    Raises:
        ValueError: If there are other sides, or :obj:`batch` does not fit.
    """
    if side.dim() != 1 or side.dtype != torch.long:
        raise ValueError(
            f"'side' must be a vector of dtype int64 (got shape {list(side.shape)}, "
            f"dtype {side.dtype})"
        )
    if bool(((side != 0) & (side != 1)).any()):
        raise ValueError(
            f"'side' must be 0 or 1 for each object (got {side.unique().tolist()})"
        )
    graphs = set_ptr(batch, side.numel(), batch_size, side.device).numel() - 1
    owner = 2 * (0 if batch is None else batch) + side
    # A set for each side of each graph, beside the set of the other side.
    target = owner.argsort(stable=True)
    source = (owner + 1 - 2 * side).argsort(stable=True)
    target_ptr = batch_to_ptr(owner[target], 2 * graphs)
    other = owner[source] + 1 - 2 * side[source]
    source_ptr = batch_to_ptr(other, 2 * graphs)
    pairs = fully_connected_edges(target_ptr, source_ptr=source_ptr)
    return torch.stack([source[pairs[0]], target[pairs[1]]])
