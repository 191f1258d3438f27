"""What people write otherwise: one graph after the other, one frame after the other."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyg_relational.data import TemporalGraph
from pyg_relational.models import SpatioTemporalRelationNetwork


class FrameLoop(nn.Module):
    r"""Computes what a spatio-temporal relation network computes, with its weights, in
    a loop over the frames of a graph.

    A frame is a relation among the nodes that are in it, then one step of the recurrent
    cell for each of them; the readout is that of the model.

    Args:
        model (SpatioTemporalRelationNetwork): A model of one layer of GRUs with a
            readout by attention, which relates by a sum.
        textbook (bool): Whether pairs are related as in a textbook, both ends beside
            each other through an MLP and the messages summed, in place of the model's
            own layer. (default: :obj:`False`)
    """

    def __init__(
        self, model: SpatioTemporalRelationNetwork, textbook: bool = False
    ) -> None:
        super().__init__()
        self.model, self.textbook = model, textbook

    def forward(self, graph: TemporalGraph) -> Tensor:
        r"""Returns the answer for one graph, :math:`[1, C]`.

        Args:
            graph (TemporalGraph): Without edges, or with edges that have times.
        """
        layer: Any = self.model.backbone.layers[0]
        rnn = layer.sequence.rnn
        weights = (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0)
        x, mask = graph.x, graph.mask
        assert x is not None
        assert mask is not None
        state = x.new_zeros(x.size(0), rnn.hidden_size)
        outputs, nodes = [], []
        for time, edges in enumerate(_edges_by_frame(graph, x.size(1))):
            present = mask[:, time].nonzero().flatten()
            if not present.numel():
                continue
            now = x[present, time]
            read = torch.cat([now, self._messages(now, present, edges)], dim=-1)
            h = torch.gru_cell(read, state[present], *weights)
            state = state.index_copy(0, present, h)
            outputs.append(h)
            nodes.append(present)
        owner, order = torch.cat(nodes).sort(stable=True)
        states = torch.cat(outputs)[order]
        assert self.model.attention is not None
        read_out = self.model.attention(states, index=owner, dim_size=x.size(0))
        return self.model.head(read_out.sum(dim=0, keepdim=True))

    def _messages(self, x: Tensor, present: Tensor, edges: Tensor | None) -> Tensor:
        if edges is not None:
            # Places among the nodes of the frame.
            edges = torch.searchsorted(present, edges)
        if not self.textbook:
            layer: Any = self.model.backbone.layers[0]
            return layer.conv(x, edges)
        if edges is None:
            size = x.size(0)
            # [n, F] -> [n, n, 2 * F]: every pair, the one who is told first
            target = x.unsqueeze(1).expand(-1, size, -1)
            source = x.unsqueeze(0).expand(size, -1, -1)
            return self._relate(torch.cat([target, source], dim=-1)).sum(dim=1)
        source, target = edges
        told = self._relate(torch.cat([x[target], x[source]], dim=-1))
        return told.new_zeros(x.size(0), told.size(1)).index_add(0, target, told)

    def _relate(self, pairs: Tensor) -> Tensor:
        layer: Any = self.model.backbone.layers[0]
        g = layer.conv.nn
        weight = torch.cat([g.lin_r.weight, g.lin_l.weight], dim=1)
        out = functional.linear(pairs, weight, g.lin_r.bias).relu()
        for lin in g.lins:
            out = lin(out).relu()
        return out


def _edges_by_frame(graph: TemporalGraph, frames: int) -> Sequence[Tensor | None]:
    if graph.edge_index is None:
        return [None] * frames
    time, order = graph.edge_time.sort(stable=True)
    counts = time.bincount(minlength=frames).tolist()
    parts = graph.edge_index[:, order].split(counts, dim=1)
    return [part.contiguous() for part in parts]
