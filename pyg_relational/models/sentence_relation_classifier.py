from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_relational.models.pair_relation import PairRelation
from pyg_relational.nn.checks import check_features
from pyg_relational.nn.interactions import check_interactions, pair_interactions


class SentenceRelationClassifier(nn.Module):
    r"""Tells what relation holds from one sentence to another, such as whether it
    follows, from an embedding of each.

    .. math::
        \mathbf{y} = g(\mathbf{v}, \mathbf{u}, |\mathbf{u} - \mathbf{v}|, \mathbf{u}
        \odot \mathbf{v}), \quad
        \mathbf{u} = \mathrm{encoder}(\mathrm{premise}), \;
        \mathbf{v} = \mathrm{encoder}(\mathrm{hypothesis})

    The sentences are embedded separately and meet in a :class:`PairRelation`; the
    interactions are those of `"Supervised Learning of Universal Sentence
    Representations from Natural Language Inference Data"
    <https://arxiv.org/abs/1705.02364>`_ (Conneau et al., 2017), section 3.1.

    Args:
        in_channels (int): The width :math:`F` of a sentence.
            (default: :obj:`384`, that of MiniLM)
        out_channels (int): The number of relations. (default: :obj:`3`: entailment,
            neutral, contradiction)
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(128, 128)`)
        interactions (list of str): Those of
            :func:`~pyg_relational.nn.interactions.pair_interactions`; with none, the
            sentences are only concatenated.
            (default: :obj:`("difference", "product")`)
        dropout (float): Dropout of what :math:`g` reads. (default: :obj:`0.0`)
        act (str): The activation of :math:`g`. (default: :obj:`"relu"`)
        encoder (torch.nn.Module, optional): Turns texts into rows of width
            :obj:`in_channels`: a :class:`~pyg_relational.nn.TextEncoder`, say.
            Without, the model takes the rows. (default: :obj:`None`)

    Shapes:
        - **input:** sentences :math:`(2P, F)`, or :math:`2P` texts with
          :obj:`encoder`: premise and hypothesis of the first pair, those of the
          second, and so on
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If widths do not fit, sentences are not in pairs, or an interaction
            is unknown.
    """

    def __init__(
        self,
        in_channels: int = 384,
        out_channels: int = 3,
        relation_channels: Sequence[int] = (128, 128),
        interactions: Sequence[str] = ("difference", "product"),
        dropout: float = 0.0,
        act: str = "relu",
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        width = getattr(encoder, "out_channels", in_channels)
        if width != in_channels:
            raise ValueError(
                f"'encoder' gives sentences of width {width}, but the model is built "
                f"with 'in_channels={in_channels}'; pass 'in_channels={width}' and "
                f"train it, or the encoder that it was trained with"
            )
        self.encoder = encoder
        self.interactions = check_interactions(interactions)
        self.dropout = nn.Dropout(dropout)
        self.pair = PairRelation(
            in_channels,
            out_channels,
            relation_channels,
            edge_dim=len(self.interactions) * in_channels or None,
            act=act,
        )

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module but those of the encoder."""
        self.pair.reset_parameters()

    def forward(self, x: Tensor | Sequence[str]) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor or list of str): Sentences, premise and hypothesis by
                turns.
        """
        if self.encoder is not None:
            x = self.encoder(x)
        elif not isinstance(x, Tensor):
            raise ValueError(
                f"'x' must be a tensor [2P, F] (got {type(x).__name__}); the model was "
                f"built without 'encoder', pass 'encoder=TextEncoder()' for texts"
            )
        assert isinstance(x, Tensor)
        weight = self.pair.relation.lin_l.weight
        check_features(x, weight.size(1), "x", weight)
        if x.size(0) % 2:
            raise ValueError(
                f"'x' must hold premise and hypothesis by turns (got {x.size(0)} "
                f"sentences, an odd number)"
            )
        rows = torch.arange(x.size(0), device=x.device)
        # [2P] -> [2, P], from premise to hypothesis.
        edge_index = rows.view(-1, 2).t()
        edge_attr = None
        if self.interactions:
            edge_attr = pair_interactions(x, edge_index, self.interactions)
            edge_attr = self.dropout(edge_attr)
        return self.pair(self.dropout(x), edge_index, edge_attr)
