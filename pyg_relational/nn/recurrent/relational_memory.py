import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MLP, Linear

from pyg_relational._checks import check_name
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent.state import check_rows, check_tensor

GATES = ("unit", "memory", "none")


class RelationalMemory(Composite):
    r"""The relational memory core from `"Relational recurrent neural networks"
    <https://arxiv.org/abs/1806.01822>`_ (Santoro et al., 2018), one step of it.

    A memory of slots, the rows of :math:`\mathbf{M}`, takes in one input at a time. All
    slots and the input attend to each other, then gates decide what is kept.

    .. math::
        \mathbf{z} &= \mathbf{W}_x \mathbf{x} + \mathbf{b}_x, \quad
        \tilde{\mathbf{M}} = \mathrm{Blocks}([\mathbf{M} ; \mathbf{z}])
        \text{ without its last row} \\
        (\mathbf{I}, \mathbf{F}) &= \mathbf{W}_z \mathbf{z} +
        \mathbf{W}_M \tanh(\mathbf{M}) + \mathbf{b} \\
        \mathbf{M}^{\prime} &= \sigma(\mathbf{I} + b_I) \tanh(\tilde{\mathbf{M}}) +
        \sigma(\mathbf{F} + b_F) \, \mathbf{M}

    Each block is

    .. math::
        (\mathbf{Q}, \mathbf{K}, \mathbf{V}) &= \mathrm{LN}(\mathbf{W} \mathbf{A} +
        \mathbf{b}) \\
        \mathbf{A}^{\prime} &= \mathrm{LN} \big( \mathbf{A} + \Vert_k \,
        \mathrm{softmax}( \mathbf{Q}_k \mathbf{K}_k^{\top} / \sqrt{C}) \mathbf{V}_k
        \big), \quad
        \mathbf{A}^{\prime\prime} = \mathrm{LN}(\mathbf{A}^{\prime} +
        \mathrm{MLP}(\mathbf{A}^{\prime}))

    It starts as the identity, padded with zeros or cut, so that no two slots are
    alike. The flat output that the paper reads is :obj:`state.flatten(1)`.

    The authors' code is followed where the paper leaves things open: one layer norm for
    the queries, keys and values of a row, gates that read the projected input. Scores
    are divided by :math:`\sqrt{C}` as in the paper (the code: :math:`\sqrt{3 C}`), each
    block has an MLP of its own (the code shares one) and the gates one bias (the code
    adds two).

    Args:
        in_channels (int): The width of an input.
        slots (int): The number of slots :math:`S`.
        heads (int): The number of heads.
        head_channels (int): The width of a head :math:`C`; a slot is as wide as all
            heads together, :math:`D`.
        num_blocks (int): The number of blocks a step. (default: :obj:`1`)
        mlp_layers (int): The number of layers of the MLP; all but the last have a ReLU.
            (default: :obj:`2`)
        gate (str): A gate for each :obj:`"unit"` of a slot, one for each slot
            (:obj:`"memory"`), or :obj:`"none"`, where :math:`\tilde{\mathbf{M}}` is the
            new memory. (default: :obj:`"unit"`)
        forget_bias (float): The constant :math:`b_F`. (default: :obj:`1.0`)
        input_bias (float): The constant :math:`b_I`. (default: :obj:`0.0`)

    Shapes:
        - **input:** inputs :math:`(B, F)`, memory :math:`(B, S, D)`
        - **output:** memory :math:`(B, S, D)`

    Raises:
        ValueError: If numbers are not positive, the gate is unknown, widths do not fit,
            or inputs or memory are not finite.
        TypeError: If the memory is no tensor.
    """

    def __init__(
        self,
        in_channels: int,
        slots: int,
        heads: int,
        head_channels: int,
        num_blocks: int = 1,
        mlp_layers: int = 2,
        gate: str = "unit",
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_name("gate", gate, GATES)
        numbers = {
            "in_channels": in_channels,
            "slots": slots,
            "heads": heads,
            "head_channels": head_channels,
            "num_blocks": num_blocks,
            "mlp_layers": mlp_layers,
        }
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {value})")
        self.in_channels, self.slots, self.gate = in_channels, slots, gate
        self.out_channels = heads * head_channels
        self.forget_bias, self.input_bias = forget_bias, input_bias
        self.lin_in = Linear(in_channels, self.out_channels)
        self.blocks = nn.ModuleList(
            MemoryBlock(heads, head_channels, mlp_layers) for _ in range(num_blocks)
        )
        self.lin_gate_in = self.lin_gate_memory = None
        if gate != "none":
            gates = 2 * (self.out_channels if gate == "unit" else 1)
            self.lin_gate_in = Linear(self.out_channels, gates)
            self.lin_gate_memory = Linear(self.out_channels, gates, bias=False)
        self.reset_parameters()

    def initial_state(self, x: Tensor) -> Tensor:
        r"""Returns the memory before the first step for each row of :obj:`x`: the
        identity, padded with zeros or cut to :math:`[S, D]`."""
        identity = torch.eye(
            self.slots, self.out_channels, dtype=x.dtype, device=x.device
        )
        return identity.expand(x.size(0), -1, -1)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        r"""Runs one step.

        Args:
            x (torch.Tensor): The inputs, shape :math:`[B, F]`.
            state (torch.Tensor, optional): The memories, shape :math:`[B, S, D]`; the
                initial ones by default. (default: :obj:`None`)
        """
        check_rows(x, self.in_channels, self.lin_in.weight)
        if state is None:
            state = self.initial_state(x)
        shape = (x.size(0), self.slots, self.out_channels)
        check_tensor(state, shape, "state", self.lin_in.weight)
        z = self.lin_in(x).unsqueeze(1)
        # [B, S, D] and [B, 1, D] -> [B, S + 1, D]
        memory = torch.cat([state, z], dim=1)
        for block in self.blocks:
            memory = block(memory)
        memory = memory[:, :-1]
        if self.lin_gate_in is None or self.lin_gate_memory is None:
            return memory
        # [B, 1, 2 G] + [B, S, 2 G] -> twice [B, S, G], where G is D or 1
        gates = self.lin_gate_in(z) + self.lin_gate_memory(state.tanh())
        take, keep = gates.chunk(2, dim=-1)
        take = (take + self.input_bias).sigmoid()
        keep = (keep + self.forget_bias).sigmoid()
        return take * memory.tanh() + keep * state

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, slots={self.slots}, "
            f"out_channels={self.out_channels}, gate={self.gate!r})"
        )


