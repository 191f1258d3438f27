"""The bodies: what makes a vector of each atom, after OGB's examples."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GINEConv, MessagePassing
from torch_geometric.utils import degree, scatter

from pyg_relational.datasets.ogb_loader import import_ogb


class BondGCNConv(MessagePassing):
    r"""Graph convolution with the bonds in its messages.

    .. math::
        \mathbf{h}_i = \sum_{j \in \mathcal{N}(i)} \frac{1}{\sqrt{d_i d_j}}
        \mathrm{ReLU}(\mathbf{W} \mathbf{x}_j + \mathbf{e}_{ji}) + \frac{1}{d_i}
        \mathrm{ReLU}(\mathbf{W} \mathbf{x}_i + \mathbf{r})

    with :math:`d` the number of neighbours plus one.

    Args:
        channels (int): The width of nodes and bonds.

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)`, bonds :math:`(E, F)`
        - **output:** :math:`(N, F)`
    """

    def __init__(self, channels: int) -> None:
        super().__init__(aggr="add")
        self.lin = nn.Linear(channels, channels)
        self.root = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        r"""Runs the forward pass."""
        x = self.lin(x)
        count = degree(edge_index[0], x.size(0), x.dtype) + 1
        norm = count.rsqrt()
        norm = norm[edge_index[0]] * norm[edge_index[1]]
        out = self.propagate(edge_index, x=x, edge_attr=edge_attr, norm=norm)
        return out + (x + self.root).relu() / count.unsqueeze(1)

    def message(self, x_j: Tensor, edge_attr: Tensor, norm: Tensor) -> Tensor:
        return norm.unsqueeze(1) * (x_j + edge_attr).relu()


class MoleculeBody(nn.Module):
    r"""Embeds atoms, then convolves: each layer embeds the bonds anew and is followed
    by batch normalisation, ReLU (not the last) and dropout.

    Args:
        kind (str): :obj:`"gin"` or :obj:`"gcn"`.
        channels (int): The width of a node.
        layers (int): The number of layers.
        dropout (float): Dropout after every layer.
        virtual_node (bool): Between two layers each graph's nodes are summed into a
            vector, which an MLP changes and all its nodes are given.
            (default: :obj:`False`)

    Shapes:
        - **input:** atoms :math:`(N, 9)`, edges :math:`(2, E)`, bonds :math:`(E, 3)`,
          graph of each atom :math:`(N)`
        - **output:** :math:`(N, F)`
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        layers: int,
        dropout: float,
        virtual_node: bool = False,
    ) -> None:
        super().__init__()
        encoders = import_ogb("ogb.graphproppred.mol_encoder")
        self.dropout = dropout
        self.atoms = encoders.AtomEncoder(channels)
        self.bonds = nn.ModuleList(
            encoders.BondEncoder(channels) for _ in range(layers)
        )
        self.convs = nn.ModuleList(_conv(kind, channels) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(layers))
        self.start: nn.Parameter | None = None
        self.updates = nn.ModuleList()
        if virtual_node:
            self.start = nn.Parameter(torch.zeros(channels))
            self.updates.extend(_virtual_mlp(channels) for _ in range(layers - 1))

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        batch: Tensor,
        batch_size: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        h = self.atoms(x)
        shared = None if self.start is None else self.start.expand(batch_size, -1)
        last = len(self.convs) - 1
        for number, conv in enumerate(self.convs):
            if shared is not None:
                h = h + shared[batch]
            before, bonds = h, self.bonds[number](edge_attr)
            h = self.norms[number](conv(before, edge_index, bonds))
            if number < last:
                h = h.relu()
            h = functional.dropout(h, self.dropout, self.training)
            if shared is not None and number < last:
                met = scatter(before, batch, 0, batch_size, "sum") + shared
                shared = self.updates[number](met)
                shared = functional.dropout(shared, self.dropout, self.training)
        return h


def _conv(kind: str, channels: int) -> nn.Module:
    if kind == "gcn":
        return BondGCNConv(channels)
    hidden = 2 * channels
    mlp = nn.Sequential(
        nn.Linear(channels, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, channels),
    )
    return GINEConv(mlp, train_eps=True)


def _virtual_mlp(channels: int) -> nn.Module:
    hidden = 2 * channels
    return nn.Sequential(
        nn.Linear(channels, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, channels),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
    )
