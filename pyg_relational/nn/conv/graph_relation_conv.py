from torch import Tensor
from torch.nn import GRUCell
from torch_geometric.nn import Linear, MessagePassing
from torch_geometric.typing import Adj, OptTensor, Size
from torch_geometric.utils import segment

from pyg_relational.nn.checks import check_edges, check_features, check_optional
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch


class GraphRelationConv(MessagePassing):
    r"""Sums up what neighbours and edges say, and updates each node with a gated
    recurrent unit, as in `"Neural Message Passing for Quantum Chemistry"
    <https://arxiv.org/abs/1704.01212>`_ (Gilmer et al., 2017) with a linear message.

    .. math::
        \mathbf{m}_i = \sum_{j \in \mathcal{N}(i)} \big( \mathbf{W} \mathbf{x}_j +
        \mathbf{W}_e \mathbf{e}_{j,i} \big), \quad
        \mathbf{x}^{\prime}_i = \mathrm{GRU}(\mathbf{m}_i, \mathbf{x}_i)

    Where nodes are not as wide as the output, :math:`\mathbf{W}_r \mathbf{x}_i` is the
    state that is updated. Without edges, :math:`\mathcal{N}(i)` is the whole set of
    :math:`i`, whose sum is taken once.

    Args:
        in_channels (int or tuple): The width of a node; a tuple gives the widths of
            sources and targets where these differ.
        out_channels (int): The width of a state.
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        aggr (str): How messages are combined. (default: :obj:`"sum"`)
        **kwargs (optional): Additional arguments of
            :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** nodes :math:`(N, F)` or a pair of sources and targets
          :math:`((N_s, F_s), (N_t, F_t))`; edges :math:`(2, E)`, edge features
          :math:`(E, D)`, graph of each node :math:`(N)`
        - **output:** :math:`(N, F_{out})` or :math:`(N_t, F_{out})`

    Raises:
        ValueError: If widths do not fit, features are not finite, or all pairs are
            meant where there are edge features or sources and targets differ.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        edge_dim: int | None = None,
        aggr: str = "sum",
        **kwargs: object,
    ) -> None:
        super().__init__(aggr=aggr, **kwargs)
        if isinstance(in_channels, int):
            in_channels = (in_channels, in_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.edge_dim = edge_dim
        self.lin = Linear(in_channels[0], out_channels, bias=False)
        self.lin_edge = Linear(edge_dim, out_channels, bias=False) if edge_dim else None
        self.lin_root = None
        if in_channels[1] != out_channels:
            self.lin_root = Linear(in_channels[1], out_channels)
        self.gru = GRUCell(out_channels, out_channels)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        for part in (self.lin, self.lin_edge, self.lin_root, self.gru):
            if part is not None:
                part.reset_parameters()

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Adj | None = None,
        edge_attr: OptTensor = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        size: Size = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.RelationConv`.

        Args:
            size (tuple, optional): The numbers of sources and targets.
                (default: :obj:`None`)
        """
        x_l, x_r = x if isinstance(x, tuple) else (x, x)
        like = self.lin.weight
        check_features(x_l, self.in_channels[0], "x", like)
        if x_r is not x_l:
            check_features(x_r, self.in_channels[1], "x", like)
        sizes = x_l.size(0), x_r.size(0)
        check_edges(edge_index, edge_attr, x_l, sizes)
        check_optional(edge_attr, self.edge_dim, "edge_attr", "edge_dim", like)
        h = self.lin(x_l)
        if edge_index is None:
            m = self._sum_sets(h, x_r, batch, batch_size)
        else:
            m = self.propagate(edge_index, h=(h, x_r), edge_attr=edge_attr, size=size)
        state = x_r if self.lin_root is None else self.lin_root(x_r)
        return self.gru(m, state)

    def message(self, h_j: Tensor, edge_attr: OptTensor) -> Tensor:
        if self.lin_edge is None:
            return h_j
        return h_j + self.lin_edge(edge_attr)

    def _sum_sets(
        self, h: Tensor, x_r: Tensor, batch: Tensor | None, batch_size: int | None
    ) -> Tensor:
        """What all nodes of the set say, to each of them."""
        if self.lin_edge is not None or h.size(0) != x_r.size(0) or self.aggr != "sum":
            raise ValueError(
                "'edge_index' is missing: all pairs are meant only without edge "
                "features, among the nodes of one set, with aggr='sum'; pass edges"
            )
        ptr = set_ptr(batch, h.size(0), batch_size, h.device)
        owner = ptr_to_batch(ptr, h.size(0))
        return segment(h, ptr, "sum").index_select(0, owner)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"edge_dim={self.edge_dim})"
        )
