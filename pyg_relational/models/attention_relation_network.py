from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch_geometric.nn import MLP
from torch_geometric.utils import segment

from pyg_relational._checks import check_name
from pyg_relational.nn import ObjectEncoder, PairwiseMLP, RelationAttentionConv
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairMessages
from pyg_relational.ops import fully_connected_edges, ptr_to_batch

OUTPUTS = ("set", "node")


class AttentionRelationNetwork(Composite):
    r"""A relation network whose objects attend to their partners.

    .. math::
        \mathbf{h}_i = \sum_{j \in s} \alpha_{ij} \,
        g(\mathbf{x}_i, \mathbf{x}_j), \quad
        \mathbf{y}_s = f \Big( \sum_{i \in s} \mathbf{h}_i \Big) \quad \text{or} \quad
        \mathbf{y}_i = f(\mathbf{h}_i)

    Each pair has a score and says something; the softmax over the partners of an object
    decides how much of it is heard. It is the relation network of `"A simple neural
    network module for relational reasoning" <https://arxiv.org/abs/1706.01427>`_ with
    the attention of `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_
    between :math:`g` and the sum.

    Args:
        in_channels (int): The width of an object.
        out_channels (int): The width of the answer.
        relation_channels (list of int): The widths of the layers of :math:`g`; the
            last is shared out to the heads.
        readout_channels (list of int): The hidden widths of :math:`f`.
        object_channels (list of int): The widths of the layers that each object passes,
            together with the question, before it is paired. (default: :obj:`()`)
        heads (int): The number of heads. (default: :obj:`4`)
        score (str): :obj:`"additive"`, :obj:`"mlp"` or :obj:`"dot"`.
            (default: :obj:`"mlp"`)
        output (str): :obj:`"set"`, an answer for each graph or question, or
            :obj:`"node"`, one for each object. (default: :obj:`"set"`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation of :math:`g` and :math:`f`. (default: :obj:`"relu"`)
        dropout (float): Dropout in :math:`f`. (default: :obj:`0.0`)
        attention_dropout (float): Dropout of attention weights. (default: :obj:`0.0`)

    Shapes:
        - **input:** as for :class:`~pyg_relational.nn.ObjectEncoder`
        - **output:** :math:`(B, F_{out})`, or :math:`(Q, F_{out})` for questions;
          :math:`(N, F_{out})` with :obj:`output="node"`, objects once for each
          question

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are
            not finite.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        relation_channels: Sequence[int] = (256, 256, 256, 256),
        readout_channels: Sequence[int] = (256, 256),
        object_channels: Sequence[int] = (),
        heads: int = 4,
        score: str = "mlp",
        output: str = "set",
        edge_dim: int | None = None,
        u_dim: int | None = None,
        act: str = "relu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_name("output", output, OUTPUTS)
        if heads < 1 or not relation_channels or relation_channels[-1] % heads:
            raise ValueError(
                f"'relation_channels' must end with a multiple of 'heads={heads}' (got "
                f"{list(relation_channels)})"
            )
        self.output = output
        self.encoder = ObjectEncoder(in_channels, object_channels, u_dim, act)
        width = self.encoder.out_channels
        self.relation = RelationAttentionConv(
            width,
            relation_channels[-1] // heads,
            heads,
            score,
            PairwiseMLP(width, relation_channels, edge_dim, act=act),
            edge_dim=edge_dim,
            dropout=attention_dropout,
            bias=False,
        )
        channels = [relation_channels[-1], *readout_channels, out_channels]
        self.readout = MLP(channels, act=act, norm=None, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            return_attention_weights (bool, optional): If :obj:`True`, also returns the
                pairs and their weights; objects are numbered once for each question.
                (default: :obj:`None`)
        """
        x, ptr, edge_index, edge_attr = self.encoder(
            x, edge_index, edge_attr, u, batch, batch_size, u_batch
        )
        h = self.relation(
            x,
            edge_index,
            edge_attr,
            batch=ptr_to_batch(ptr, x.size(0)),
            batch_size=ptr.numel() - 1,
            return_attention_weights=return_attention_weights,
        )
        h, weights = h if return_attention_weights else (h, None)
        out = self.readout(segment(h, ptr, "sum") if self.output == "set" else h)
        return (out, weights) if return_attention_weights else out

    def pair_messages(self, *args: Any, **kwargs: Any) -> PairMessages:
        r"""Lists what each pair, weighted, adds to the sum that :math:`f` reads, for
        :func:`pyg_relational.explain.pair_attribution`; arguments as for
        :meth:`forward`. Without a pair, the weights of the others are as before."""
        if self.output != "set":
            raise ValueError(
                "a model with output='node' has no sum over all pairs of a set; build "
                "it with output='set'"
            )
        x, ptr, edge_index, edge_attr = self.encoder(*args, **kwargs)
        if edge_index is None:
            edge_index = fully_connected_edges(ptr=ptr)
        message = self.relation.pair_messages(x, edge_index, edge_attr)
        owner = ptr_to_batch(ptr, x.size(0))[edge_index[1]]
        return PairMessages(edge_index, message, owner, ptr)
