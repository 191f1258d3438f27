from typing import Any

from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import scatter, segment, softmax

from pyg_relational.nn.attention import RelationAttention
from pyg_relational.nn.checks import check_edges
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.sets import check_rows_of, check_shared, read_sets
from pyg_relational.ops import fully_connected_edges, ptr_to_batch


class RelationAttentionAggregation(Aggregation):
    r"""Sums what all pairs of a set say into one vector, weighted by an attention over
    the pairs.

    .. math::
        \mathbf{x}^{\prime}_s = \Big\Vert_{k=1}^K \sum_{i, j \in s} \alpha_{ij}^k
        \mathbf{v}_{ij}^k, \quad
        \alpha^k = \mathrm{softmax}_{(i, j) \in s \times s} \, e_{ij}^k

    Scores and values are those of :class:`~pyg_relational.nn.RelationAttentionConv`,
    but the weights of all pairs of a set sum to one. The pairs are not listed: the
    partners of each object are attended to in tiles, then the objects, each by the sum
    of its exponentials.

    Args:
        in_channels (int): The width of an object.
        out_channels, heads, score, nn, edge_dim, u_dim, self_pairs: As for
            :class:`~pyg_relational.nn.RelationAttentionConv`.

    Shapes:
        - **input:** objects :math:`(N, F)`, set of each object :math:`(N)`, shared
          features :math:`(B, U)`
        - **output:** :math:`(B, K F_{out})`, zero for a set without pairs; with
          :obj:`return_attention_weights=True` also :math:`((2, E), (E, K))`

    Raises:
        ValueError: If widths do not fit, the objects are not sorted by set, features
            are not finite, or edge features are given without edges.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        score: str = "additive",
        nn: PairwiseMLP | None = None,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        self_pairs: bool = True,
    ) -> None:
        super().__init__()
        self.attention = RelationAttention(
            in_channels, out_channels, heads, score, nn, edge_dim, u_dim
        )
        self.heads, self.out_channels = heads, out_channels
        self.self_pairs = self_pairs
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.attention.reset_parameters()

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
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass on the rows of :class:`torch_geometric.nn.aggr.\
        Aggregation`: :obj:`index` may be in any order (ascending saves a sort), and
        nothing is padded to :obj:`max_num_elements`. For
        the other arguments see :class:`~pyg_relational.nn.Sets`.

        Args:
            return_attention_weights (bool, optional): If :obj:`True`, also returns the
                pairs and their weights; all pairs are then listed.
                (default: :obj:`None`)
        """
        check_rows_of(x, dim)
        check_edges(edge_index, edge_attr, x, x.size(0))
        x, ptr, edge_index, order = read_sets(x, index, ptr, dim_size, edge_index)
        check_shared(u, ptr.numel() - 1)
        owner = ptr_to_batch(ptr, x.size(0))
        parts = self.attention.project(x, x, u, owner)
        if edge_index is None and not return_attention_weights:
            rows, log_sum = self.attention.attend(parts, ptr, ptr, self.self_pairs)
            weight = softmax(log_sum, ptr=ptr).to(rows.dtype)
            # [N, K * C] -> [N, K, C]
            rows = rows.view(-1, self.heads, self.out_channels)
            return segment((rows * weight.unsqueeze(-1)).flatten(1), ptr, "sum")
        if edge_index is None:
            self.attention.check_no_edges()
            edge_index = fully_connected_edges(ptr=ptr, self_pairs=self.self_pairs)
        source, target = edge_index
        score = self.attention.edge_scores(
            parts.target[target], parts.source[source], edge_attr
        )
        sets = ptr.numel() - 1
        alpha = softmax(score, owner[target], num_nodes=sets)
        own = None if parts.target_value is None else parts.target_value[target]
        value = self.attention.edge_values(parts.value[source], own, edge_attr)
        value = (value * alpha.unsqueeze(-1)).flatten(1)
        out = scatter(value, owner[target], 0, sets, "sum")
        if not return_attention_weights:
            return out
        return out, (edge_index if order is None else order[edge_index], alpha)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.attention})"
