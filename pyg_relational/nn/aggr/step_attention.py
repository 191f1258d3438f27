from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import segment, softmax

from pyg_relational.nn.checks import check_width
from pyg_relational.nn.sets import check_rows_of, read_sets
from pyg_relational.ops import ptr_to_batch


class StepAttention(Aggregation):
    r"""Softmax attention over the steps of a sequence, as in `"Hierarchical Attention
    Networks for Document Classification" <https://aclanthology.org/N16-1174>`_ (Yang
    et al., 2016), equations 5 to 7.

    .. math::
        \alpha_t = \mathrm{softmax}_t \big( \mathbf{w}^{\top} \tanh(\mathbf{W}
        \mathbf{h}_t + \mathbf{b}) \big), \quad
        \mathbf{s} = \sum_t \alpha_t \mathbf{h}_t

    Args:
        in_channels (int): The width of a step.
        hidden_channels (int, optional): The width of :math:`\mathbf{b}`; by default
            that of a step. (default: :obj:`None`)

    Shapes:
        - **input:** steps :math:`(S, F)`, sequence of each step :math:`(S)`
        - **output:** :math:`(E, F)`, or with :obj:`return_attention_weights` also the
          pairs (step, sequence) :math:`(2, S)` and their weights :math:`(S)`
    """

    def __init__(self, in_channels: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        self.lin = nn.Linear(in_channels, hidden_channels or in_channels)
        self.score = nn.Linear(hidden_channels or in_channels, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin.reset_parameters()
        self.score.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass on the rows of :class:`torch_geometric.nn.aggr.\
        Aggregation`: :obj:`index` may be in any order (ascending saves a sort), and
        nothing is padded to :obj:`max_num_elements`.

        Args:
            return_attention_weights (bool, optional): If :obj:`True`, also returns
                the weights. (default: :obj:`None`)
        """
        check_rows_of(x, dim)
        check_width(x, self.lin.in_features, "x", self.lin.weight)
        x, ptr, _, order = read_sets(x, index, ptr, dim_size)
        score = self.score(self.lin(x).tanh())
        alpha = softmax(score, ptr=ptr).to(x.dtype)
        out = segment(x * alpha, ptr, "sum")
        if not return_attention_weights:
            return out
        step = torch.arange(x.size(0), device=x.device) if order is None else order
        edge_index = torch.stack([step, ptr_to_batch(ptr, x.size(0))])
        return out, (edge_index, alpha.squeeze(-1))
