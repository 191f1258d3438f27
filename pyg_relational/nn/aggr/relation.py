from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import scatter

from pyg_relational.nn.checks import check_edges
from pyg_relational.nn.pairwise import PairMessages, PairwiseMLP
from pyg_relational.nn.sets import (
    check_questions,
    check_rows_of,
    read_sets,
    repeat_sets,
)
from pyg_relational.ops import fully_connected_edges, ptr_to_batch


class RelationAggregation(Aggregation):
    r"""Sums a relation over all pairs of a set into one vector, from `"A simple neural
    network module for relational reasoning" <https://arxiv.org/abs/1706.01427>`_
    (Santoro et al., 2017), equation 1 without the outer function :math:`f`.

    .. math::
        \mathbf{x}^{\prime}_s = \bigoplus_{i, j \in s}
        g(\mathbf{x}_i, \mathbf{x}_j, \mathbf{u})

    It serves wherever PyG takes an aggregation. Several questions about one set share
    its objects: :obj:`u` holds a row per question, :obj:`u_batch` the set of each, and
    the result has a row per question.

    Args:
        nn (PairwiseMLP): The relation :math:`g`.
        aggr (str): :obj:`"sum"`, :obj:`"mean"`, :obj:`"max"` or :obj:`"min"`.
            (default: :obj:`"sum"`)
        self_pairs (bool): Whether an object meets itself. (default: :obj:`True`)
        method (str): How all pairs are computed, see
            :func:`pyg_relational.ops.relu_pair_sum` and
            :func:`pyg_relational.ops.mlp_pair_reduce`. (default: :obj:`"auto"`)

    Shapes:
        - **input:** objects :math:`(N, F)`, set of each object :math:`(N)`, shared
          features :math:`(B, U)`, or questions :math:`(Q, U)` with their set
          :math:`(Q)`
        - **output:** :math:`(B, F_{out})` or :math:`(Q, F_{out})`; zero for a set
          without pairs

    Raises:
        ValueError: If widths do not fit, the objects are not sorted by set, features
            are not finite, or edge features are given without edges.
    """

    def __init__(
        self,
        nn: PairwiseMLP,
        aggr: str = "sum",
        self_pairs: bool = True,
        method: str = "auto",
    ) -> None:
        super().__init__()
        self.nn = nn
        self.aggr = aggr
        self.self_pairs, self.method = self_pairs, method
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.nn.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        u_batch: Tensor | None = None,
    ) -> Tensor:
        r"""Runs the forward pass on the rows of :class:`torch_geometric.nn.aggr.\
        Aggregation`: :obj:`index` may be in any order (ascending saves a sort), and
        nothing is padded to :obj:`max_num_elements`. For
        the other arguments see :class:`~pyg_relational.nn.Sets`.
        """
        check_rows_of(x, dim)
        check_edges(edge_index, edge_attr, x, x.size(0))
        x, ptr, edge_index, _ = read_sets(x, index, ptr, dim_size, edge_index)
        target, source, ptr, edge_index, edge_attr = self._project(
            x, ptr, u, u_batch, edge_index, edge_attr
        )
        if edge_index is not None:
            h = target[edge_index[1]] + source[edge_index[0]]
            owner = ptr_to_batch(ptr, target.size(0))[edge_index[1]]
            sets, reduce = ptr.numel() - 1, self.aggr
            if self.nn.commutes(reduce):
                h = self.nn.relate_hidden(h, edge_attr)
                return self.nn.finish(scatter(h, owner, 0, sets, reduce))
            h = self.nn.relate(h, edge_attr)
            return scatter(h, owner, 0, sets, reduce)
        return self.nn.reduce(
            target,
            source,
            ptr,
            ptr,
            reduce=self.aggr,
            self_pairs=self.self_pairs,
            total=True,
            method=self.method,
        )

    def pair_messages(
        self,
        x: Tensor,
        ptr: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        u_batch: Tensor | None = None,
    ) -> PairMessages:
        r"""Lists what each pair adds to the vector of its set, for sums and means;
        arguments as for :meth:`forward`."""
        if self.aggr not in ("sum", "mean"):
            raise ValueError(
                f"'aggr={self.aggr!r}' is no sum of what pairs say; build "
                f"the layer with aggr='sum' or 'mean'"
            )
        target, source, ptr, edge_index, edge_attr = self._project(
            x, ptr, u, u_batch, edge_index, edge_attr
        )
        if edge_index is None:
            edge_index = fully_connected_edges(ptr=ptr, self_pairs=self.self_pairs)
        h = target[edge_index[1]] + source[edge_index[0]]
        message = self.nn.relate(h, edge_attr)
        owner = ptr_to_batch(ptr, target.size(0))[edge_index[1]]
        if self.aggr == "mean":
            count = owner.bincount(minlength=ptr.numel() - 1)
            message = message / count[owner].unsqueeze(1)
        return PairMessages(edge_index, message, owner, ptr)

    def _project(
        self,
        x: Tensor,
        ptr: Tensor,
        u: Tensor | None,
        u_batch: Tensor | None,
        edge_index: Tensor | None,
        edge_attr: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """Projections of the objects of every question, targets then sources, with
        the boundaries and edges of the questions' sets."""
        target, source = self.nn.project(x, x)
        shared = self.nn.project_u(u)
        if shared is not None:
            check_questions(shared, u_batch, ptr.numel() - 1)
        elif u_batch is not None:
            raise ValueError("'u_batch' needs 'u' (got None)")
        if u_batch is not None:
            rows, ptr, edge_index, edge_attr = repeat_sets(
                ptr, u_batch, edge_index, edge_attr
            )
            target, source = target.index_select(0, rows), source.index_select(0, rows)
        if shared is not None:
            owner = ptr_to_batch(ptr, target.size(0))
            target = target + shared.index_select(0, owner)
        return target, source, ptr, edge_index, edge_attr

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(nn={self.nn})"
