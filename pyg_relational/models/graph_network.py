from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.nn import MLP

from pyg_relational._checks import check_name
from pyg_relational.nn import GraphNetworkBlock
from pyg_relational.nn.checks import check_edges, check_features, check_optional
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent.state import answered_steps
from pyg_relational.nn.sets import check_questions, set_ptr
from pyg_relational.ops import fully_connected_edges, ptr_to_batch

OUTPUTS = ("node", "edge", "set")


class GraphNetwork(Composite):
    r"""Encode, process, decode, from `"Relational inductive biases, deep learning, and
    graph networks" <https://arxiv.org/abs/1806.01261>`_ (Battaglia et al., 2018).

    .. math::
        G_0 = \mathrm{encode}(\mathbf{X}, \mathbf{E}, \mathbf{u}), \quad
        G_k = \mathrm{block}([G_0, G_{k-1}]), \quad
        \mathbf{y}^{(k)} = f(G_k)

    Nodes, edges and graph are embedded each by itself, one
    :class:`~pyg_relational.nn.GraphNetworkBlock` is applied :math:`K` times to the
    embedding and its own last result, and each step is answered: the loss is meant to
    be averaged over the steps, the last one to be scored. Trained weights may run for
    more steps.

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of an answer.
        hidden_channels (int): The width of everything inside. (default: :obj:`64`)
        steps (int): The number of steps :math:`K`. (default: :obj:`10`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(64,)`)
        output (str): What is answered for: :obj:`"node"`, :obj:`"edge"` or
            :obj:`"set"`. (default: :obj:`"node"`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of graph features. (default: :obj:`None`)
        aggr (str): The reduction of edges and nodes, any of PyG.
            (default: :obj:`"sum"`)
        act (str): The activation. (default: :obj:`"relu"`)

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)` (all pairs are listed
          without them), edge features :math:`(E, D)`, graph features :math:`(B, U)`,
          graph of each node :math:`(N)`
        - **output:** :math:`(N, K, F_{out})`, :math:`(E, K, F_{out})` or
          :math:`(B, K, F_{out})`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, features are not
            finite or the number of steps is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 64,
        steps: int = 10,
        readout_channels: Sequence[int] = (64,),
        output: str = "node",
        edge_dim: int | None = None,
        u_dim: int | None = None,
        aggr: str = "sum",
        act: str = "relu",
    ) -> None:
        super().__init__()
        check_name("output", output, OUTPUTS)
        if steps < 1:
            raise ValueError(f"'steps' must be at least 1 (got {steps})")
        self.in_channels, self.edge_dim, self.u_dim = in_channels, edge_dim, u_dim
        self.steps, self.output, self.hidden_channels = steps, output, hidden_channels
        width = hidden_channels

        def embed(channels: int | None) -> MLP | None:
            if channels is None:
                return None
            return MLP([channels, width, width], act=act, norm=None)

        self.encode_node = MLP([in_channels, width, width], act=act, norm=None)
        self.encode_edge, self.encode_graph = embed(edge_dim), embed(u_dim)
        # What was not given is known only from the last step.
        self.block = GraphNetworkBlock(
            2 * width,
            width,
            width,
            width + (width if edge_dim else 0),
            width + (width if u_dim else 0),
            aggr,
            act,
        )
        self.head = MLP([width, *readout_channels, out_channels], act=act, norm=None)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        last: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            steps (int, optional): The number of steps, where it differs from that of
                the constructor. (default: :obj:`None`)
            last (int, optional): If set, only so many last steps are answered.
                (default: :obj:`None`)
        """
        like = self.block.edge.lin_l.weight
        check_features(x, self.in_channels, "x", like)
        check_edges(edge_index, edge_attr, x, x.size(0))
        check_optional(edge_attr, self.edge_dim, "edge_attr", "edge_dim", like)
        check_optional(u, self.u_dim, "u", "u_dim", like)
        ptr = set_ptr(batch, x.size(0), batch_size, x.device)
        graphs = ptr.numel() - 1
        if u is not None:
            check_questions(u, None, graphs)
        if edge_index is None:
            edge_index = fully_connected_edges(ptr=ptr)
        width = self.hidden_channels
        given = {
            "node": self.encode_node(x),
            "edge": self._embed(self.encode_edge, edge_attr),
            "set": self._embed(self.encode_graph, u),
        }
        state = {
            "node": x.new_zeros(x.size(0), width),
            "edge": x.new_zeros(edge_index.size(1), width),
            "set": x.new_zeros(graphs, width),
        }
        owner = ptr_to_batch(ptr, x.size(0))
        before, last = answered_steps(self.steps if steps is None else steps, last)
        answers = []
        for step in range(before + last):
            both = {
                name: rows
                if given[name] is None
                else torch.cat([given[name], rows], -1)
                for name, rows in state.items()
            }
            after = self.block(
                both["node"], edge_index, both["edge"], both["set"], owner
            )
            state = dict(zip(("node", "edge", "set"), after, strict=True))
            if step >= before:
                answers.append(self.head(state[self.output]))
        return torch.stack(answers, dim=1)

    def _embed(self, encode: MLP | None, rows: Tensor | None) -> Tensor | None:
        return None if encode is None or rows is None else encode(rows)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.block}, steps={self.steps})"
