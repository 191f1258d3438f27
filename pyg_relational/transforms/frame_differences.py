from collections.abc import Sequence

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational.data.temporal import TemporalGraph


class FrameDifferences(BaseTransform):
    r"""Appends how each feature changes from a frame to the next.

    .. math::
        \mathbf{x}^{\prime}_t = \big[ \mathbf{x}_t, \; \mathbf{s} \odot
        (\mathbf{x}_{t+1} - \mathbf{x}_t) \big]

    The difference is zero in the last frame of a graph, and wherever the node is absent
    in this frame or the next. Works on single graphs and on batches.

    Args:
        scale (float or list of float): The factor :math:`\mathbf{s}`, one for all
            features or one for each. (default: :obj:`1.0`)

    Shapes:
        - **input:** a :class:`~pyg_relational.data.TemporalGraph`, or a batch of them,
          with :obj:`x` :math:`(N, T, F)`
        - **output:** the same with :math:`(N, T, 2F)`

    Raises:
        ValueError: If the data has no :obj:`x` of frames, or a list :obj:`scale` has
            another length than the features.
    """

    def __init__(self, scale: float | Sequence[float] = 1.0) -> None:
        self.scale = scale

    def forward(self, data: Data) -> Data:
        r"""Changes a copy."""
        x, mask = data.get("x"), data.get("mask")
        if not isinstance(data, TemporalGraph) or x is None or mask is None:
            raise ValueError(
                "'x' of a TemporalGraph must be there to take differences of its "
                f"frames (got {type(data).__name__} with {', '.join(data.keys())})"
            )
        scale = torch.as_tensor(self.scale, dtype=x.dtype, device=x.device)
        if scale.dim() > 0 and scale.shape != x.shape[2:]:
            raise ValueError(
                f"'scale' must be one number or one for each of {x.size(2)} features "
                f"(got {scale.numel()})"
            )
        both = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
        change = torch.zeros_like(x)
        # What is absent is never read: it may not be a number.
        change[:, :-1] = torch.where(both, scale * x.diff(dim=1), 0.0)
        data.x = torch.cat([x, change], dim=-1)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(scale={self.scale})"
