import math

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational.transforms.required import required


class RotateTrajectories(BaseTransform):
    r"""Turns the plane of a temporal graph by a random angle, its features and its
    targets alike.

    Features and targets are points or changes in the plane, two columns each, so that
    positions turn around the origin and velocities with them. Works on single graphs
    and on batches, whose graphs are turned independently.

    Shapes:
        - **input:** a :class:`~pyg_relational.data.TemporalGraph` with :obj:`x`
          :math:`(N, T, 2k)` and, optionally, :obj:`y` :math:`(N, *, 2k)`
        - **output:** the same

    Raises:
        ValueError: If there is no :obj:`x`, its columns or those of :obj:`y` are no
            pairs, or :obj:`y` has no row for each node.
    """

    def forward(self, data: Data) -> Data:
        r"""Turns a copy."""
        (x,), y = required(data, ["x"], "be turned"), data.get("y")
        graphs = data.num_graphs if "batch" in data else 1
        angle = 2 * math.pi * torch.rand(graphs, device=x.device, dtype=x.dtype)
        angle = angle[data.batch] if "batch" in data else angle.expand(x.size(0))
        data.x = _turned(x, angle, "x")
        if y is not None:
            data.y = _turned(y, angle, "y")
        return data


def _turned(value: Tensor, angle: Tensor, name: str) -> Tensor:
    fits = value.dim() > 1 and value.size(0) == len(angle)
    if not fits or value.size(-1) % 2 or not value.is_floating_point():
        raise ValueError(
            f"'{name}' must hold pairs of coordinates for each of {len(angle)} nodes "
            f"(got {list(value.shape)} of {value.dtype})"
        )
    # [N, *, 2k] -> [N, *, k]
    across, along = value.unflatten(-1, (-1, 2)).unbind(dim=-1)
    shape = (-1, *(1,) * (across.dim() - 1))
    cos, sin = angle.cos().view(shape), angle.sin().view(shape)
    turned = torch.stack([cos * across - sin * along, sin * across + cos * along], -1)
    return turned.flatten(-2)
