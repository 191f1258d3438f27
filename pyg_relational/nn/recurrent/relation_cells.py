"""Recurrent cells whose objects hear each other."""

import torch
from torch import Tensor
from torch.nn import GRUCell, LSTMCell
from torch_geometric.typing import Adj

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.conv import RelationConv
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent.state import (
    State,
    check_relation,
    check_rows,
    check_tensor,
)


class RelationCell(Composite):
    r"""One recurrent update of all objects: messages from all pairs of states, or from
    those of given edges, then a cell of :mod:`torch.nn`.

    .. math::
        \mathbf{m}_i = \bigoplus_{j \in \mathcal{N}(i)}
        g(\mathbf{h}_i, \mathbf{h}_j, \mathbf{e}_{j,i}, \mathbf{u})

    It is the recurrent step of `"Recurrent Relational Networks"
    <https://arxiv.org/abs/1711.08028>`_ (Palm et al., 2018). Messages read states
    :math:`\mathbf{h}` alone: from a state of zeros, all messages of the first step are
    equal and nothing is known of the others before the second. Start from a state that
    knows the inputs where that matters.

    Args:
        in_channels (int): The width of an input.
        hidden_channels (int): The width of a state.
        nn (PairwiseMLP): The relation :math:`g` of two states.
        aggr (str): How messages are combined: :obj:`"sum"`, :obj:`"mean"`,
            :obj:`"max"` or :obj:`"min"`. (default: :obj:`"sum"`)
        self_pairs (bool): Whether an object meets itself when all pairs are meant.
            (default: :obj:`True`)
        method (str): How all pairs are computed, see
            :class:`~pyg_relational.nn.RelationConv`. (default: :obj:`"auto"`)

    Shapes:
        - **input:** inputs :math:`(N, F)`, states :math:`(N, H)`, two of them for an
          LSTM, and :class:`~pyg_relational.nn.Sets`
        - **output:** states as they came

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, or inputs or
            states are not finite.
        TypeError: If the state is no tensor, or for an LSTM no pair of tensors.
    """

    # The cell of torch.nn that updates a state.
    _update: type[GRUCell] | type[LSTMCell]

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        nn: PairwiseMLP,
        aggr: str = "sum",
        self_pairs: bool = True,
        method: str = "auto",
    ) -> None:
        super().__init__()
        check_relation(nn, hidden_channels)
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.conv = RelationConv(nn, aggr, self_pairs, method)
        self.cell = self._update(in_channels + nn.out_channels, hidden_channels)
        self.reset_parameters()

    def initial_state(self, x: Tensor) -> State:
        r"""Returns the state before the first step, zeros for each row of
        :obj:`x`."""
        zeros = x.new_zeros(x.size(0), self.hidden_channels)
        return (zeros, zeros) if self._update is LSTMCell else zeros

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        edge_index: Adj | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> State:
        r"""Runs one step; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            x (torch.Tensor): The input of each object.
            state (torch.Tensor or tuple, optional): The state of each object, for an
                LSTM :math:`(\mathbf{h}, \mathbf{c})`; zeros by default.
                (default: :obj:`None`)
        """
        check_rows(x, self.in_channels, self.cell.weight_ih)
        if state is None:
            state = self.initial_state(x)
        self._check_state(x, state)
        h = state[0] if isinstance(state, tuple) else state
        m = self.conv(h, edge_index, edge_attr, u, batch, batch_size)
        return self.cell(torch.cat([x, m], dim=-1), state)

    def _check_state(self, x: Tensor, state: State) -> None:
        shape, like = (x.size(0), self.hidden_channels), self.cell.weight_hh
        if self._update is GRUCell:
            parts = {"state": state}
        elif isinstance(state, tuple) and len(state) == 2:
            parts = {"state[0]": state[0], "state[1]": state[1]}
        else:
            raise TypeError(
                f"'state' must be a pair of tensors (h, c) (got "
                f"{type(state).__name__}); pass on what the cell returned"
            )
        for name, part in parts.items():
            check_tensor(part, shape, name, like)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"nn={self.conv.nn})"
        )


class RelationLSTMCell(RelationCell):
    r"""A :class:`RelationCell` with the update of :class:`torch.nn.LSTMCell`; arguments
    and shapes are those of the former.

    .. math::
        (\mathbf{h}^{\prime}_i, \mathbf{c}^{\prime}_i) = \mathrm{LSTM}(\mathbf{x}_i
        \, \Vert \, \mathbf{m}_i, (\mathbf{h}_i, \mathbf{c}_i))
    """

    _update = LSTMCell


class RelationGRUCell(RelationCell):
    r"""A :class:`RelationCell` with the update of :class:`torch.nn.GRUCell`; arguments
    and shapes are those of the former.

    .. math::
        \mathbf{h}^{\prime}_i = \mathrm{GRU}(\mathbf{x}_i \, \Vert \, \mathbf{m}_i,
        \mathbf{h}_i)
    """

    _update = GRUCell
