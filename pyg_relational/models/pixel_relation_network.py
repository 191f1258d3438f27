from collections.abc import Sequence

from torch import Tensor, nn

from pyg_relational.models.relation_network import RelationNetwork
from pyg_relational.nn import ImageObjectEncoder


class PixelRelationNetwork(nn.Module):
    r"""A convolutional network whose feature cells are the objects of a relation
    network, from `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    Args:
        out_channels (int): The width of the answer.
        conv_channels (list of int): The kernels of each convolution.
        relation_channels (list of int): The widths of the layers of :math:`g`.
        readout_channels (list of int): The hidden widths of :math:`f`.
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        in_channels (int): The number of colour channels. (default: :obj:`3`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, questions :math:`(Q, U)` with their
          image :math:`(Q)`
        - **output:** :math:`(B, F_{out})`, or :math:`(Q, F_{out})` for questions

    Raises:
        ValueError: If images or questions do not fit.
    """

    def __init__(
        self,
        out_channels: int,
        conv_channels: Sequence[int] = (32, 64, 128, 256),
        relation_channels: Sequence[int] = (2000, 2000, 2000, 2000),
        readout_channels: Sequence[int] = (2000, 1000, 500, 100),
        u_dim: int | None = None,
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = ImageObjectEncoder(in_channels, conv_channels)
        self.network = RelationNetwork(
            self.encoder.out_channels,
            out_channels,
            relation_channels,
            readout_channels,
            u_dim=u_dim,
            dropout=dropout,
        )

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.encoder.reset_parameters()
        self.network.reset_parameters()

    def forward(
        self, image: Tensor, u: Tensor | None = None, u_batch: Tensor | None = None
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            image (torch.Tensor): Images; bytes are scaled to 0-1.
            u (torch.Tensor, optional): One row per image or question.
                (default: :obj:`None`)
            u_batch (torch.Tensor, optional): The image of each question.
                (default: :obj:`None`)
        """
        x, batch = self.encoder(image)
        return self.network(
            x, u=u, batch=batch, batch_size=image.size(0), u_batch=u_batch
        )
