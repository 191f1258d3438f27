from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch_geometric.nn import MLP

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent import RelationalSequenceEncoder


class R2N2(Composite):
    r"""A relational recurrent network: a recurrent net reads the steps, a relation
    network reasons over its states, over the entities of a sample, or both.

    .. math::
        \mathbf{y} = f \Big( \mathrm{readout} \Big( \Big[ \mathbf{h}_t, \max_{t'}
        g(\mathbf{h}_t, \mathbf{h}_{t'}) \Big] \Big) \Big), \quad
        \mathbf{h}_t = \mathrm{cell}(\mathbf{x}_t, \mathbf{h}_{t-1})

    It is one composition for the whole family: :attr:`backbone` is a
    :class:`~pyg_relational.nn.recurrent.RelationalSequenceEncoder`, :attr:`head` the
    MLP :math:`f`, and each can be replaced, trained or frozen by itself. Arguments that
    are not listed are those of the encoder.

    Args:
        in_channels (int): As for the encoder.
        out_channels (int): The width of the answer: classes or values.
        hidden_channels (int): As for the encoder. (default: :obj:`128`)
        relation_channels (list of int): As for the encoder.
            (default: :obj:`(128, 128)`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(128,)`)
        horizon (int, optional): Forecast this many further steps of
            :obj:`out_channels` values each. (default: :obj:`None`)
        act (str): The activation of :math:`g` and :math:`f`.
            (default: :obj:`"relu"`)
        dropout (float): As for the encoder, and in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** steps :math:`(S, F)` or tokens :math:`(S)`, lengths :math:`(E)`,
          sample of each step :math:`(S)`, questions :math:`(B, U)`
        - **output:** :math:`(B, F_{out})`, or :math:`(E, F_{out})` with
          :obj:`output="node"`; with :obj:`horizon` :math:`K`, :math:`(*, K, F_{out})`

    Raises:
        ValueError: As of the encoder, or if :obj:`horizon` is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        relation_channels: Sequence[int] = (128, 128),
        readout_channels: Sequence[int] = (128,),
        relation: str = "steps",
        aggr: str = "max",
        readout: str = "last",
        output: str = "set",
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = False,
        num_tokens: int | None = None,
        embedding_std: float = 1.0,
        u_dim: int | None = None,
        horizon: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if horizon is not None and horizon < 1:
            raise ValueError(f"'horizon' must be at least 1 step (got {horizon})")
        self.horizon = horizon
        self.backbone = RelationalSequenceEncoder(
            in_channels,
            hidden_channels,
            relation_channels,
            relation,
            aggr,
            readout,
            output,
            cell,
            num_layers,
            bidirectional,
            num_tokens,
            embedding_std,
            u_dim,
            act,
            dropout,
        )
        width = out_channels * (horizon or 1)
        channels = [self.backbone.out_channels, *readout_channels, width]
        self.head = MLP(channels, act=act, norm=None, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        length: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass; arguments as for
        :class:`~pyg_relational.nn.recurrent.RelationalSequenceEncoder`."""
        h = self.backbone(x, length, u, batch, batch_size, return_attention_weights)
        h, weights = h if return_attention_weights else (h, None)
        out = self.head(h)
        if self.horizon is not None:
            # [*, K * C] -> [*, K, C]
            out = out.unflatten(-1, (self.horizon, -1))
        return (out, weights) if return_attention_weights else out


class TemporalRelationNetwork(R2N2):
    r"""An LSTM whose states are weighed against each other by a softmax over time.

    .. math::
        \mathbf{y} = f \Big( \sum_t \alpha_t \mathbf{h}_t \Big), \quad
        \alpha_t = \mathrm{softmax}_t \big( \mathbf{w}^{\top} \tanh(\mathbf{W}
        \mathbf{h}_t + \mathbf{b}) \big)

    It is :class:`R2N2` without pairs: time steps are related by attention alone. Its
    arguments are those of :class:`R2N2`.

    Shapes:
        - as for :class:`R2N2`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        readout_channels: Sequence[int] = (128,),
        num_layers: int = 1,
        bidirectional: bool = False,
        num_tokens: int | None = None,
        embedding_std: float = 1.0,
        u_dim: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            hidden_channels,
            readout_channels=readout_channels,
            relation="none",
            readout="attention",
            num_layers=num_layers,
            bidirectional=bidirectional,
            num_tokens=num_tokens,
            embedding_std=embedding_std,
            u_dim=u_dim,
            act=act,
            dropout=dropout,
        )
