import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.nn.resolver import aggregation_resolver

from pyg_relational.nn.checks import check_edges, check_features
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch


class GraphNetworkBlock(Composite):
    r"""One full block of `"Relational inductive biases, deep learning, and graph
    networks" <https://arxiv.org/abs/1806.01261>`_ (Battaglia et al., 2018): edges,
    nodes and graph are updated in turn.

    .. math::
        \mathbf{e}^{\prime}_{j,i} &= \phi^e(\mathbf{x}_i, \mathbf{x}_j,
        \mathbf{e}_{j,i}, \mathbf{u}) \\
        \mathbf{x}^{\prime}_i &= \phi^v \Big( \mathbf{x}_i, \bigoplus_{j \in
        \mathcal{N}(i)} \mathbf{e}^{\prime}_{j,i}, \mathbf{u} \Big) \\
        \mathbf{u}^{\prime} &= \phi^u \Big( \bigoplus_{(j,i)}
        \mathbf{e}^{\prime}_{j,i}, \bigoplus_i \mathbf{x}^{\prime}_i, \mathbf{u} \Big)

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of all three afterwards.
        hidden_channels (int): The width of the hidden layer of each
            :math:`\phi`.
        edge_dim (int): The width of an edge.
        u_dim (int): The width of a graph.
        aggr (str or Aggregation): The reduction :math:`\bigoplus`, any aggregation of
            PyG. (default: :obj:`"sum"`)
        act (str): The activation. (default: :obj:`"relu"`)

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)` and their features
          :math:`(E, D)`, graphs :math:`(B, U)`, graph of each node :math:`(N)`
        - **output:** nodes :math:`(N, F_{out})`, edges :math:`(E, F_{out})`, graphs
          :math:`(B, F_{out})`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are not
            finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        edge_dim: int,
        u_dim: int,
        aggr: Any = "sum",
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.edge_dim, self.u_dim = in_channels, edge_dim, u_dim
        self.out_channels = out_channels
        self.edge = PairwiseMLP(
            in_channels,
            [hidden_channels, out_channels],
            edge_dim,
            u_dim,
            act,
            plain_last=True,
        )
        # Three places, each with its own, should it have parameters.
        self.edges_of_node, self.edges_of_graph, self.nodes_of_graph = (
            copy.deepcopy(aggregation_resolver(aggr)) for _ in range(3)
        )
        channels = [in_channels + out_channels + u_dim, hidden_channels, out_channels]
        self.node = MLP(channels, act=act, norm=None)
        channels = [2 * out_channels + u_dim, hidden_channels, out_channels]
        self.graph = MLP(channels, act=act, norm=None)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        u: Tensor,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Returns the updated nodes, edges and graphs.

        Args:
            x (torch.Tensor): Nodes.
            edge_index (torch.Tensor): Edges.
            edge_attr (torch.Tensor): What each edge is like.
            u (torch.Tensor): One row per graph.
            batch (torch.Tensor, optional): The graph of each node, ascending; one
                graph by default. (default: :obj:`None`)
        """
        check_features(x, self.in_channels, "x", self.edge.lin_l.weight)
        check_edges(edge_index, edge_attr, x, x.size(0))
        shared = self.edge.project_u(u)
        assert shared is not None
        ptr = set_ptr(batch, x.size(0), u.size(0), x.device, ("batch", "u.size(0)"))
        owner = ptr_to_batch(ptr, x.size(0))
        source, target = edge_index[0], edge_index[1]
        of = owner.index_select(0, target)
        into, out_of = self.edge.project(x, x)
        h = into[target] + out_of[source] + shared[of]
        edge_attr = self.edge.relate(h, edge_attr)
        heard = self._reduce(self.edges_of_node, edge_attr, target, x.size(0))
        x = self.node(torch.cat([x, heard, u[owner]], dim=-1))
        parts = [
            self._reduce(self.edges_of_graph, edge_attr, of, u.size(0)),
            self.nodes_of_graph(x, owner, dim_size=u.size(0)),
            u,
        ]
        return x, edge_attr, self.graph(torch.cat(parts, dim=-1))

    def _reduce(
        self, aggr: nn.Module, rows: Tensor, index: Tensor, size: int
    ) -> Tensor:
        # Aggregations that sort or pad want rows in order.
        if torch.compiler.is_compiling() or bool((index[1:] < index[:-1]).any()):
            index, order = index.sort(stable=True)
            rows = rows.index_select(0, order)
        return aggr(rows, index, dim_size=size)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"edge_dim={self.edge_dim}, u_dim={self.u_dim}, aggr={self.edges_of_node})"
        )
