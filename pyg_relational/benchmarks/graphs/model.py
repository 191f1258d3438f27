"""The models that are compared, with one way to call them."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GIN, MLP

from pyg_relational.benchmarks.graphs.settings import TASKS
from pyg_relational.models import GraphNetwork, RecurrentRelationNetwork
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import fully_connected_edges


def build_model(task: str, model: str, channels: int) -> nn.Module:
    """Returns a model, called as `model(x, edge_index, batch=batch, steps=steps,
    last=last)`; it answers for nodes or edges in each of the last steps.

    The one-step relation network is the recurrent one that is never asked for more
    than one step. Ours take the largest message, which does not grow with the number of
    neighbours.

    Args:
        task (str): One of `TASKS`.
        model (str): One of `MODELS`.
        channels (int): Width of everything inside.
    """
    asked = TASKS[task]
    ends = asked.in_channels, asked.out_channels
    output = "node" if asked.output == "node" else "edge"
    if model == "gin":
        return RepeatedGIN(*ends, channels, output)
    if model == "graph-network":
        return GraphNetwork(
            *ends, channels, readout_channels=[channels], output=output, aggr="max"
        )
    return RecurrentRelationNetwork(
        *ends,
        channels,
        [channels, channels],
        [channels],
        [channels],
        output=output,
        cell="gru",
        aggr="max",
    )


class RepeatedGIN(nn.Module):
    r"""The graph isomorphism network of `"How Powerful are Graph Neural Networks?"
    <https://arxiv.org/abs/1810.00826>`_ (Xu et al., 2019) with one layer for all steps,
    which reads the embedded nodes again in each.

    .. math::
        \mathbf{h}^{(t)}_i = \mathrm{ReLU} \Big( \mathrm{LayerNorm} \Big(
        \mathrm{MLP} \Big( \mathbf{p}_i + \sum_{j \in \mathcal{N}(i)} \mathbf{p}_j \Big)
        \Big) \Big), \quad \mathbf{p}_i = \mathbf{z}_i \, \Vert \,
        \mathbf{h}^{(t - 1)}_i

    As published its depth is fixed, and with it how far a node sees; and its states
    would grow without bound, were they not normalised.

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of an answer.
        channels (int): The width of a state.
        output (str): :obj:`"node"` or :obj:`"edge"`, from both ends.

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)` (all pairs without
          them), graph of each node :math:`(N)`
        - **output:** :math:`(N, L, F_{out})` or :math:`(E, L, F_{out})` for the
          :math:`L` last steps
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: int, output: str
    ) -> None:
        super().__init__()
        self.output = output
        self.encoder = MLP([in_channels, channels, channels], norm=None)
        self.gin = GIN(2 * channels, channels, num_layers=1, train_eps=True)
        self.norm = nn.LayerNorm(channels)
        ends = 2 if output == "edge" else 1
        self.head = MLP([ends * channels, channels, out_channels], norm=None)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        *,
        batch: Tensor,
        steps: int,
        last: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        if edge_index is None:
            edge_index = fully_connected_edges(
                set_ptr(batch, x.size(0), None, x.device)
            )
        z = self.encoder(x)
        h, answers = torch.zeros_like(z), []
        for step in range(steps):
            h = self.norm(self.gin(torch.cat([z, h], dim=-1), edge_index)).relu()
            if step >= steps - last:
                rows = h
                if self.output == "edge":
                    rows = torch.cat([h[edge_index[1]], h[edge_index[0]]], dim=-1)
                answers.append(self.head(rows))
        return torch.stack(answers, dim=1)
