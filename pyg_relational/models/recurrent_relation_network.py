from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MLP, Linear
from torch_geometric.utils import segment

from pyg_relational._checks import check_name
from pyg_relational.nn import ObjectEncoder, PairwiseMLP
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent import RelationGRUCell, RelationLSTMCell, Unroll
from pyg_relational.nn.recurrent.state import answered_steps
from pyg_relational.ops import fully_connected_edges, ptr_to_batch, to_dense

CELLS = {"lstm": RelationLSTMCell, "gru": RelationGRUCell}
OUTPUTS = ("node", "edge", "set", "pointer")


class RecurrentRelationNetwork(Composite):
    r"""The recurrent relational network from `"Recurrent Relational Networks"
    <https://arxiv.org/abs/1711.08028>`_ (Palm et al., 2018): objects exchange messages
    for :math:`K` steps with shared weights, and answer after each.

    .. math::
        \mathbf{h}^{(0)}_i &= \mathbf{z}_i = \mathrm{MLP}(\mathbf{x}_i \, \Vert \,
        \mathbf{u}) \\
        \mathbf{m}^{(t)}_i &= \bigoplus_{j \in \mathcal{N}(i)} g(\mathbf{h}^{(t - 1)}_i,
        \mathbf{h}^{(t - 1)}_j, \mathbf{e}_{j,i}) \\
        \mathbf{h}^{(t)}_i &= \mathrm{LSTM}(\mathbf{z}_i \, \Vert \,
        \mathbf{m}^{(t)}_i, \mathbf{h}^{(t - 1)}_i) \\
        \mathbf{y}^{(t)}_i &= f(\mathbf{h}^{(t)}_i) \quad \text{or} \quad
        \mathbf{y}^{(t)}_s = f \Big( \sum_{i \in s} \mathbf{h}^{(t)}_i \Big)

    States start as the embedded objects, and the memory of the LSTM with zeros, so
    that the messages of the first step already differ: one step is a relation network
    with an answer for each object. A question enters through the embedding. The loss
    is meant to be averaged over the steps, and the last one to be scored; trained
    weights may run for more steps. The paper adds messages up; their largest value
    (:obj:`aggr="max"`) does not grow with the number of neighbours.

    Args:
        in_channels (int): The width of an object.
        out_channels (int): The width of an answer.
        hidden_channels (int): The width of a state. (default: :obj:`96`)
        relation_channels (list of int): The widths of the layers of :math:`g`.
            (default: :obj:`(96, 96, 96)`)
        object_channels (list of int): The hidden widths of the embedding, whose last
            layer is linear. (default: :obj:`(96, 96)`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(96, 96)`)
        steps (int): The number of steps :math:`K`. (default: :obj:`8`)
        output (str): :obj:`"node"`, an answer for each object, :obj:`"edge"`, one for
            each pair from :math:`\mathbf{h}_i \, \Vert \, \mathbf{h}_j`, of the edges
            or of all there are, :obj:`"set"`, one for each graph or question, or
            :obj:`"pointer"`, one score for each object (:obj:`out_channels=1`), side
            by side: a choice among the objects. (default: :obj:`"node"`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation. (default: :obj:`"relu"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)
        cell (str): :obj:`"lstm"` or :obj:`"gru"`. (default: :obj:`"lstm"`)
        plain_last (bool): If set, the last layer of :math:`g` has no activation, as in
            the paper; it is then applied to sums of messages, not to each of all
            pairs. (default: :obj:`True`)
        aggr (str): How messages are combined: :obj:`"sum"`, :obj:`"mean"`,
            :obj:`"max"` or :obj:`"min"`. (default: :obj:`"sum"`)

    Shapes:
        - **input:** as for :class:`~pyg_relational.nn.ObjectEncoder`
        - **output:** :math:`(N, K, F_{out})`, objects once for each question;
          :math:`(E, K, F_{out})` with :obj:`output="edge"`;
          :math:`(B, K, F_{out})` or :math:`(Q, K, F_{out})` with :obj:`output="set"`;
          :math:`(B, K, n)` with :obj:`output="pointer"`, :math:`n` objects in the
          largest graph, the least number where there is none

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, features are not
            finite or the number of steps is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 96,
        relation_channels: Sequence[int] = (96, 96, 96),
        object_channels: Sequence[int] = (96, 96),
        readout_channels: Sequence[int] = (96, 96),
        steps: int = 8,
        output: str = "node",
        edge_dim: int | None = None,
        u_dim: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
        cell: str = "lstm",
        plain_last: bool = True,
        aggr: str = "sum",
    ) -> None:
        super().__init__()
        check_name("output", output, OUTPUTS)
        check_name("cell", cell, CELLS)
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(
                f"'steps' must be a whole number of at least 1 (got {steps})"
            )
        if output == "pointer" and out_channels != 1:
            raise ValueError(
                f"'out_channels' must be 1 with output='pointer', a score for each "
                f"object (got {out_channels})"
            )
        self.steps, self.output, self.cell = steps, output, cell
        self.hidden_channels = hidden_channels
        relation = PairwiseMLP(
            hidden_channels, relation_channels, edge_dim, act=act, plain_last=plain_last
        )
        self.encoder = ObjectEncoder(in_channels, object_channels, u_dim, act)
        self.lin_state = Linear(self.encoder.out_channels, hidden_channels)
        recurrent = CELLS[cell](hidden_channels, hidden_channels, relation, aggr)
        self.unroll = Unroll(recurrent)
        ends = 2 if output == "edge" else 1
        channels = [ends * hidden_channels, *readout_channels, out_channels]
        self.head = MLP(channels, act=act, norm=None, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
        steps: int | None = None,
        last: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            steps (int, optional): The number of steps, where it differs from that of
                the constructor. (default: :obj:`None`)
            last (int, optional): If set, only so many last steps are answered, and
                the states of those before are not kept. (default: :obj:`None`)
        """
        z, ptr, edge_index, edge_attr = self.encoder(
            x, edge_index, edge_attr, u, batch, batch_size, u_batch
        )
        owner = ptr_to_batch(ptr, z.size(0))
        h = self._states(
            self.lin_state(z),
            *answered_steps(self.steps if steps is None else steps, last),
            edge_index=edge_index,
            edge_attr=edge_attr,
            batch=owner,
            batch_size=ptr.numel() - 1,
        )
        if self.output == "edge":
            if edge_index is None:
                edge_index = fully_connected_edges(ptr=ptr)
            # [N, K, H] -> [E, K, 2 H]
            h = torch.cat([h[edge_index[1]], h[edge_index[0]]], dim=-1)
        if self.output == "set":
            # [N, K, H] -> [B, K, H]
            h = segment(h.flatten(1), ptr, "sum").unflatten(1, h.shape[1:])
        # PyG's MLP takes rows: [*, K, H] -> [* K, H] -> [*, K, C]
        out = self.head(h.flatten(0, 1)).unflatten(0, h.shape[:2])
        if self.output != "pointer":
            return out
        # [N, K, 1] -> [B, n, K] -> [B, K, n]
        scores, _ = to_dense(
            out.squeeze(-1), ptr=ptr, fill_value=torch.finfo(out.dtype).min
        )
        return scores.transpose(1, 2)

    def _states(self, z: Tensor, before: int, last: int, **graph: Any) -> Tensor:
        """The states of the last steps, [N, K, H], after those that are not kept."""
        state = (z, torch.zeros_like(z)) if self.cell == "lstm" else z
        for _ in range(before):
            state = self.unroll.cell(z, state, **graph)
        return self.unroll(z, state, steps=last, **graph)[0]
