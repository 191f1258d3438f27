import torch
from torch import Tensor
from torch.nn import GRUCell, LSTMCell, Module
from torch_geometric.typing import Adj

from pyg_relational.nn.conv import RelationConv
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent.state import check_relation, check_rows, check_tensor


class RelationLSTMCell(Module):
    r"""One recurrent update of all objects: messages from all pairs of states, or from
    those of given edges, then a long short-term memory.

    .. math::
        \mathbf{m}_i &= \bigoplus_{j \in \mathcal{N}(i)}
        g(\mathbf{h}_i, \mathbf{h}_j, \mathbf{e}_{j,i}, \mathbf{u}) \\
        (\mathbf{h}^{\prime}_i, \mathbf{c}^{\prime}_i) &= \mathrm{LSTM}(\mathbf{x}_i
        \, \Vert \, \mathbf{m}_i, (\mathbf{h}_i, \mathbf{c}_i))

    It is the recurrent step of `"Recurrent Relational Networks"
    <https://arxiv.org/abs/1711.08028>`_ (Palm et al., 2018), with the update of
    :class:`torch.nn.LSTMCell`. Messages read states :math:`\mathbf{h}` alone: from a
    state of zeros, all messages of the first step are equal and nothing is known of the
    others before the second. Start from a state that knows the inputs where that
    matters.

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
        - **input:** inputs :math:`(N, F)`, states :math:`((N, H), (N, H))`; edges
          :math:`(2, E)`, edge features :math:`(E, D)`, shared features
          :math:`(B, U)`, graph of each object :math:`(N)`
        - **output:** states :math:`((N, H), (N, H))`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, or inputs or
            states are not finite.
        TypeError: If the state is no pair of tensors.
    """

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
        self.cell = LSTMCell(in_channels + nn.out_channels, hidden_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.conv.reset_parameters()
        self.cell.reset_parameters()

    def initial_state(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns the states :math:`(\mathbf{h}, \mathbf{c})` before the first step,
        zeros for each row of :obj:`x`."""
        zeros = x.new_zeros(x.size(0), self.hidden_channels)
        return zeros, zeros

    def forward(
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor] | None = None,
        edge_index: Adj | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        r"""Runs one step; :obj:`edge_index=None` means all pairs.

        Args:
            x (torch.Tensor): The input of each object.
            state (tuple of torch.Tensor, optional): The states
                :math:`(\mathbf{h}, \mathbf{c})` of each object; zeros by default.
                (default: :obj:`None`)
            edge_index (torch.Tensor or SparseTensor, optional): The pairs.
                (default: :obj:`None`)
            edge_attr (torch.Tensor, optional): What each edge is like.
                (default: :obj:`None`)
            u (torch.Tensor, optional): What all pairs of a graph share.
                (default: :obj:`None`)
            batch (torch.Tensor, optional): The graph of each object, ascending; one
                graph by default. (default: :obj:`None`)
            batch_size (int, optional): The number of graphs. (default: :obj:`None`)
        """
        check_rows(x, self.in_channels, self.cell.weight_ih)
        if state is None:
            state = self.initial_state(x)
        if not isinstance(state, tuple) or len(state) != 2:
            raise TypeError(
                f"'state' must be a pair of tensors (h, c) (got "
                f"{type(state).__name__}); pass on what the cell returned"
            )
        shape = (x.size(0), self.hidden_channels)
        for part, name in zip(state, ("state[0]", "state[1]"), strict=True):
            check_tensor(part, shape, name, self.cell.weight_hh)
        m = self.conv(state[0], edge_index, edge_attr, u, batch, batch_size)
        return self.cell(torch.cat([x, m], dim=-1), state)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"nn={self.conv.nn})"
        )


class RelationGRUCell(Module):
    r"""One recurrent update of all objects: messages from all pairs of states, or from
    those of given edges, then a gated recurrent unit.

    .. math::
        \mathbf{m}_i &= \bigoplus_{j \in \mathcal{N}(i)}
        g(\mathbf{h}_i, \mathbf{h}_j, \mathbf{e}_{j,i}, \mathbf{u}) \\
        \mathbf{h}^{\prime}_i &= \mathrm{GRU}(\mathbf{x}_i \, \Vert \, \mathbf{m}_i,
        \mathbf{h}_i)

    It is the recurrent step of `"Recurrent Relational Networks"
    <https://arxiv.org/abs/1711.08028>`_ (Palm et al., 2018), with the update of
    :class:`torch.nn.GRUCell`. Messages read states alone: from a state of zeros, all
    messages of the first step are equal and nothing is known of the others before the
    second. Start from a state that knows the inputs where that matters.

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
        - **input:** inputs :math:`(N, F)`, states :math:`(N, H)`; edges
          :math:`(2, E)`, edge features :math:`(E, D)`, shared features
          :math:`(B, U)`, graph of each object :math:`(N)`
        - **output:** states :math:`(N, H)`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, or inputs or
            states are not finite.
        TypeError: If the state is no tensor.
    """

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
        self.cell = GRUCell(in_channels + nn.out_channels, hidden_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.conv.reset_parameters()
        self.cell.reset_parameters()

    def initial_state(self, x: Tensor) -> Tensor:
        r"""Returns the state before the first step, zeros for each row of
        :obj:`x`."""
        return x.new_zeros(x.size(0), self.hidden_channels)

    def forward(
        self,
        x: Tensor,
        state: Tensor | None = None,
        edge_index: Adj | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs one step; :obj:`edge_index=None` means all pairs.

        Args:
            x (torch.Tensor): The input of each object.
            state (torch.Tensor, optional): The state of each object; zeros by default.
                (default: :obj:`None`)
            edge_index (torch.Tensor or SparseTensor, optional): The pairs.
                (default: :obj:`None`)
            edge_attr (torch.Tensor, optional): What each edge is like.
                (default: :obj:`None`)
            u (torch.Tensor, optional): What all pairs of a graph share.
                (default: :obj:`None`)
            batch (torch.Tensor, optional): The graph of each object, ascending; one
                graph by default. (default: :obj:`None`)
            batch_size (int, optional): The number of graphs. (default: :obj:`None`)
        """
        check_rows(x, self.in_channels, self.cell.weight_ih)
        if state is None:
            state = self.initial_state(x)
        shape = (x.size(0), self.hidden_channels)
        check_tensor(state, shape, "state", self.cell.weight_hh)
        m = self.conv(state, edge_index, edge_attr, u, batch, batch_size)
        return self.cell(torch.cat([x, m], dim=-1), state)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"nn={self.conv.nn})"
        )
