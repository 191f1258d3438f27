"""Models that answer for given pairs: of objects, images, sentences and tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.nn import Linear
from torch_geometric.nn.inits import reset

from pyg_relational.models.attention_relation_network import AttentionRelationNetwork
from pyg_relational.nn import PairwiseMLP
from pyg_relational.nn.checks import check_device, check_edges, check_features
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import (
    PairMessages,
    check_interactions,
    cross_pairs,
    pair_interactions,
)
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch

SIDES = 2


class PairRelation(Composite):
    r"""Scores given pairs of objects: a number, or a score per class of relation.

    .. math::
        \mathbf{y}_{j,i} = g(\mathbf{z}_i, \mathbf{z}_j, \mathbf{e}_{j,i}, \mathbf{u}),
        \quad \mathbf{Z} = \mathrm{encoder}(\mathbf{X})

    Args:
        in_channels (int): The width of an object as the encoder returns it.
        out_channels (int): One for regression, else the number of classes.
        relation_channels (list of int): The hidden widths of :math:`g`.
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of shared features. (default: :obj:`None`)
        act (str): The activation of :math:`g`. (default: :obj:`"relu"`)
        encoder (torch.nn.Module, optional): Turns raw objects into rows of width
            :obj:`in_channels`. (default: :obj:`None`)

    Shapes:
        - **input:** objects :math:`(N, *)`, pairs :math:`(2, P)` from source to
          target, edge features :math:`(P, D)`, shared features :math:`(B, U)`
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If no pairs are given or widths do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        relation_channels: Sequence[int] = (128, 128),
        edge_dim: int | None = None,
        u_dim: int | None = None,
        act: str = "relu",
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.relation = PairwiseMLP(
            in_channels,
            [*relation_channels, out_channels],
            edge_dim,
            u_dim,
            act,
            plain_last=True,
        )

    def forward(
        self,
        x: Tensor,
        edge_label_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the other arguments see
        :class:`~pyg_relational.nn.Sets`.

        Args:
            x (torch.Tensor): Objects, as the encoder takes them.
            edge_label_index (torch.Tensor): The pairs to score, shape :math:`[2, P]`.
            edge_attr (torch.Tensor, optional): Features of these pairs.
                (default: :obj:`None`)
        """
        if edge_label_index is None:
            raise ValueError(
                "'edge_label_index' is missing; name the pairs to score, all of them "
                "with 'pyg_relational.ops.fully_connected_edges(batch)'"
            )
        if self.encoder is not None:
            x = self.encoder(x)
        target, source = self.relation.project(x, x)
        check_edges(edge_label_index, edge_attr, x, x.size(0), "edge_label_index")
        shared = self.relation.project_u(u)
        if shared is not None:
            if batch_size not in (None, shared.size(0)):
                raise ValueError(
                    f"'u' must have one row for each graph, 'batch_size={batch_size}' "
                    f"(got {shared.size(0)} rows)"
                )
            names = ("batch", "u.size(0)")
            ptr = set_ptr(batch, x.size(0), shared.size(0), x.device, names)
            target = target + shared[ptr_to_batch(ptr, x.size(0))]
        return self.relation.relate(
            target[edge_label_index[1]] + source[edge_label_index[0]], edge_attr
        )


class PairClassifier(Composite):
    r"""Tells what relation two things have: an encoder says what each is, and
    interactions of what it says tell them apart.

    Args:
        in_channels (int): The width of a thing as the encoder gives it.
        interactions (list of str): Those of
            :func:`~pyg_relational.nn.pairwise.pair_interactions`.
        dropout (float): Dropout of what the encoder gives. (default: :obj:`0.0`)
        encoder (torch.nn.Module, optional): Turns things into rows of width
            :obj:`in_channels`; without it they come as rows. (default: :obj:`None`)

    Raises:
        ValueError: If the encoder has another width, or an interaction is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        interactions: Sequence[str] = ("difference", "product"),
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        width = getattr(encoder, "out_channels", in_channels)
        if width != in_channels:
            raise ValueError(
                f"'encoder' gives rows of width {width}, but the model is built with "
                f"'in_channels={in_channels}'; pass 'in_channels={width}' and train "
                f"it, or the encoder that it was trained with"
            )
        self.in_channels = in_channels
        self.interactions = check_interactions(interactions)
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module but those of the encoder."""
        for name, part in self.named_children():
            if name != "encoder":
                reset(part)

    def embed(self, x: Any, like: Tensor) -> Tensor:
        r"""Returns things as checked rows, of the kind of a weight."""
        if self.encoder is not None:
            x = self.encoder(x)
        check_features(x, self.in_channels, "x", like)
        return x

    def interact(self, x: Tensor, edge_label_index: Tensor) -> Tensor | None:
        r"""Returns the interactions of pairs, or none if none are asked for."""
        if not self.interactions:
            return None
        return pair_interactions(x, edge_label_index, self.interactions)


class SentenceRelationClassifier(PairClassifier):
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
        out_channels (int): The number of relations.
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(128, 128)`)
        interactions (list of str): Those of
            :func:`~pyg_relational.nn.pairwise.pair_interactions`; with none, the
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
        in_channels: int,
        out_channels: int,
        relation_channels: Sequence[int] = (128, 128),
        interactions: Sequence[str] = ("difference", "product"),
        dropout: float = 0.0,
        act: str = "relu",
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__(in_channels, interactions, dropout, encoder)
        self.pair = PairRelation(
            in_channels,
            out_channels,
            relation_channels,
            edge_dim=len(self.interactions) * in_channels or None,
            act=act,
        )

    def forward(self, x: Tensor | Sequence[str]) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor or list of str): Sentences, premise and hypothesis by
                turns.
        """
        if self.encoder is None and not isinstance(x, Tensor):
            raise ValueError(
                f"'x' must be a tensor [2P, F] (got {type(x).__name__}); the model was "
                f"built without 'encoder', pass 'encoder=TextEncoder()' for texts"
            )
        x = self.embed(x, self.pair.relation.lin_l.weight)
        if x.size(0) % 2:
            raise ValueError(
                f"'x' must hold premise and hypothesis by turns (got {x.size(0)} "
                f"sentences, an odd number)"
            )
        rows = torch.arange(x.size(0), device=x.device)
        # [2P] -> [2, P], from premise to hypothesis.
        edge_label_index = rows.view(-1, 2).t()
        edge_attr = self.interact(x, edge_label_index)
        if edge_attr is not None:
            edge_attr = self.dropout(edge_attr)
        return self.pair(self.dropout(x), edge_label_index, edge_attr)


class ImageRelationClassifier(PairClassifier):
    r"""Classifies the relation of two images from their features.

    .. math::
        \mathbf{z}_i = \sigma(\mathbf{W} \, \mathrm{encoder}(\mathbf{x}_i)), \quad
        \mathbf{y}_{j,i} = g(\mathbf{z}_i, \mathbf{z}_j, |\mathbf{z}_i - \mathbf{z}_j|,
        \mathbf{z}_i \odot \mathbf{z}_j)

    :math:`g` is a :class:`PairRelation` over both ends and their interactions. Every
    image is encoded once, in however many pairs it is.

    Args:
        in_channels (int): The width of the features of an image.
        out_channels (int): The number of classes of relations.
        channels (int, optional): The width of :math:`\mathbf{z}`; :obj:`None` relates
            the features as they are. (default: :obj:`64`)
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(128, 128)`)
        interactions (list of str): What :math:`g` takes besides the two ends, of
            :obj:`"difference"`, :obj:`"offset"` and :obj:`"product"`.
            (default: :obj:`("difference", "product")`)
        ends (bool): Whether :math:`g` takes the two ends themselves.
            (default: :obj:`True`)
        dropout (float): Dropout of features and of :math:`\mathbf{z}`.
            (default: :obj:`0.0`)
        encoder (torch.nn.Module, optional): Turns images into rows of width
            :obj:`in_channels`, a :class:`~pyg_relational.nn.ImageEncoder`, say; without
            it :obj:`x` holds features. (default: :obj:`None`)

    Shapes:
        - **input:** features :math:`(N, F)`, or images :math:`(N, C, H, W)` with an
          encoder; pairs :math:`(2, P)` from the first image to the second
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If there is nothing to relate by, no pairs are given, or widths do
            not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int | None = 64,
        relation_channels: Sequence[int] = (128, 128),
        interactions: Sequence[str] = ("difference", "product"),
        ends: bool = True,
        dropout: float = 0.0,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__(in_channels, interactions, dropout, encoder)
        if not self.interactions and not ends:
            raise ValueError(
                "'interactions' must name one or more of them with 'ends=False' (got "
                "none); a relation needs something to go by"
            )
        self.ends = ends
        self.lin = None if channels is None else Linear(in_channels, channels)
        width = in_channels if channels is None else channels
        self.relation = PairRelation(
            # Without its ends a pair starts from a constant.
            width if ends else 1,
            out_channels,
            relation_channels,
            edge_dim=len(self.interactions) * width or None,
        )

    def forward(
        self,
        x: Tensor,
        edge_label_index: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Features of images, or images with an encoder.
            edge_label_index (torch.Tensor): The pairs to classify,
                shape :math:`[2, P]`.
            batch, batch_size: Not needed. (default: :obj:`None`)
        """
        x = self.embed(x, self.relation.relation.lin_l.weight)
        check_edges(edge_label_index, None, x, x.size(0), "edge_label_index")
        z = self.dropout(x)
        if self.lin is not None:
            z = self.dropout(self.lin(z).relu())
        edge_attr = None
        if edge_label_index is not None:
            edge_attr = self.interact(z, edge_label_index)
        ends = z if self.ends else z.new_ones(z.size(0), 1)
        return self.relation(ends, edge_label_index, edge_attr)


class TokenRelationClassifier(PairClassifier):
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
        in_channels (int): The width of a token.
        out_channels (int): The number of relations.
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
        in_channels: int,
        out_channels: int,
        token_channels: int = 64,
        relation_channels: Sequence[int] = (64, 64),
        readout_channels: Sequence[int] = (64,),
        heads: int = 4,
        score: str = "mlp",
        act: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, dropout=dropout)
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
            batch, batch_size: The pair of sentences of each token, ascending, and the
                number of pairs. (default: :obj:`None`)
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
        x = self.embed(x, self.lin.weight)
        if side.size(0) != x.size(0):
            raise ValueError(
                f"'side' must name the sentence of each of the {x.size(0)} tokens (got "
                f"{side.size(0)} entries)"
            )
        check_device(side, x.device, "side", "'x'")
        edge_index = cross_pairs(side, batch, batch_size)
        z = self.lin(self.dropout(x))
        edge_attr = pair_interactions(z, edge_index, self.interactions)
        z = torch.cat([z, one_hot(side, SIDES).to(z.dtype)], dim=-1)
        return {"x": z, "edge_index": edge_index, "edge_attr": edge_attr}
