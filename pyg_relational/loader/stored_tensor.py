import torch
from torch import Tensor

from pyg_relational.loader.segments import Chosen, Segments


class StoredTensor:
    """An attribute of all graphs of a dataset, joined along one dimension.

    Args:
        name (str): Its name.
        value (torch.Tensor): The rows of all graphs, `[..., sum of rows, ...]`.
        dim (int): The dimension of the rows.
        segments (Segments): The rows of each graph.
        increments (Segments or torch.Tensor, optional): What each graph adds to the
            values of the graphs behind it in a batch: its number of nodes, of which
            these are the segments, or any numbers, `[G, ...]`. (default: `None`)

    Raises:
        ValueError: The increments differ between the rows of a graph.
    """

    def __init__(
        self,
        name: str,
        value: Tensor,
        dim: int,
        segments: Segments,
        increments: Segments | Tensor | None = None,
    ) -> None:
        self.name = name
        self.segments = segments
        self.increments = increments
        self._dim = dim
        self._value = value
        if segments.each is not None:
            # [..., G * each, ...] -> [..., G, each, ...]
            self._value = value.unflatten(dim, (segments.count, segments.each))
        shape = increments.shape[1:] if isinstance(increments, Tensor) else ()
        missing = value.dim() - len(shape)
        # As PyG adds them: the last dimensions fit those of the value.
        self._shape = (*[1] * missing, *shape)
        if missing < 0 or self._shape[dim] != 1:
            raise ValueError(f"is incremented by {list(shape)} numbers a graph")

    def shifts(self, numbers: Tensor, nodes: Chosen | None) -> Tensor:
        """Returns what PyG adds to the values of each graph of a batch, `[B, ...]`.

        Args:
            numbers (torch.Tensor): The number of each graph, `[B]`.
            nodes (Chosen, optional): The nodes of these graphs.
        """
        if self.increments is None:
            return torch.zeros(numbers.numel(), dtype=torch.long)
        if isinstance(self.increments, Segments):
            assert nodes is not None
            return nodes.ptr[:-1].clone()
        each = self.increments[numbers]
        return torch.cat([torch.zeros_like(each[:1]), each[:-1].cumsum(0)])

    def take(self, chosen: Chosen, shifts: Tensor) -> Tensor:
        """Returns the rows of the graphs of a batch, in their order, as a copy.

        Args:
            chosen (Chosen): Their segments.
            shifts (torch.Tensor): What is added to the values of each graph.
        """
        dim = self._dim
        if chosen.rows is None:
            # [..., G, each, ...] -> [..., B * each, ...]
            rows = self._value.index_select(dim, chosen.numbers).flatten(dim, dim + 1)
        else:
            rows = self._value.index_select(dim, chosen.rows)
        if self.increments is None or (shifts.dim() == 1 and not shifts[-1]):
            return rows
        return add_shifts(rows, shifts, chosen.owner, dim, self._shape)


def add_shifts(
    rows: Tensor, shifts: Tensor, owner: Tensor, dim: int, shape: tuple[int, ...]
) -> Tensor:
    """Adds to the rows of each graph what PyG adds.

    Args:
        rows (torch.Tensor): The rows of all graphs, `[..., R, ...]`.
        shifts (torch.Tensor): What is added to each graph, `[B, ...]`.
        owner (torch.Tensor): The graph of each row, `[R]`.
        dim (int): The dimension of the rows.
        shape (tuple[int, ...]): That of a shift, with as many dimensions as `rows`.
    """
    # A single number takes the dtype of the values, several may widen it.
    dtype = torch.result_type(rows, shifts[0])
    # [B, ...] -> [B, 1, ..., ...], without the dimension of the rows
    each = shifts.reshape(-1, *shape).select(dim + 1, 0)
    added = each.index_select(0, owner).movedim(0, dim)
    return rows.to(dtype) + added.to(dtype)
