from typing import Any

from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj, OptTensor

from pyg_relational.nn.checks import check_edges
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.sets import check_shared, set_ptr
from pyg_relational.ops import ptr_to_batch


class RelationConv(MessagePassing):
    r"""Sums up what the pairs of each object say, over given edges or over all pairs,
    from `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), one row per object.

    .. math::
        \mathbf{x}^{\prime}_i = \bigoplus_{j \in \mathcal{N}(i)}
        g(\mathbf{x}_i, \mathbf{x}_j, \mathbf{e}_{j,i}, \mathbf{u})

    Without edges, :math:`\mathcal{N}(i)` is the whole set of :math:`i`; the pairs are
    then never listed, and a relation with one hidden layer costs a sort.

    Args:
        nn (PairwiseMLP): The relation :math:`g`.
        aggr (str): :obj:`"sum"`, :obj:`"mean"`, :obj:`"max"` or :obj:`"min"`; with
            edges, any aggregation of PyG. (default: :obj:`"sum"`)
        self_pairs (bool): Whether an object meets itself when all pairs are meant.
            (default: :obj:`True`)
        method (str): How all pairs are computed, see
            :func:`pyg_relational.ops.relu_pair_sum` and
            :func:`pyg_relational.ops.mlp_pair_reduce`. (default: :obj:`"auto"`)
        **kwargs (optional): Additional arguments of
            :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** objects :math:`(N, F)` or a pair of sources and targets
          :math:`((N_s, F_s), (N_t, F_t))`; edges :math:`(2, E)`, edge features
          :math:`(E, D)`, shared features :math:`(B, U)`, graph of each object
          :math:`(N)`
        - **output:** :math:`(N, F_{out})` or :math:`(N_t, F_{out})`

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, features are not
            finite, or edge features are given without edges.
    """

    def __init__(
        self,
        nn: PairwiseMLP,
        aggr: str = "sum",
        self_pairs: bool = True,
        method: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(aggr=aggr, **kwargs)
        self.nn = nn
        self.self_pairs, self.method = self_pairs, method
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        self.nn.reset_parameters()

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Adj | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | tuple[Tensor, Tensor] | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the arguments see
        :class:`~pyg_relational.nn.Sets`: :obj:`x` and :obj:`batch` may be pairs, of
        sources and of targets, and :obj:`edge_index` a sparse tensor."""
        x_l, x_r = x if isinstance(x, tuple) else (x, x)
        check_edges(edge_index, edge_attr, x_l)
        batch_l, batch_r = batch if isinstance(batch, tuple) else (batch, batch)
        target, source = self.nn.project(x_r, x_l)
        shared = self.nn.project_u(u)
        if batch_size is None and u is not None:
            batch_size = u.size(0)
        ptr_r = set_ptr(batch_r, target.size(0), batch_size, target.device)
        if shared is not None:
            check_shared(shared, ptr_r.numel() - 1)
            target = target + shared[ptr_to_batch(ptr_r, target.size(0))]
        if edge_index is not None:
            out = self.propagate(
                edge_index, h=(source, target), edge_attr=edge_attr, size=None
            )
            return self.nn.finish(out) if self.nn.commutes(self.aggr) else out
        if batch_l is batch_r and x_l is x_r:
            ptr_l = ptr_r
        else:
            ptr_l = set_ptr(batch_l, source.size(0), ptr_r.numel() - 1, source.device)
        return self.nn.reduce(
            target,
            source,
            ptr_r,
            ptr_l,
            reduce=self.aggr,
            self_pairs=self.self_pairs,
            method=self.method,
        )

    def message(self, h_i: Tensor, h_j: Tensor, edge_attr: OptTensor) -> Tensor:
        if self.nn.commutes(self.aggr):
            return self.nn.relate_hidden(h_i + h_j, edge_attr)
        return self.nn.relate(h_i + h_j, edge_attr)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(nn={self.nn})"
