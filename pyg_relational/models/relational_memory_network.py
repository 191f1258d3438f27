from collections.abc import Sequence

from torch import Tensor
from torch_geometric.nn import MLP

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent import RelationalMemory, Unroll
from pyg_relational.nn.sequences import read_sequences
from pyg_relational.ops import to_dense


class RelationalMemoryNetwork(Composite):
    r"""A relational memory that reads a sequence and then answers, from `"Relational
    recurrent neural networks" <https://arxiv.org/abs/1806.01822>`_ (Santoro et al.,
    2018).

    .. math::
        \mathbf{M}_t = \mathrm{RelationalMemory}(\mathbf{x}_t, \mathbf{M}_{t-1}), \quad
        \mathbf{y} = f(\mathrm{vec}(\mathbf{M}_T))

    Args:
        in_channels (int): The width of a step.
        out_channels (int): The width of the answer.
        slots (int): The number of memory slots. (default: :obj:`8`)
        heads (int): The number of attention heads. (default: :obj:`8`)
        head_channels (int): The width of a head; a slot is as wide as all heads.
            (default: :obj:`32`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(256, 256, 256, 256)`)
        num_blocks (int): The number of attention blocks a step.
            (default: :obj:`1`)
        gate (str): :obj:`"unit"`, :obj:`"memory"` or :obj:`"none"`.
            (default: :obj:`"unit"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** steps :math:`(S, F)`, sequence of each step :math:`(S)`
        - **output:** :math:`(B, F_{out})`

    Raises:
        ValueError: If a sequence has no step, or widths or values do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        slots: int = 8,
        heads: int = 8,
        head_channels: int = 32,
        readout_channels: Sequence[int] = (256, 256, 256, 256),
        num_blocks: int = 1,
        gate: str = "unit",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        memory = RelationalMemory(
            in_channels, slots, heads, head_channels, num_blocks, gate=gate
        )
        self.unroll = Unroll(memory)
        channels = [slots * heads * head_channels, *readout_channels, out_channels]
        self.head = MLP(channels, norm=None, dropout=dropout)

    def forward(
        self, x: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): The steps of all sequences, in time order.
            batch (torch.Tensor, optional): The sequence of each step, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of sequences.
                (default: :obj:`None`)
        """
        sequences = read_sequences(x, batch=batch, batch_size=batch_size)
        # [S, F] -> [B, T, F]
        steps, mask = to_dense(x, ptr=sequences.ptr)
        _, memory = self.unroll(steps, mask=mask)
        return self.head(memory.flatten(1))
