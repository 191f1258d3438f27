from collections.abc import Sequence

from torch import Tensor
from torch_geometric.nn import GAT

from pyg_relational.nn import PairwiseMLP
from pyg_relational.nn.checks import (
    check_edges,
    check_features,
    check_optional,
    check_pairs,
)
from pyg_relational.nn.composite import Composite


class GraphAttentionNetwork(Composite):
    r"""A stack of :class:`torch_geometric.nn.GATv2Conv` over the edges, from `"How
    Attentive are Graph Attention Networks?" <https://arxiv.org/abs/2105.14491>`_
    (Brody et al., 2022), and a relation of two of its nodes: a baseline whose number
    of layers is fixed.

    .. math::
        \mathbf{Z} = \mathrm{GATv2}_L(\ldots \mathrm{GATv2}_1(\mathbf{X}, \mathbf{E})),
        \quad \mathbf{y}_{j,i} = g(\mathbf{z}_i, \mathbf{z}_j)

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of an answer.
        hidden_channels (int): The width of a state, of all heads together.
            (default: :obj:`64`)
        num_layers (int): The number of layers :math:`L`. (default: :obj:`4`)
        heads (int): The number of heads. (default: :obj:`4`)
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(64,)`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        act (str): The activation. (default: :obj:`"relu"`)
        dropout (float): Dropout of states and of attention weights.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)`, edge features
          :math:`(E, D)`, pairs to answer for :math:`(2, P)`, from source to target
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If widths do not fit or features are not finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 64,
        num_layers: int = 4,
        heads: int = 4,
        relation_channels: Sequence[int] = (64,),
        edge_dim: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if heads < 1 or hidden_channels % heads:
            raise ValueError(
                f"'hidden_channels' must be a multiple of 'heads={heads}' (got "
                f"{hidden_channels})"
            )
        self.in_channels, self.edge_dim = in_channels, edge_dim
        self.encoder = GAT(
            in_channels,
            hidden_channels,
            num_layers,
            dropout=dropout,
            act=act,
            v2=True,
            heads=heads,
            edge_dim=edge_dim,
            residual=True,
        )
        channels = [*relation_channels, out_channels]
        self.relation = PairwiseMLP(hidden_channels, channels, act=act, plain_last=True)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        edge_label_index: Tensor | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Nodes, shape :math:`[N, F]`.
            edge_index (torch.Tensor): The edges, shape :math:`[2, E]`.
            edge_attr (torch.Tensor, optional): Edge features. (default: :obj:`None`)
            edge_label_index (torch.Tensor): The pairs to answer for.
        """
        like = self.relation.lin_l.weight
        check_features(x, self.in_channels, "x", like)
        check_edges(edge_index, edge_attr, x, x.size(0))
        check_pairs(edge_label_index, "edge_label_index", x, x.size(0))
        assert edge_label_index is not None
        check_optional(edge_attr, self.edge_dim, "edge_attr", "edge_dim", like)
        z = self.encoder(x, edge_index, edge_attr=edge_attr)
        target, source = self.relation.project(z, z)
        return self.relation.relate(
            target[edge_label_index[1]] + source[edge_label_index[0]]
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.encoder})"
