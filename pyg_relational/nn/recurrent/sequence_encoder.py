import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pyg_relational.nn.checks import check_features
from pyg_relational.nn.recurrent.state import State, map_state
from pyg_relational.nn.sequences import packed_order
from pyg_relational.ops.checks import check_choice

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class SequenceEncoder(nn.Module):
    r"""A recurrent network over ragged sequences: a state for each step.

    .. math::
        \overrightarrow{\mathbf{h}}_t = \mathrm{cell}(\mathbf{x}_t,
        \overrightarrow{\mathbf{h}}_{t-1}), \quad
        \overleftarrow{\mathbf{h}}_t = \mathrm{cell}(\mathbf{x}_t,
        \overleftarrow{\mathbf{h}}_{t+1}), \quad
        \mathbf{h}_t = [\overrightarrow{\mathbf{h}}_t, \overleftarrow{\mathbf{h}}_t]

    Each sequence is read for exactly as many steps as it has: what else is in the
    batch does not change its states.

    Args:
        in_channels (int): The width of a step.
        hidden_channels (int): The width of a state, in each direction.
        cell (str): :obj:`"rnn"` (tanh), :obj:`"gru"` or :obj:`"lstm"`.
            (default: :obj:`"lstm"`)
        num_layers (int): The number of layers. (default: :obj:`1`)
        bidirectional (bool): Whether to read backwards too.
            (default: :obj:`False`)
        dropout (float): Dropout between layers. (default: :obj:`0.0`)

    Shapes:
        - **input:** steps :math:`(S, F)`, boundaries of the sequences :math:`(E + 1)`
        - **output:** states :math:`(S, H)`, or :math:`(S, 2 H)` if bidirectional

    Raises:
        ValueError: If the cell is unknown, or widths or values do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice(cell, CELLS, "cell")
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.cell, self.bidirectional = cell, bidirectional
        self.rnn = CELLS[cell](
            in_channels,
            hidden_channels,
            num_layers,
            batch_first=True,
            # Torch warns about dropout that has no layer to follow.
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
        )
        self.out_channels = hidden_channels * (2 if bidirectional else 1)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.rnn.reset_parameters()

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Steps, one sequence after the other.
            ptr (torch.Tensor): Boundaries of the sequences.
        """
        return self.run(x, ptr)[0]

    def run(
        self, x: Tensor, ptr: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        r"""Reads sequences from a state, and returns the states of all steps and the
        one to continue from.

        Args:
            x (torch.Tensor): Steps, one sequence after the other.
            ptr (torch.Tensor): Boundaries of the sequences.
            state (torch.Tensor or tuple, optional): What :meth:`run` returned for the
                same sequences before, :math:`[L, E, H]` (two of them for an LSTM);
                zeros by default. (default: :obj:`None`)
        """
        check_features(x, self.in_channels, "x", self.rnn.weight_ih_l0)
        length = ptr.diff()
        if x.size(0) == 0:
            state = self._zeros(x, ptr) if state is None else state
            return x.new_zeros(0, self.out_channels), state
        if bool((length == length[0]).all()):
            # [E * T, F] -> [E, T, F]
            out, last = self.rnn(x.view(length.numel(), -1, self.in_channels), state)
            return out.flatten(0, 1), last
        order, alive = packed_order(ptr)
        rank = length.argsort(descending=True, stable=True)
        if state is not None:
            state = map_state(state, lambda part: part.index_select(1, rank))
        out, last = self.rnn(PackedSequence(x.index_select(0, order), alive), state)
        place = rank.argsort()
        last = map_state(last, lambda part: part.index_select(1, place))
        return out.data.index_select(0, order.argsort()), last

    def _zeros(self, x: Tensor, ptr: Tensor) -> State:
        layers = self.rnn.num_layers * (2 if self.bidirectional else 1)
        zeros = x.new_zeros(layers, ptr.numel() - 1, self.hidden_channels)
        return (zeros, zeros) if self.cell == "lstm" else zeros

    def last(self, h: Tensor, ptr: Tensor) -> Tensor:
        r"""Picks, of each sequence and direction, the state that has read all of it.

        Args:
            h (torch.Tensor): States, as :meth:`forward` gives them.
            ptr (torch.Tensor): Boundaries of the sequences.

        Returns:
            torch.Tensor: The forward state of the last step beside the backward state
            of the first, :math:`[E, H_{out}]`.
        """
        forward = h.index_select(0, ptr[1:] - 1)
        if not self.bidirectional:
            return forward
        backward = h.index_select(0, ptr[:-1])
        width = self.hidden_channels
        return torch.cat([forward[:, :width], backward[:, width:]], dim=-1)
