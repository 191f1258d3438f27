from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch_geometric.nn import MLP
from torch_geometric.utils import segment

from pyg_relational.models.base import SetModel
from pyg_relational.nn import (
    ImageObjectEncoder,
    ObjectEncoder,
    PairwiseMLP,
    RelationAggregation,
    Sets,
)
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairMessages
from pyg_relational.nn.sets import set_ptr


class DeepSets(SetModel):
    r"""A network over sets without pairs, from `"Deep Sets"
    <https://arxiv.org/abs/1703.06114>`_ (Zaheer et al., 2017): what a relation network
    is compared with to see what its pairs are worth.

    .. math::
        \mathbf{y}_s = f \Big( \sum_{i \in s} g(\mathbf{x}_i, \mathbf{u}) \Big)

    Edges are not looked at.

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

    def answer(self, sets: Sets) -> Tensor:
        x, ptr, *_ = self.encoder(*sets._replace(edge_index=None, edge_attr=None))
        return self.readout(segment(x, ptr, "sum"))


class RelationNetwork(SetModel):
    r"""The relation network from `"A simple neural network module for relational
    reasoning" <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), equation 1.

    .. math::
        \mathbf{y}_s = f \Big( \sum_{i, j \in s}
        g(\mathbf{x}_i, \mathbf{x}_j, \mathbf{u}) \Big)

    With :obj:`object_channels`, an MLP reads each object together with the question
    before objects are paired. Depth then costs :math:`N` rows instead of
    :math:`N^2`, and a single hidden layer of :math:`g` keeps all pairs at the price
    of a sort; the paper pairs raw objects.

    Args:
        in_channels (int): The width of an object.
        out_channels (int): The width of the answer.
        relation_channels (list of int): The widths of the layers of :math:`g`.
        readout_channels (list of int): The hidden widths of :math:`f`.
        object_channels (list of int): The widths of the layers that each object
            passes before it is paired. (default: :obj:`()`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation of :math:`g` and :math:`f`.
            (default: :obj:`"relu"`)
        plain_last (bool): If set, the last layer of :math:`g` has no activation; one
            hidden layer then makes all pairs cost a sort. (default: :obj:`False`)
        aggr (str): How pairs are combined. (default: :obj:`"sum"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)
        method (str): How all pairs are computed. (default: :obj:`"auto"`)

    Shapes:
        - **input:** as for :class:`~pyg_relational.nn.RelationAggregation`
        - **output:** :math:`(B, F_{out})`, or :math:`(Q, F_{out})` for questions

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are
            not finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        relation_channels: Sequence[int] = (256, 256, 256, 256),
        readout_channels: Sequence[int] = (256, 256),
        object_channels: Sequence[int] = (),
        edge_dim: int | None = None,
        u_dim: int | None = None,
        act: str = "relu",
        plain_last: bool = False,
        aggr: str = "sum",
        dropout: float = 0.0,
        method: str = "auto",
    ) -> None:
        super().__init__()
        self.encoder = None
        if object_channels:
            self.encoder = ObjectEncoder(in_channels, object_channels, u_dim, act)
            in_channels, u_dim = self.encoder.out_channels, None
        relation = PairwiseMLP(
            in_channels,
            relation_channels,
            edge_dim,
            u_dim,
            act,
            plain_last=plain_last,
        )
        self.relation = RelationAggregation(relation, aggr, method=method)
        channels = [relation.out_channels, *readout_channels, out_channels]
        self.readout = MLP(channels, act=act, norm=None, dropout=dropout)

    def answer(self, sets: Sets) -> Tensor:
        sets, ptr = self._encode(sets)
        h = self.relation(
            sets.x,
            ptr=ptr,
            edge_index=sets.edge_index,
            edge_attr=sets.edge_attr,
            u=sets.u,
            u_batch=sets.u_batch,
        )
        return self.readout(h)

    def pair_messages(self, *args: Any, **kwargs: Any) -> PairMessages:
        r"""Lists what each pair adds to the sum that :math:`f` reads, for
        :func:`pyg_relational.explain.pair_attribution`; arguments as for
        :meth:`forward`."""
        sets, ptr = self._encode(Sets(*args, **kwargs))
        return self.relation.pair_messages(
            sets.x, ptr, sets.edge_index, sets.edge_attr, sets.u, sets.u_batch
        )

    def _encode(self, sets: Sets) -> tuple[Sets, Tensor]:
        """The objects with what is still to be asked, and their boundaries."""
        if self.encoder is not None:
            x, ptr, edge_index, edge_attr = self.encoder(*sets)
            return Sets(x, edge_index, edge_attr), ptr
        batch_size = sets.batch_size
        if batch_size is None and sets.u is not None and sets.u_batch is None:
            batch_size = sets.u.size(0)
        return sets, set_ptr(sets.batch, sets.x.size(0), batch_size, sets.x.device)


class PixelRelationNetwork(Composite):
    r"""A convolutional network whose feature cells are the objects of a relation
    network, from `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    Args:
        in_channels (int): The number of colour channels.
        out_channels (int): The width of the answer.
        conv_channels (list of int): The kernels of each convolution.
        relation_channels (list of int): The widths of the layers of :math:`g`.
        readout_channels (list of int): The hidden widths of :math:`f`.
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
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
        in_channels: int,
        out_channels: int,
        conv_channels: Sequence[int] = (32, 64, 128, 256),
        relation_channels: Sequence[int] = (2000, 2000, 2000, 2000),
        readout_channels: Sequence[int] = (2000, 1000, 500, 100),
        u_dim: int | None = None,
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

    def forward(
        self, image: Tensor, u: Tensor | None = None, u_batch: Tensor | None = None
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            image (torch.Tensor): Images; bytes are scaled to 0-1.
            u, u_batch (torch.Tensor, optional): Questions, as for
                :class:`~pyg_relational.nn.Sets`. (default: :obj:`None`)
        """
        x, batch = self.encoder(image)
        return self.network(
            x, u=u, batch=batch, batch_size=image.size(0), u_batch=u_batch
        )
