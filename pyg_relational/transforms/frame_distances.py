from collections.abc import Sequence

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_relational.data.temporal import frame_distances


@functional_transform("frame_distances")
class FrameDistances(BaseTransform):
    r"""Joins all nodes of a :class:`~pyg_relational.data.TemporalGraph` that are in a
    frame together, with their distance in that frame as edge feature.

    .. math::
        \mathbf{e}^{(t)}_{j,i} = \Vert \mathbf{p}^{(t)}_i - \mathbf{p}^{(t)}_j \Vert
        \, / \, s

    Edges go both ways and have their frame in :obj:`edge_time`; a node is not joined
    to itself. The distance between two nodes is what an MLP on their positions has to
    find out first. Works on a graph and on a batch.

    Args:
        columns (list of int): The columns of :obj:`x` that hold the position.
        scale (float): The unit of length :math:`s`. (default: :obj:`1.0`)

    Raises:
        ValueError: If there are edges already, or :obj:`scale` is not positive.
    """

    def __init__(self, columns: Sequence[int], scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError(f"'scale' must be positive (got {scale})")
        self.columns, self.scale = list(columns), scale

    def forward(self, data: Data) -> Data:
        r"""Adds the edges."""
        if data.get("edge_index") is not None:
            raise ValueError(
                "'data' must have no edges yet, they would be lost (got "
                f"{data.num_edges}); leave 'FrameDistances' out"
            )
        data.edge_index, data.edge_time, data.edge_attr = frame_distances(
            data, self.columns, self.scale
        )
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.columns}, scale={self.scale})"
