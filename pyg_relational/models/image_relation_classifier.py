from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.nn import Linear

from pyg_relational.models.pair_relation import PairRelation
from pyg_relational.nn.checks import check_features
from pyg_relational.nn.index_checks import check_edges
from pyg_relational.nn.interactions import check_interactions, pair_interactions


class ImageRelationClassifier(nn.Module):
    r"""Classifies the relation of two images from their features.

    .. math::
        \mathbf{z}_i = \sigma(\mathbf{W} \, \mathrm{encoder}(\mathbf{x}_i)), \quad
        \mathbf{y}_{j,i} = g(\mathbf{z}_i, \mathbf{z}_j, |\mathbf{z}_i - \mathbf{z}_j|,
        \mathbf{z}_i \odot \mathbf{z}_j)

    :math:`g` is a :class:`PairRelation` over both ends and their interactions. Every
    image is encoded once, in however many pairs it is.

    Args:
        in_channels (int): The width of the features of an image.
        out_channels (int): The number of classes of relations. (default: :obj:`5`)
        channels (int, optional): The width of :math:`\mathbf{z}`; :obj:`None` relates
            the features as they are. (default: :obj:`64`)
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(128, 128)`)
        interactions (list of str): What :math:`g` takes besides the two ends, of
            :obj:`"difference"`, :obj:`"offset"` and :obj:`"product"`.
            (default: :obj:`("difference", "product")`)
        ends (bool): Whether :math:`g` takes the two ends themselves.
            (default: :obj:`True`)
        dropout (float): Dropout of features and of :math:`\mathbf{z}`.
            (default: :obj:`0.0`)
        encoder (torch.nn.Module, optional): Turns images into rows of width
            :obj:`in_channels`, a :class:`~pyg_relational.nn.ImageEncoder`, say; without
            it :obj:`x` holds features. (default: :obj:`None`)

    Shapes:
        - **input:** features :math:`(N, F)`, or images :math:`(N, C, H, W)` with an
          encoder; pairs :math:`(2, P)` from the first image to the second
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If there is nothing to relate by, no pairs are given, or widths do
            not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 5,
        channels: int | None = 64,
        relation_channels: Sequence[int] = (128, 128),
        interactions: Sequence[str] = ("difference", "product"),
        ends: bool = True,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.interactions = check_interactions(interactions)
        if not self.interactions and not ends:
            raise ValueError(
                "'interactions' must name one or more of them with 'ends=False' (got "
                "none); a relation needs something to go by"
            )
        width = getattr(encoder, "out_channels", in_channels)
        if width != in_channels:
            raise ValueError(
                f"'in_channels' is {in_channels}, but the encoder's features have "
                f"width {width}; a head fits the encoder it was trained with"
            )
        self.in_channels, self.ends = in_channels, ends
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.lin = None if channels is None else Linear(in_channels, channels)
        width = in_channels if channels is None else channels
        self.relation = PairRelation(
            # Without its ends a pair starts from a constant.
            width if ends else 1,
            out_channels,
            relation_channels,
            edge_dim=len(self.interactions) * width or None,
        )

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module; those of the encoder stay."""
        if self.lin is not None:
            self.lin.reset_parameters()
        self.relation.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Features of images, or images with an encoder.
            edge_index (torch.Tensor): The pairs to classify, shape :math:`[2, P]`.
            batch (torch.Tensor, optional): The graph of each image, not needed here.
                (default: :obj:`None`)
            batch_size (int, optional): The number of graphs, not needed here.
                (default: :obj:`None`)
        """
        if self.encoder is not None:
            x = self.encoder(x)
        check_features(x, self.in_channels, "x", self.relation.relation.lin_l.weight)
        check_edges(edge_index, None, x, x.size(0))
        z = self.dropout(x)
        if self.lin is not None:
            z = self.dropout(self.lin(z).relu())
        if edge_index is None or not self.interactions:
            edge_attr = None
        else:
            edge_attr = pair_interactions(z, edge_index, self.interactions)
        ends = z if self.ends else z.new_ones(z.size(0), 1)
        return self.relation(ends, edge_index, edge_attr)
