from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import segment

from pyg_relational._checks import check_name
from pyg_relational.models.base import SetModel
from pyg_relational.nn import GraphRelationConv, ObjectEncoder, Sets
from pyg_relational.ops import ptr_to_batch

OUTPUTS = ("node", "set")


class GraphRelationNetwork(SetModel):
    r"""A stack of :class:`~pyg_relational.nn.GraphRelationConv`: nodes hear their
    neighbours and their edges, and are updated by gated recurrent units.

    .. math::
        \mathbf{h}^{(0)}_i = \mathrm{MLP}(\mathbf{x}_i \, \Vert \, \mathbf{u}), \quad
        \mathbf{h}^{(l)}_i = \mathrm{GRU}_l \Big( \sum_{j \in \mathcal{N}(i)} \big(
        \mathbf{W}_l \mathbf{h}^{(l-1)}_j + \mathbf{W}^e_l \mathbf{e}_{j,i} \big),
        \mathbf{h}^{(l-1)}_i \Big), \quad
        \mathbf{y}_i = f(\mathbf{h}^{(L)}_i) \text{ or } \mathbf{y} = f \Big( \sum_i
        \mathbf{h}^{(L)}_i \Big)

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of an answer.
        hidden_channels (int): The width of a state. (default: :obj:`64`)
        num_layers (int): The number of layers :math:`L`. (default: :obj:`3`)
        object_channels (list of int): The hidden widths of the embedding.
            (default: :obj:`()`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(64,)`)
        output (str): :obj:`"node"`, an answer for each node, or :obj:`"set"`, one for
            each graph. (default: :obj:`"set"`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        aggr (str): How messages are combined. (default: :obj:`"sum"`)
        act (str): The activation. (default: :obj:`"relu"`)
        dropout (float): Dropout between layers and in :math:`f`.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** as for :class:`~pyg_relational.nn.ObjectEncoder`
        - **output:** :math:`(N, F_{out})` or :math:`(B, F_{out})`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are not
            finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 64,
        num_layers: int = 3,
        object_channels: Sequence[int] = (),
        readout_channels: Sequence[int] = (64,),
        output: str = "set",
        edge_dim: int | None = None,
        u_dim: int | None = None,
        aggr: str = "sum",
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_name("output", output, OUTPUTS)
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        self.output = output
        channels = [*object_channels, hidden_channels]
        self.encoder = ObjectEncoder(in_channels, channels, u_dim, act)
        self.convs = nn.ModuleList(
            GraphRelationConv(hidden_channels, hidden_channels, edge_dim, aggr)
            for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        channels = [hidden_channels, *readout_channels, out_channels]
        self.readout = MLP(channels, act=act, norm=None, dropout=dropout)

    def answer(self, sets: Sets) -> Tensor:
        h, ptr, edge_index, edge_attr = self.encoder(*sets)
        owner = ptr_to_batch(ptr, h.size(0))
        for conv in self.convs:
            h = conv(h, edge_index, edge_attr, owner, ptr.numel() - 1)
            h = self.dropout(h)
        return self.readout(segment(h, ptr, "sum") if self.output == "set" else h)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.convs[0]}, layers={len(self.convs)})"
