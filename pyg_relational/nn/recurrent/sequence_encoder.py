from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.utils import segment

from pyg_relational._checks import check_name
from pyg_relational.nn.aggr.step_attention import StepAttention
from pyg_relational.nn.checks import check_features, check_optional, check_tokens
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent.state import State, map_state
from pyg_relational.nn.sequences import Sequences, packed_order, read_sequences
from pyg_relational.nn.sets import check_questions

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class SequenceEncoder(Composite):
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
        check_name("cell", cell, CELLS)
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


RELATIONS = ("steps", "entities", "both", "none")
READOUTS = ("last", "attention")
OUTPUTS = ("set", "node")


class RelationalSequenceEncoder(nn.Module):
    r"""A recurrent network whose states are related to each other: a vector for each
    sequence, or for each sample of sequences.

    .. math::
        \mathbf{z}_t = \Big[ \mathbf{h}_t, \bigoplus_{t'} g(\mathbf{h}_t,
        \mathbf{h}_{t'}) \Big], \quad
        \mathbf{s}_e = \mathrm{readout}_t(\mathbf{z}_t), \quad
        \mathbf{z}_e = \Big[ \mathbf{s}_e, \bigoplus_{e'} g'(\mathbf{s}_e,
        \mathbf{s}_{e'}) \Big]

    where :math:`\mathbf{h}_t` are the states of a recurrent network, :math:`t'` runs
    over the steps of the same sequence and :math:`e'` over the sequences (entities) of
    the same sample. Only what the readout reads is computed: the last step is related
    to :math:`T` steps, not :math:`T^2` pairs.

    Args:
        in_channels (int): The width of a step; of a token's embedding with
            :obj:`num_tokens`.
        hidden_channels (int): The width of a state, in each direction.
        relation_channels (list of int): The widths of the layers of :math:`g` and
            :math:`g'`. (default: :obj:`(128, 128)`)
        relation (str): What is related: :obj:`"steps"`, :obj:`"entities"`,
            :obj:`"both"` or :obj:`"none"`. (default: :obj:`"steps"`)
        aggr (str): The reduction :math:`\bigoplus`: :obj:`"max"`, :obj:`"sum"`,
            :obj:`"mean"` or :obj:`"min"`. (default: :obj:`"max"`)
        readout (str): :obj:`"last"` (of each direction, the state that has read the
            whole sequence) or :obj:`"attention"` (softmax attention over steps).
            (default: :obj:`"last"`)
        output (str): :obj:`"set"`, a vector for each sample, the mean over its
            entities, or :obj:`"node"`, one for every entity. (default: :obj:`"set"`)
        cell (str): :obj:`"rnn"`, :obj:`"gru"` or :obj:`"lstm"`.
            (default: :obj:`"lstm"`)
        num_layers (int): The number of recurrent layers. (default: :obj:`1`)
        bidirectional (bool): Whether to read backwards too.
            (default: :obj:`False`)
        num_tokens (int, optional): Steps are token ids below this number, and are
            embedded. (default: :obj:`None`)
        embedding_std (float): The standard deviation that embeddings are drawn with;
            small ones let rare words say little. (default: :obj:`1.0`)
        u_dim (int, optional): The width of a question, which every step of its sample
            is read with. (default: :obj:`None`)
        act (str): The activation of the relations. (default: :obj:`"relu"`)
        dropout (float): Dropout of what the recurrent network reads, embeddings or
            features, and between its layers. (default: :obj:`0.0`)

    Shapes:
        - **input:** steps :math:`(S, F)` or tokens :math:`(S)`, lengths :math:`(E)`,
          sample of each step :math:`(S)`, questions :math:`(B, U)`
        - **output:** :math:`(B, C)` or :math:`(E, C)`; zero for a sample without
          entities

    Raises:
        ValueError: If a name is unknown, a sequence has no step, lengths do not fit
            the steps, tokens are unknown or features are not finite.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        relation_channels: Sequence[int] = (128, 128),
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
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_name("relation", relation, RELATIONS)
        check_name("readout", readout, READOUTS)
        check_name("output", output, OUTPUTS)
        self.u_dim, self.aggr, self.output = u_dim, aggr, output
        self.embedding_std = embedding_std
        self.embedding = None
        if num_tokens is not None:
            self.embedding = nn.Embedding(num_tokens, in_channels)
            nn.init.normal_(self.embedding.weight, std=embedding_std)
        self.dropout = nn.Dropout(dropout)
        self.sequence = SequenceEncoder(
            in_channels + (u_dim or 0),
            hidden_channels,
            cell,
            num_layers,
            bidirectional,
            dropout,
        )
        width = self.sequence.out_channels
        self.steps = self.entities = self.attention = None
        if relation in ("steps", "both"):
            self.steps = PairwiseMLP(width, relation_channels, act=act)
            width += relation_channels[-1]
        if readout == "attention":
            self.attention = StepAttention(width)
        if relation in ("entities", "both"):
            self.entities = PairwiseMLP(width, relation_channels, act=act)
            width += relation_channels[-1]
        self.out_channels = width

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=self.embedding_std)
        for part in (self.sequence, self.steps, self.attention, self.entities):
            if part is not None:
                part.reset_parameters()

    def forward(
        self,
        x: Tensor,
        length: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): The steps of all sequences, in time order.
            length (torch.Tensor, optional): The number of steps of each sequence; by
                default each sample is one sequence. (default: :obj:`None`)
            u (torch.Tensor, optional): One row per sample. (default: :obj:`None`)
            batch (torch.Tensor, optional): The sample of each step, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of samples. (default: :obj:`None`)
            return_attention_weights (bool, optional): If :obj:`True`, also returns
                the pairs (step, sequence) and their weights; needs
                :obj:`readout="attention"`. (default: :obj:`None`)
        """
        if return_attention_weights and self.attention is None:
            raise ValueError(
                "'return_attention_weights' needs attention over steps; build the "
                "model with readout='attention'"
            )
        sequences = read_sequences(x, length, batch, batch_size)
        self._check_question(x, u)
        h = self._embed(x)
        if u is not None:
            check_questions(u, None, sequences.sample_ptr.numel() - 1)
            # The steps of a sample are one run of rows.
            steps = sequences.ptr[sequences.sample_ptr].diff()
            h = torch.cat([h, u.repeat_interleave(steps, dim=0)], dim=-1)
        h = self.sequence(h, sequences.ptr)
        weights = None
        if self.attention is None:
            h = self.relate_last(h, sequences)
        else:
            h = self._relate(self.steps, h, h, sequences.ptr, sequences.ptr)
            h, weights = self.attention(
                h, ptr=sequences.ptr, return_attention_weights=True
            )
        ptr = sequences.sample_ptr
        h = self._relate(self.entities, h, h, ptr, ptr)
        if self.output == "set":
            h = segment(h, ptr, "mean")
        return (h, weights) if return_attention_weights else h

    def _check_question(self, x: Tensor, u: Tensor | None) -> None:
        like = self.sequence.rnn.weight_ih_l0
        check_optional(u, self.u_dim, "u", "u_dim", like)
        if u is not None and self.embedding is None:
            width = self.sequence.in_channels - u.size(1)
            check_features(x, width, "x", like)

    def _embed(self, x: Tensor) -> Tensor:
        if self.embedding is not None:
            check_tokens(x, self.embedding.weight, "x")
            x = self.embedding(x)
        return self.dropout(x)

    def relate_last(self, h: Tensor, sequences: Sequences) -> Tensor:
        r"""Relates the last step of each sequence to all of its steps, the only row
        that is read: :math:`O(T)` pairs, not :math:`O(T^2)`.

        Args:
            h (torch.Tensor): States, :math:`[S, H]`.
            sequences (Sequences): Whose they are.
        """
        last = self.sequence.last(h, sequences.ptr)
        one_each = torch.arange(sequences.ptr.numel(), device=h.device)
        return self._relate(self.steps, last, h, one_each, sequences.ptr)

    def _relate(
        self,
        relation: PairwiseMLP | None,
        target: Tensor,
        source: Tensor,
        target_ptr: Tensor,
        source_ptr: Tensor,
    ) -> Tensor:
        if relation is None:
            return target
        related = relation.reduce(
            *relation.project(target, source),
            target_ptr,
            source_ptr,
            reduce=self.aggr,
        )
        return torch.cat([target, related.to(target.dtype)], dim=-1)

    def __repr__(self) -> str:
        steps, entities = self.steps is not None, self.entities is not None
        return (
            f"{self.__class__.__name__}({self.sequence.in_channels}, "
            f"{self.out_channels}, cell={self.sequence.cell}, steps={steps}, "
            f"entities={entities}, output={self.output})"
        )
