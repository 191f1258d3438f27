from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import segment

from pyg_relational.nn import ObjectEncoder


class DeepSets(nn.Module):
    r"""A network over sets without pairs, from `"Deep Sets"
    <https://arxiv.org/abs/1703.06114>`_ (Zaheer et al., 2017): what a relation network
    is compared with to see what its pairs are worth.

    .. math::
        \mathbf{y}_s = f \Big( \sum_{i \in s} g(\mathbf{x}_i, \mathbf{u}) \Big)

    Args:
        in_channels (int): The width of an object.
        out_channels (int): The width of the answer.
        object_channels (list of int): The widths of the layers of :math:`g`.
        readout_channels (list of int): The hidden widths of :math:`f`.
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation of :math:`g` and :math:`f`.
            (default: :obj:`"relu"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** objects :math:`(N, F)`, graph of each object :math:`(N)`,
          questions :math:`(Q, U)` with their graph :math:`(Q)`
        - **output:** :math:`(B, F_{out})`, or :math:`(Q, F_{out})` for questions

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are
            not finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        object_channels: Sequence[int] = (256, 256, 256, 256),
        readout_channels: Sequence[int] = (256, 256),
        u_dim: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = ObjectEncoder(in_channels, object_channels, u_dim, act)
        channels = [self.encoder.out_channels, *readout_channels, out_channels]
        self.readout = MLP(channels, act=act, norm=None, dropout=dropout)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.encoder.reset_parameters()
        self.readout.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; edges are not looked at.

        Args:
            x (torch.Tensor): Objects, shape :math:`[N, F]`.
            edge_index (torch.Tensor, optional): Ignored. (default: :obj:`None`)
            edge_attr (torch.Tensor, optional): Ignored. (default: :obj:`None`)
            u (torch.Tensor, optional): One row per graph or question.
                (default: :obj:`None`)
            batch (torch.Tensor, optional): The graph of each object, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of graphs. (default: :obj:`None`)
            u_batch (torch.Tensor, optional): The graph of each question.
                (default: :obj:`None`)
        """
        x, ptr, *_ = self.encoder(
            x, u=u, batch=batch, batch_size=batch_size, u_batch=u_batch
        )
        return self.readout(segment(x, ptr, "sum"))
