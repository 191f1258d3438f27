from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import Linear, MessagePassing
from torch_geometric.nn.inits import zeros
from torch_geometric.typing import Adj, OptTensor
from torch_geometric.utils import softmax

from pyg_relational._checks import check_name
from pyg_relational.nn.attention import Projections, RelationAttention
from pyg_relational.nn.checks import check_edges
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.sets import check_shared, set_ptr
from pyg_relational.ops import fully_connected_edges, ptr_to_batch


class RelationAttentionConv(MessagePassing):
    r"""Sums up what the partners of each object say, weighted by attention, over given
    edges or over all pairs, one row per object.

    .. math::
        \mathbf{x}^{\prime}_i = \Big\Vert_{k=1}^K \sum_{j \in \mathcal{N}(i)}
        \alpha_{ij}^k \mathbf{v}_{ij}^k, \quad
        \alpha_{i \cdot}^k = \mathrm{softmax}_{j \in \mathcal{N}(i)} \, e_{ij}^k

    With :obj:`score="additive"` it is :class:`torch_geometric.nn.GATConv`, with
    :obj:`"mlp"` :class:`torch_geometric.nn.GATv2Conv`, with :obj:`"dot"` scaled
    dot-product attention; edge features and :math:`\mathbf{u}` take part in the score.
    The value :math:`\mathbf{v}_{ij}` is a projection of the source; with :obj:`nn`, it
    is the relation :math:`g(\mathbf{x}_i, \mathbf{x}_j, \mathbf{e}_{j,i}, \mathbf{u})`
    of the pair, shared out to the heads.

    Without edges, :math:`\mathcal{N}(i)` is the whole set of :math:`i`, and the pairs
    are never listed: additive scores cost a sort, dot products run in
    :func:`~torch.nn.functional.scaled_dot_product_attention`, everything else (other
    scores, relations, dropout, no self pairs) in tiles of pairs with :math:`O(N)`
    memory.

    Args:
        in_channels (int or tuple): The width of an object; a tuple gives the widths of
            sources and targets.
        out_channels (int): The width of a head.
        heads (int): The number of heads :math:`K`. (default: :obj:`1`)
        score (str): :obj:`"additive"`, :obj:`"mlp"` or :obj:`"dot"`.
            (default: :obj:`"additive"`)
        nn (PairwiseMLP, optional): The relation :math:`g`, whose output has the width
            of all heads together. (default: :obj:`None`)
        concat (bool): If :obj:`False`, heads are averaged. (default: :obj:`True`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of what a graph shares.
            (default: :obj:`None`)
        dropout (float): The probability that a weight is dropped in training.
            (default: :obj:`0.0`)
        self_pairs (bool): Whether an object meets itself when all pairs are meant.
            (default: :obj:`True`)
        residual (bool): If set, a projection of the object itself is added.
            (default: :obj:`False`)
        bias (bool): If set, a bias is added. (default: :obj:`True`)
        method (str): How all pairs are computed: :obj:`"auto"`, :obj:`"tiled"`, for
            additive scores also :obj:`"sorted"` and :obj:`"dense"`, for dot products
            :obj:`"dense"`. (default: :obj:`"auto"`)
        **kwargs (optional): Additional arguments of
            :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** objects :math:`(N, F)` or a pair of sources and targets
          :math:`((N_s, F_s), (N_t, F_t))`; edges :math:`(2, E)`, edge features
          :math:`(E, D)`, shared features :math:`(B, U)`, graph of each object
          :math:`(N)`
        - **output:** :math:`(N, K F_{out})`, or :math:`(N, F_{out})` with
          :obj:`concat=False`; with :obj:`return_attention_weights=True` also
          :math:`((2, E), (E, K))`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, features are not
            finite, edge features are given without edges, or a forced :obj:`method`
            cannot do the job.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        score: str = "additive",
        nn: PairwiseMLP | None = None,
        concat: bool = True,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        dropout: float = 0.0,
        self_pairs: bool = True,
        residual: bool = False,
        bias: bool = True,
        method: str = "auto",
        **kwargs: Any,
    ) -> None:
        aggr = kwargs.setdefault("aggr", "add")
        if aggr not in ("add", "sum"):
            raise ValueError(
                f"'aggr' must be 'add', as the weights of a target sum to one (got "
                f"{aggr!r})"
            )
        super().__init__(node_dim=0, **kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' must be from 0 to less than 1 (got {dropout})")
        self.attention = RelationAttention(
            in_channels, out_channels, heads, score, nn, edge_dim, u_dim
        )
        methods = ("auto", "tiled", *self.attention.score.methods)
        check_name("method", method, methods)
        self.out_channels, self.heads, self.concat = out_channels, heads, concat
        self.dropout, self.self_pairs, self.method = dropout, self_pairs, method
        width = heads * out_channels if concat else out_channels
        self.lin_residual = None
        if residual:
            in_channels = self.attention.in_channels[1]
            self.lin_residual = Linear(in_channels, width, bias=False)
        self.bias = Parameter(torch.zeros(width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        self.attention.reset_parameters()
        if self.lin_residual is not None:
            self.lin_residual.reset_parameters()
        zeros(self.bias)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Adj | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | tuple[Tensor, Tensor] | None = None,
        batch_size: int | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.RelationConv`.

        Args:
            return_attention_weights (bool, optional): If :obj:`True`, also returns
                the edges and their weights, before dropout; all pairs are then listed.
                (default: :obj:`None`)
        """
        x_l, x_r = x if isinstance(x, tuple) else (x, x)
        batch_l, batch_r = batch if isinstance(batch, tuple) else (batch, batch)
        check_edges(edge_index, edge_attr, x_l)
        if batch_size is None and u is not None:
            batch_size = u.size(0)
        ptr_r = set_ptr(batch_r, x_r.size(0), batch_size, x_r.device)
        check_shared(u, ptr_r.numel() - 1)
        ptr_l = ptr_r
        if batch_l is not batch_r or x_l is not x_r:
            ptr_l = set_ptr(batch_l, x_l.size(0), ptr_r.numel() - 1, x_l.device)
        parts = self.attention.project(x_l, x_r, u, ptr_to_batch(ptr_r, x_r.size(0)))
        alpha = None
        if return_attention_weights and edge_index is None:
            self.attention.check_no_edges()
            edge_index = fully_connected_edges(
                ptr=ptr_r, self_pairs=self.self_pairs, source_ptr=ptr_l
            )
        if edge_index is None:
            out = self._attend(parts, ptr_r, ptr_l)
        else:
            size = (x_l.size(0), x_r.size(0))
            alpha = self.edge_updater(
                edge_index,
                s=(parts.source, parts.target),
                edge_attr=edge_attr,
                size=size,
            )
            out = self.propagate(
                edge_index,
                v=(parts.value, parts.target_value),
                alpha=alpha,
                edge_attr=edge_attr,
                size=size,
            )
        if not self.concat:
            # [N, K * C] -> [N, C]
            out = out.view(-1, self.heads, self.out_channels).mean(dim=1)
        if self.lin_residual is not None:
            out = out + self.lin_residual(x_r)
        if self.bias is not None:
            out = out + self.bias
        if return_attention_weights:
            return out, (edge_index, alpha)
        return out

    def _attend(
        self, parts: Projections, target_ptr: Tensor, source_ptr: Tensor
    ) -> Tensor:
        attention, dropout = self.attention, self.dropout if self.training else 0.0
        only_tiles = {
            "a relation 'nn'": attention.nn is not None,
            "'dropout'": dropout > 0,
            "'self_pairs=False'": not self.self_pairs,
        }
        reasons = [reason for reason, applies in only_tiles.items() if applies]
        if self.method == "tiled" or (self.method == "auto" and reasons):
            return attention.attend(
                parts, target_ptr, source_ptr, self.self_pairs, dropout
            )[0]
        if reasons:
            raise ValueError(
                f"'method={self.method!r}' cannot compute {' and '.join(reasons)}; "
                f"method='tiled' can"
            )
        attention.check_no_edges()
        return attention.score.attend(
            parts.target,
            parts.source,
            parts.value,
            target_ptr,
            source_ptr,
            method=self.method,
        )

    def pair_messages(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None
    ) -> Tensor:
        r"""What each edge says, weighted, shape :math:`(E, K F_{out})`."""
        owner = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        parts = self.attention.project(x, x, None, owner)
        s = (parts.source, parts.target)
        alpha = self.edge_updater(edge_index, s=s, edge_attr=edge_attr)
        source, target = edge_index
        own = None if parts.target_value is None else parts.target_value[target]
        return self.message(own, parts.value[source], alpha, edge_attr)

    def edge_update(
        self,
        s_i: Tensor,
        s_j: Tensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],  # noqa: UP045 (the form that PyG inspects)
    ) -> Tensor:
        score = self.attention.edge_scores(s_i, s_j, edge_attr)
        return softmax(score, index, ptr, dim_size)

    def message(
        self, v_i: OptTensor, v_j: Tensor, alpha: Tensor, edge_attr: OptTensor
    ) -> Tensor:
        value = self.attention.edge_values(v_j, v_i, edge_attr)
        alpha = F.dropout(alpha, self.dropout, self.training)
        return (value * alpha.unsqueeze(-1)).flatten(1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.attention})"
