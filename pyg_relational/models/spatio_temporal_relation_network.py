from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import segment, subgraph

from pyg_relational._checks import check_name
from pyg_relational.nn.aggr import StepAttention
from pyg_relational.nn.checks import check_pairs
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.frames import Frames, PairReadout, check_num_frames, read_frames
from pyg_relational.nn.recurrent import SpaceTimeEncoder
from pyg_relational.nn.recurrent.state import State, map_state
from pyg_relational.ops import ptr_to_batch

OUTPUTS = ("set", "node", "pair", "forecast")
READOUTS = ("attention", "last")
# How small the first forecasts of a change are drawn.
CHANGE = 0.01


class SpatioTemporalRelationNetwork(Composite):
    r"""Relates the nodes that are present in each frame, carries a state for each node
    along the frames it is in, and answers for graphs, nodes, pairs, or what comes next.

    .. math::
        \mathbf{m}^{(t)}_i &= \sum_{j \in \mathcal{N}_t(i)} g(\mathbf{x}^{(t)}_i,
        \mathbf{x}^{(t)}_j, \mathbf{e}^{(t)}_{j,i}), \quad
        \mathbf{h}^{(t)}_i = \mathrm{GRU}(\mathbf{x}^{(t)}_i \, \Vert \,
        \mathbf{m}^{(t)}_i, \mathbf{h}^{(t^{\prime})}_i) \\
        \mathbf{s}_i &= \sum_t \alpha^{(t)}_i \mathbf{h}^{(t)}_i, \quad
        \alpha_i = \mathrm{softmax}_t \big( \mathbf{w}^{\top} \tanh(\mathbf{W}
        \mathbf{h}^{(t)}_i + \mathbf{b}) \big), \quad
        \mathbf{y} = f \Big( \sum_i \mathbf{s}_i \Big)

    :math:`\mathcal{N}_t(i)` are all nodes of the frame, or those that the edges of that
    frame lead from; :math:`t^{\prime}` is the last frame before :math:`t` that
    :math:`i` was in, so that the state of an absent node waits unchanged. Frames and
    graphs are computed together: the layers, not the frames, are a loop, except in
    :obj:`output="forecast"`, where each predicted frame is read to predict the next.

    Args:
        in_channels (int): The width of a node :math:`F`.
        out_channels (int): The width of an answer; of a forecast, how many of the
            first features are predicted.
        hidden_channels (int): The width of a state, in each direction.
            (default: :obj:`64`)
        relation_channels (list of int): The widths of the layers of :math:`g`; with
            none, nodes are not related. (default: :obj:`(64, 64)`)
        object_channels (list of int): The widths of the layers that read each node
            by itself before the relation. (default: :obj:`()`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(64,)`)
        num_layers (int): How often space and time alternate. (default: :obj:`1`)
        output (str): :obj:`"set"`, an answer for each graph; :obj:`"node"`, one for
            each node; :obj:`"pair"`, one for each of :obj:`edge_label_index`, see
            :class:`~pyg_relational.nn.PairReadout`; :obj:`"forecast"`, the next
            :obj:`horizon` frames of each node. (default: :obj:`"set"`)
        readout (str): How the frames of a node are summed up for graphs and nodes:
            :obj:`"attention"` or :obj:`"last"`, the last frame that it is in.
            (default: :obj:`"attention"`)
        horizon (int): How many frames a forecast holds. (default: :obj:`1`)
        motion_dim (int, optional): In a forecast, the features start with
            :obj:`motion_dim` positions and as many velocities (changes of the position
            a frame), and :math:`f` gives the change of the velocity, which then moves
            the position; by default :math:`f` gives the change of each predicted
            feature. Features that are not predicted stay as they were.
            (default: :obj:`None`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        aggr, self_pairs, cell: As for
            :class:`~pyg_relational.nn.recurrent.SpaceTimeLayer`.
        bidirectional (bool): Whether to read backwards too; not for a forecast.
            (default: :obj:`False`)
        act (str): The activation. (default: :obj:`"relu"`)
        dropout (float): Dropout between layers and in :math:`f`.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** nodes :math:`(N, T, F)`, presence :math:`(N, T)`, edges
          :math:`(2, E)`, their frames :math:`(E)` and features :math:`(E, D)`,
          questions :math:`(B, U)`, graph of each node :math:`(N)`
        - **output:** :math:`(B, F_{out})`, :math:`(N, F_{out})`, :math:`(P, F_{out})`
          or :math:`(N, K, F_{out})`. A node that is in no frame counts nothing and has
          a zero state; the forecast of a node that is not in the last frame repeats
          what it was when it was last seen

    Raises:
        ValueError: If a name is unknown, widths or shapes do not fit, features of
            present nodes are not finite, or an edge has a time at which one of its
            ends is absent.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 64,
        relation_channels: Sequence[int] = (64, 64),
        object_channels: Sequence[int] = (),
        readout_channels: Sequence[int] = (64,),
        num_layers: int = 1,
        output: str = "set",
        readout: str = "attention",
        horizon: int = 1,
        motion_dim: int | None = None,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        aggr: str = "sum",
        self_pairs: bool = True,
        cell: str = "gru",
        bidirectional: bool = False,
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_name("output", output, OUTPUTS)
        check_name("readout", readout, READOUTS)
        if horizon < 1:
            raise ValueError(f"'horizon' must be at least 1 frame (got {horizon})")
        self.output, self.horizon, self.motion_dim = output, horizon, motion_dim
        self.in_channels, self.out_channels = in_channels, out_channels
        width = out_channels
        if output == "forecast":
            width = self._check_forecast(bidirectional)
        self.backbone = SpaceTimeEncoder(
            in_channels,
            hidden_channels,
            relation_channels,
            object_channels,
            num_layers,
            edge_dim,
            u_dim,
            aggr,
            self_pairs,
            cell,
            bidirectional,
            act,
            dropout,
        )
        hidden = self.backbone.out_channels
        self.attention = None
        if output in ("set", "node") and readout == "attention":
            self.attention = StepAttention(hidden)
        self.head: nn.Module
        if output == "pair":
            self.head = PairReadout(
                hidden, out_channels, relation_channels, readout_channels, act, dropout
            )
        else:
            channels = [hidden, *readout_channels, width]
            self.head = MLP(channels, act=act, norm=None, dropout=dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        if self.output == "forecast":
            # A forecast starts where nothing, or no velocity, changes.
            with torch.no_grad():
                for parameter in self.head.lins[-1].parameters():  # type: ignore
                    parameter.mul_(CHANGE)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_time: Tensor | None = None,
        edge_attr: Tensor | None = None,
        edge_label_index: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        num_frames: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            x (torch.Tensor): The features of each node at each frame.
            mask (torch.Tensor, optional): Whether a node is present; always by
                default. (default: :obj:`None`)
            edge_index (torch.Tensor, optional): The pairs that are related; all that
                are present together by default. (default: :obj:`None`)
            edge_time (torch.Tensor, optional): The frame of each edge; every frame that
                both ends are in by default. (default: :obj:`None`)
            edge_label_index (torch.Tensor, optional): The pairs to judge with
                :obj:`output="pair"`. (default: :obj:`None`)
            num_frames (torch.Tensor, optional): The number of frames of each graph,
                :math:`[B]`; a forecast starts after them. As long as :obj:`x` by
                default. (default: :obj:`None`)
            return_attention_weights (bool, optional): If :obj:`True`, also returns the
                pairs (frame, node), :math:`[2, O]`, and their weights, :math:`[O]`;
                needs :obj:`readout="attention"` and an output for graphs or nodes.
                (default: :obj:`None`)
        """
        if return_attention_weights and self.attention is None:
            raise ValueError(
                "'return_attention_weights' needs attention over frames; build the "
                "model with readout='attention' and output='set' or 'node'"
            )
        frames = read_frames(
            x, mask, edge_index, edge_time, edge_attr, batch, batch_size
        )
        if u is not None and u.size(0) != frames.node_ptr.numel() - 1:
            raise ValueError(
                f"'u' must have one row for each of {frames.node_ptr.numel() - 1} "
                f"graphs (got {u.size(0)})"
            )
        h, states = self.backbone(x[frames.node, frames.time], frames, u)
        if self.output == "pair":
            if edge_label_index is None:
                raise ValueError(
                    "'edge_label_index' is missing: the pairs to judge, shape [2, P]"
                )
            check_pairs(edge_label_index, "edge_label_index", x, x.size(0))
            return self.head(h, frames, edge_label_index)
        if self.output == "forecast":
            check_num_frames(num_frames, x, frames.node_ptr.numel() - 1)
            return self._roll_out(x, frames, h, states, u, num_frames)
        s, alpha = self._read_out(h, frames)
        # Nodes that are in no frame have a state of zeros.
        nodes = s.new_zeros(x.size(0), s.size(1)).index_copy(0, frames.seen, s)
        if self.output == "set":
            nodes = segment(nodes, frames.node_ptr, "sum")
        out = self.head(nodes)
        if not return_attention_weights:
            return out
        return out, (torch.stack([frames.time, frames.node]), alpha)

    def _read_out(self, h: Tensor, frames: Frames) -> tuple[Tensor, Tensor | None]:
        if self.attention is None:
            sequence = self.backbone.layers[-1].sequence
            return sequence.last(h, frames.ptr), None  # type: ignore[union-attr,operator]
        s, (_, alpha) = self.attention(h, ptr=frames.ptr, return_attention_weights=True)
        return s, alpha

    def _roll_out(
        self,
        x: Tensor,
        frames: Frames,
        h: Tensor,
        states: list[State],
        u: Tensor | None,
        num_frames: Tensor | None,
    ) -> Tensor:
        """Predicts frame after frame for the nodes of the last one."""
        last = frames.ptr[1:] - 1
        # Which of the seen nodes are in the last frame of their graph.
        end = frames.time.new_full((frames.node_ptr.numel() - 1,), x.size(1))
        end = end if num_frames is None else num_frames
        staying = frames.time[last] == end[frames.graph[last]] - 1
        (kept,) = staying.nonzero(as_tuple=True)
        nodes, rows = frames.seen[kept], last[kept]
        now, h = x[nodes, frames.time[rows]], h[rows]
        frame = self._next_frame(x, frames, nodes, rows)
        states = [map_state(s, lambda part: part.index_select(1, kept)) for s in states]
        outputs = []
        for step in range(self.horizon):
            if step:
                h, states = self.backbone(now, frame, u, states)
            now = self._advance(now, self.head(h))
            outputs.append(now[:, : self.out_channels])
        # What was last seen of the others stays.
        seen = x[frames.seen, frames.time[last], : self.out_channels]
        out = x.new_zeros(x.size(0), self.out_channels).index_copy(0, frames.seen, seen)
        out = out.unsqueeze(1).repeat(1, self.horizon, 1)
        return out.index_copy(0, nodes, torch.stack(outputs, dim=1).to(out.dtype))

    def _next_frame(
        self, x: Tensor, frames: Frames, nodes: Tensor, rows: Tensor
    ) -> Frames:
        """The frame after the last: the same nodes, and the edges between them."""
        edge_index, edge_attr = frames.edge_index, frames.edge_attr
        if edge_index is not None:
            edge_index, edge_attr = subgraph(
                rows, edge_index, edge_attr, True, frames.node.numel()
            )
        batch = ptr_to_batch(frames.node_ptr, x.size(0))[nodes]
        return read_frames(
            x.new_empty(nodes.numel(), 1, 0),
            None,
            edge_index,
            None,
            edge_attr,
            batch,
            frames.node_ptr.numel() - 1,
        )

    def _advance(self, now: Tensor, change: Tensor) -> Tensor:
        """The features of the next frame."""
        d = self.motion_dim
        if d is None:
            moved = now[:, : self.out_channels] + change
            return torch.cat([moved, now[:, self.out_channels :]], dim=-1)
        velocity = now[:, d : 2 * d] + change
        return torch.cat([now[:, :d] + velocity, velocity, now[:, 2 * d :]], dim=-1)

    def _check_forecast(self, bidirectional: bool) -> int:
        """The width of what is predicted."""
        if bidirectional:
            raise ValueError(
                "'bidirectional' must be False with output='forecast': the future is "
                "not there to be read"
            )
        known = self.in_channels if self.motion_dim is None else 2 * self.motion_dim
        if self.out_channels > known or known > self.in_channels:
            raise ValueError(
                f"a forecast predicts the first of {self.in_channels} features (got "
                f"'out_channels={self.out_channels}', 'motion_dim={self.motion_dim}')"
            )
        return self.out_channels if self.motion_dim is None else self.motion_dim

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.backbone}, output={self.output})"
