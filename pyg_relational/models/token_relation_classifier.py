from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.nn import Linear

from pyg_relational.models.attention_relation_network import AttentionRelationNetwork
from pyg_relational.nn.checks import check_device, check_features
from pyg_relational.nn.cross_pairs import cross_pairs
from pyg_relational.nn.interactions import pair_interactions
from pyg_relational.nn.pair_messages import PairMessages

SIDES = 2


class TokenRelationClassifier(nn.Module):
    r"""Tells what relation holds from one sentence to another, from pairs of their
    tokens: each token attends to those of the other sentence.

    .. math::
        \mathbf{z}_i &= \mathbf{W} \mathbf{x}_i, \quad
        \mathbf{e}_{ij} = |\mathbf{z}_i - \mathbf{z}_j| \, \Vert \,
        \mathbf{z}_i \odot \mathbf{z}_j \\
        \mathbf{y} &= f \Big( \sum_i \sum_{j \in \mathcal{N}(i)} \alpha_{ij} \,
        g(\mathbf{z}_i, s_i, \mathbf{z}_j, s_j, \mathbf{e}_{ij}) \Big)

    :math:`\mathcal{N}(i)` are the tokens of the other sentence, and :math:`s_i` says
    whether a token is of the premise or of the hypothesis. It is an
    :class:`AttentionRelationNetwork` over these pairs; that aligned tokens are told by
    their difference and product follows `"Enhanced LSTM for Natural Language
    Inference" <https://arxiv.org/abs/1609.06038>`_ (Chen et al., 2017).

    Args:
        in_channels (int): The width of a token. (default: :obj:`384`, that of MiniLM)
        out_channels (int): The number of relations. (default: :obj:`3`)
        token_channels (int): The width of :math:`\mathbf{z}`. (default: :obj:`64`)
        relation_channels (list of int): The widths of the layers of :math:`g`; the
            last is shared out to the heads. (default: :obj:`(64, 64)`)
        readout_channels (list of int): The hidden widths of :math:`f`.
            (default: :obj:`(64,)`)
        heads (int): The number of heads. (default: :obj:`4`)
        score (str): :obj:`"additive"`, :obj:`"mlp"` or :obj:`"dot"`.
            (default: :obj:`"mlp"`)
        act (str): The activation of :math:`g` and :math:`f`. (default: :obj:`"relu"`)
        dropout (float): Dropout of tokens and in :math:`f`. (default: :obj:`0.0`)

    Shapes:
        - **input:** tokens of both sentences :math:`(N, F)`, sentence of each token
          :math:`(N)`, pair of sentences of each token :math:`(N)`
        - **output:** :math:`(B, F_{out})`

    Raises:
        ValueError: If widths do not fit, a token is of neither sentence, or
            :obj:`batch` is not sorted.
    """

    def __init__(
        self,
        in_channels: int = 384,
        out_channels: int = 3,
        token_channels: int = 64,
        relation_channels: Sequence[int] = (64, 64),
        readout_channels: Sequence[int] = (64,),
        heads: int = 4,
        score: str = "mlp",
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.dropout = nn.Dropout(dropout)
        self.lin = Linear(in_channels, token_channels)
        self.network = AttentionRelationNetwork(
            token_channels + SIDES,
            out_channels,
            relation_channels,
            readout_channels,
            heads=heads,
            score=score,
            edge_dim=2 * token_channels,
            act=act,
            dropout=dropout,
        )

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin.reset_parameters()
        self.network.reset_parameters()

    def forward(
        self,
        x: Tensor,
        side: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Tokens, shape :math:`[N, F]`.
            side (torch.Tensor): 0 for a token of the premise, 1 for one of the
                hypothesis, in any order, shape :math:`[N]`.
            batch (torch.Tensor, optional): The pair of sentences of each token,
                ascending. (default: :obj:`None`)
            batch_size (int, optional): The number of pairs of sentences.
                (default: :obj:`None`)
            return_attention_weights (bool, optional): If :obj:`True`, also returns the
                pairs of tokens :math:`(2, E)`, from source to target, and their
                weights :math:`(E, K)`. (default: :obj:`None`)
        """
        return self.network(
            **self._objects(x, side, batch, batch_size),
            batch=batch,
            batch_size=batch_size,
            return_attention_weights=return_attention_weights,
        )

    def pair_messages(
        self,
        x: Tensor,
        side: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> PairMessages:
        r"""Lists what each pair of tokens, weighted, adds to the sum that :math:`f`
        reads, for :func:`pyg_relational.explain.pair_attribution`; arguments as for
        :meth:`forward`."""
        return self.network.pair_messages(
            **self._objects(x, side, batch, batch_size),
            batch=batch,
            batch_size=batch_size,
        )

    @property
    def readout(self) -> nn.Module:
        r"""What reads the sum over all pairs."""
        return self.network.readout

    def _objects(
        self,
        x: Tensor,
        side: Tensor,
        batch: Tensor | None,
        batch_size: int | None,
    ) -> dict[str, Tensor]:
        """The tokens as the network takes them, and the pairs across sentences."""
        check_features(x, self.in_channels, "x", self.lin.weight)
        if side.size(0) != x.size(0):
            raise ValueError(
                f"'side' must name the sentence of each of the {x.size(0)} tokens (got "
                f"{side.size(0)} entries)"
            )
        check_device(side, x.device, "side", "'x'")
        edge_index = cross_pairs(side, batch, batch_size)
        z = self.lin(self.dropout(x))
        edge_attr = pair_interactions(z, edge_index)
        z = torch.cat([z, one_hot(side, SIDES).to(z.dtype)], dim=-1)
        return {"x": z, "edge_index": edge_index, "edge_attr": edge_attr}