class MemoryBlock(Composite):
    r"""Attention among the rows of a memory, then an MLP on each, both with a residual
    connection and a layer norm; see :class:`RelationalMemory`.

    Args:
        heads (int): The number of heads.
        head_channels (int): The width of a head.
        mlp_layers (int): The number of layers of the MLP.

    Shapes:
        - **input:** rows :math:`(B, R, D)`
        - **output:** rows :math:`(B, R, D)`
    """

    def __init__(self, heads: int, head_channels: int, mlp_layers: int) -> None:
        super().__init__()
        self.heads, self.head_channels = heads, head_channels
        width = heads * head_channels
        self.lin_qkv = Linear(width, 3 * width)
        self.norm_qkv = nn.LayerNorm(3 * width)
        self.norm_attention = nn.LayerNorm(width)
        self.mlp = MLP([width] * (mlp_layers + 1), norm=None)
        self.norm_mlp = nn.LayerNorm(width)

    def forward(self, memory: Tensor) -> Tensor:
        r"""Runs the forward pass."""
        qkv = self.norm_qkv(self.lin_qkv(memory))
        # [B, R, 3 * K * C] -> three of [B, K, R, C]
        qkv = qkv.unflatten(-1, (3, self.heads, self.head_channels))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        heard = F.scaled_dot_product_attention(query, key, value)
        # [B, K, R, C] -> [B, R, K * C]
        heard = heard.transpose(1, 2).flatten(2)
        memory = self.norm_attention(memory + heard)
        return self.norm_mlp(memory + self.mlp(memory))
