"""Textbook double loops that layers are compared with."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.nn import PairwiseMLP


def pair_value(
    g: PairwiseMLP,
    x_i: Tensor,
    x_j: Tensor,
    edge_attr: Tensor | None = None,
    u: Tensor | None = None,
) -> Tensor:
    r"""Computes a relation as its definition reads: one MLP on the concatenation of
    target, source, edge features and shared features, each a vector."""
    weights, values = [g.lin_r.weight, g.lin_l.weight], [x_i, x_j]
    for lin, value in ((g.lin_edge, edge_attr), (g.lin_u, u)):
        if lin is not None and value is not None:
            weights.append(lin.weight)
            values.append(value)
    h = torch.cat(weights, dim=1) @ torch.cat(values) + g.lin_r.bias
    for lin in g.lins:
        h = F.linear(g.activation(h), lin.weight, lin.bias)  # type: ignore[arg-type]
    return h if g.plain_last else g.activation(h)


def all_pairs(
    g: PairwiseMLP,
    data: Data,
    reduce: Callable[[Tensor], Tensor],
    self_pairs: bool = True,
) -> list[list[Tensor]]:
    r"""Computes a relation for all pairs of each set, one by one, and reduces over the
    sources: a list over sets of lists over targets.

    Args:
        g (PairwiseMLP): The relation.
        data (Data): A single graph or a batch, with :obj:`u` where :obj:`g` needs it.
        reduce (callable): Turns the values of a target's pairs, :math:`[m, F]`, into
            :math:`[F]`.
        self_pairs (bool): Whether an object meets itself. (default: :obj:`True`)
    """
    sets = []
    for s, graph in enumerate(data.to_data_list() if hasattr(data, "ptr") else [data]):
        u = None if g.lin_u is None else data.u[s]
        rows = []
        for i, x_i in enumerate(graph.x):
            values = [
                pair_value(g, x_i, x_j, u=u)
                for j, x_j in enumerate(graph.x)
                if self_pairs or i != j
            ]
            empty = graph.x.new_zeros(0, g.out_channels)
            rows.append(reduce(torch.stack(values) if values else empty))
        sets.append(rows)
    return sets
