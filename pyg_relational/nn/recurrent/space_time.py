from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.conv import RelationConv
from pyg_relational.nn.encoders import ObjectEncoder
from pyg_relational.nn.frames import Frames
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent.sequence_encoder import SequenceEncoder
from pyg_relational.nn.recurrent.state import State
from pyg_relational.ops import ptr_to_batch


class SpaceTimeLayer(Composite):
    r"""Relates the nodes of each frame to each other, then each node to its past.

    .. math::
        \mathbf{m}^{(t)}_i = \bigoplus_{j \in \mathcal{N}_t(i)} g(\mathbf{x}^{(t)}_i,
        \mathbf{x}^{(t)}_j, \mathbf{e}^{(t)}_{j,i}), \quad
        \mathbf{h}^{(t)}_i = \mathrm{cell}(\mathbf{x}^{(t)}_i \, \Vert \,
        \mathbf{m}^{(t)}_i, \mathbf{h}^{(t^{\prime})}_i)

    where :math:`\mathcal{N}_t(i)` are the nodes that are present in frame :math:`t`, or
    the edges of that frame, and :math:`t^{\prime}` is the last frame before :math:`t`
    that :math:`i` was in: the state of an absent node waits. All frames of all graphs
    are related at once, all nodes read their past side by side; layers are stacked.

    Args:
        in_channels (int): The width of a node.
        hidden_channels (int): The width of a state, in each direction.
        relation_channels (list of int): The widths of the layers of :math:`g`; with
            none, nodes only read their own past.
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        aggr (str): The reduction :math:`\bigoplus`. (default: :obj:`"sum"`)
        self_pairs (bool): Whether a node meets itself where all pairs are meant.
            (default: :obj:`True`)
        cell (str): :obj:`"rnn"`, :obj:`"gru"` or :obj:`"lstm"`.
            (default: :obj:`"gru"`)
        bidirectional (bool): Whether to read backwards too.
            (default: :obj:`False`)
        act (str): The activation of :math:`g`. (default: :obj:`"relu"`)

    Shapes:
        - **input:** rows :math:`(O, F)` of :class:`~pyg_relational.nn.frames.Frames`
        - **output:** states :math:`(O, H)`

    Raises:
        ValueError: If widths do not fit or features are not finite.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        relation_channels: Sequence[int],
        edge_dim: int | None = None,
        aggr: str = "sum",
        self_pairs: bool = True,
        cell: str = "gru",
        bidirectional: bool = False,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.conv, width = None, in_channels
        if relation_channels:
            g = PairwiseMLP(in_channels, relation_channels, edge_dim, act=act)
            self.conv = RelationConv(g, aggr, self_pairs)
            width += g.out_channels
        self.sequence = SequenceEncoder(
            width, hidden_channels, cell, bidirectional=bidirectional
        )
        self.out_channels = self.sequence.out_channels

    def forward(
        self, x: Tensor, frames: Frames, state: State | None = None
    ) -> tuple[Tensor, State]:
        r"""Returns the states of all rows, and those to continue from.

        Args:
            x (torch.Tensor): Rows, sorted by node, then by time.
            frames (Frames): What they are.
            state (torch.Tensor or tuple, optional): The states of all nodes in
                :obj:`frames.seen` before the first frame; zeros by default.
                (default: :obj:`None`)
        """
        rows = frames.node.numel()
        if x.dim() != 2 or x.size(0) != rows:
            raise ValueError(
                f"'x' must have a row for each of the {rows} rows of 'frames', shape "
                f"[{rows}, F] (got shape {list(x.shape)})"
            )
        if self.conv is not None:
            x = torch.cat([x, self._relate(x, frames).to(x.dtype)], dim=-1)
        return self.sequence.run(x, frames.ptr, state)

    def _relate(self, x: Tensor, frames: Frames) -> Tensor:
        assert self.conv is not None
        if frames.edge_index is not None:
            return self.conv(x, frames.edge_index, frames.edge_attr)
        order, ptr = frames.by_frame()
        batch = ptr_to_batch(ptr, x.size(0))
        m = self.conv(x[order], batch=batch, batch_size=ptr.numel() - 1)
        return torch.empty_like(m).index_copy(0, order, m)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(conv={self.conv}, {self.sequence})"


class SpaceTimeEncoder(Composite):
    r"""A stack of :class:`~pyg_relational.nn.recurrent.SpaceTimeLayer`: a state for
    each node and frame that has read the nodes around it and its past.

    .. math::
        \mathbf{H}_0 = \mathrm{MLP}(\mathbf{X} \, \Vert \, \mathbf{u}), \quad
        \mathbf{H}_l = \mathrm{layer}_l(\mathbf{H}_{l-1})

    Args:
        in_channels (int): The width of a node.
        hidden_channels (int): The width of a state, in each direction.
        relation_channels (list of int): The widths of the layers of each relation; with
            none, nodes only read their own past.
        object_channels (list of int): The widths of the layers that read each node
            by itself. (default: :obj:`()`)
        num_layers (int): The number of layers. (default: :obj:`1`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        aggr, self_pairs, cell, bidirectional, act: As for :class:`SpaceTimeLayer`.
        dropout (float): Dropout of what each layer after the first reads.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** rows :math:`(O, F)` of :class:`~pyg_relational.nn.frames.Frames`,
          questions :math:`(B, U)`
        - **output:** states :math:`(O, H)`

    Raises:
        ValueError: If widths do not fit or features are not finite.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        relation_channels: Sequence[int],
        object_channels: Sequence[int] = (),
        num_layers: int = 1,
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
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        self.encoder = ObjectEncoder(in_channels, object_channels, u_dim, act)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList()
        width = self.encoder.out_channels
        for _ in range(num_layers):
            layer = SpaceTimeLayer(
                width,
                hidden_channels,
                relation_channels,
                edge_dim,
                aggr,
                self_pairs,
                cell,
                bidirectional,
                act,
            )
            self.layers.append(layer)
            width = layer.out_channels
        self.out_channels = width

    def forward(
        self,
        x: Tensor,
        frames: Frames,
        u: Tensor | None = None,
        states: Sequence[State] | None = None,
    ) -> tuple[Tensor, list[State]]:
        r"""Returns the states of all rows, and those of each layer to continue from.

        Args:
            x (torch.Tensor): Rows, sorted by node, then by time.
            frames (Frames): What they are.
            u (torch.Tensor, optional): One row per graph. (default: :obj:`None`)
            states (list, optional): What this returned for the frames before, of all
                nodes in :obj:`frames.seen`; zeros by default.
                (default: :obj:`None`)
        """
        graphs = frames.node_ptr.numel() - 1
        h, *_ = self.encoder(x, u=u, batch=frames.graph, batch_size=graphs)
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            before = None if states is None else states[number]
            h = self.dropout(h) if number else h
            h, state = layer(h, frames, before)
            after.append(state)
        return h, after

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.encoder.in_channels}, "
            f"{self.out_channels}, num_layers={len(self.layers)})"
        )
