"""How much a pair counts: the scores of attention over relations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.inits import glorot

from pyg_relational._checks import check_name
from pyg_relational.nn.checks import check_features, check_optional
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.ops import additive_attention, dot_attention, pair_attention

Triple = tuple[Tensor, Tensor, Tensor]


class AttentionScore(nn.Module):
    r"""The score :math:`e(\mathbf{x}_i, \mathbf{x}_j, \mathbf{e}, \mathbf{u})` of a
    pair, for each of :math:`K` heads, and the values that go with it.

    Objects are projected once as target and once as source; edge features and what a
    set shares are projected to the same width and added.

    Args:
        in_channels (int or tuple): The width of an object; a tuple gives the widths of
            sources and targets.
        channels (int): The width :math:`C` of a head.
        heads (int): The number of heads :math:`K`.
        width (int): The width of a projection.
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of what a set shares. (default: :obj:`None`)
    """

    #: Exact ways to attend to rows of sources other than in tiles of pairs.
    methods: tuple[str, ...] = ()

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        channels: int,
        heads: int,
        width: int,
        edge_dim: int | None = None,
        u_dim: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(in_channels, int):
            in_channels = (in_channels, in_channels)
        self.in_channels, self.channels, self.heads = in_channels, channels, heads
        self.edge_dim, self.u_dim = edge_dim, u_dim
        self.lin_edge = Linear(edge_dim, width, bias=False) if edge_dim else None
        self.lin_u = Linear(u_dim, width, bias=False) if u_dim else None

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.children():
            module.reset_parameters()  # type: ignore[operator]
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("att"):
                glorot(parameter)

    def project(self, x_source: Tensor, x_target: Tensor) -> Triple:
        r"""Projects objects: the parts of targets and of sources, and the values."""
        raise NotImplementedError

    def project_u(self, u: Tensor | None) -> Tensor | None:
        r"""Projects what a set shares, :math:`(B, U)` to :math:`(B, W)`, to be added
        to its targets; :obj:`None` if the score has none."""
        like = None if self.lin_u is None else self.lin_u.weight
        check_optional(u, self.u_dim, "u", "u_dim", like)
        return None if self.lin_u is None else self.lin_u(u)

    def project_edges(self, edge_attr: Tensor | None) -> Tensor | None:
        r"""Projects edge features, :math:`(E, D)` to :math:`(E, W)`, to be added to
        their sources; :obj:`None` if the score has none."""
        like = None if self.lin_edge is None else self.lin_edge.weight
        check_optional(edge_attr, self.edge_dim, "edge_attr", "edge_dim", like)
        return None if self.lin_edge is None else self.lin_edge(edge_attr)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        r"""Scores given pairs from their projections, twice :math:`(E, W)` to
        :math:`(E, K)`."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        r"""The score, as :func:`pyg_relational.ops.pair_attention` takes it."""
        raise NotImplementedError

    def attend(self, *rows: Tensor, method: str = "auto") -> Tensor:
        r"""Attends to the values of all sources of a target's set in the cheapest way
        there is; takes targets, sources, values, and the boundaries of the two."""
        return pair_attention(*rows, **self.options())[0]

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.channels}, "
            f"heads={self.heads})"
        )


class AdditiveScore(AttentionScore):
    r"""The score of `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_.

    .. math::
        e_{ij} = \mathrm{LeakyReLU} \left( \mathbf{a}_r^{\top} \mathbf{W} \mathbf{x}_i
        + \mathbf{a}_l^{\top} \mathbf{W} \mathbf{x}_j \right)

    The value of a source is :math:`\mathbf{W} \mathbf{x}_j`; where targets and sources
    differ in width, each has a :math:`\mathbf{W}` of its own.
    """

    methods = ("sorted", "dense")

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        channels: int,
        heads: int,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        values: bool = True,
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__(in_channels, channels, heads, heads, edge_dim, u_dim)
        self.negative_slope = negative_slope
        width = heads * channels
        self.lin_l = Linear(
            self.in_channels[0], width, False, weight_initializer="glorot"
        )
        self.lin_r = None
        if not isinstance(in_channels, int):
            self.lin_r = Linear(
                in_channels[1], width, False, weight_initializer="glorot"
            )
        self.att_l = nn.Parameter(torch.empty(heads, channels))
        self.att_r = nn.Parameter(torch.empty(heads, channels))
        self.reset_parameters()

    def project(self, x_source: Tensor, x_target: Tensor) -> Triple:
        value = self.lin_l(x_source)
        if x_target is x_source and self.lin_r is None:
            own = value
        else:
            own = (self.lin_r or self.lin_l)(x_target)
        return self._score(own, self.att_r), self._score(value, self.att_l), value

    def _score(self, x: Tensor, att: Tensor) -> Tensor:
        # [N, K * C] -> [N, K]
        return (x.view(-1, self.heads, self.channels) * att).sum(-1)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        return F.leaky_relu(target + source, self.negative_slope)

    def options(self) -> dict[str, Any]:
        return {"heads": self.heads, "score_slope": self.negative_slope}

    def attend(self, *rows: Tensor, method: str = "auto") -> Tensor:
        target, source, value, *pointers = rows
        # [M, K * C] -> [M, K, C]
        value = value.view(-1, self.heads, self.channels)
        slope = self.negative_slope
        return additive_attention(
            target, source, value, *pointers, negative_slope=slope, method=method
        ).flatten(1)


class MLPScore(AttentionScore):
    r"""The score of `"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_ (GATv2), an MLP of the pair.

    .. math::
        e_{ij} = \mathbf{a}^{\top} \mathrm{LeakyReLU} \left( \mathbf{W}_r \mathbf{x}_i
        + \mathbf{W}_l \mathbf{x}_j \right)

    The value of a source is :math:`\mathbf{W}_l \mathbf{x}_j`.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        channels: int,
        heads: int,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        values: bool = True,
        negative_slope: float = 0.2,
    ) -> None:
        width = heads * channels
        super().__init__(in_channels, channels, heads, width, edge_dim, u_dim)
        self.negative_slope = negative_slope
        self.lin_l = Linear(self.in_channels[0], width, weight_initializer="glorot")
        self.lin_r = Linear(self.in_channels[1], width, weight_initializer="glorot")
        self.att = nn.Parameter(torch.empty(heads, channels))
        self.reset_parameters()

    def project(self, x_source: Tensor, x_target: Tensor) -> Triple:
        source = self.lin_l(x_source)
        return self.lin_r(x_target), source, source

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        h = F.leaky_relu(target + source, self.negative_slope)
        return (h.view(-1, self.heads, self.channels) * self.att).sum(-1)

    def options(self) -> dict[str, Any]:
        # One row a head, which reads the channels of that head alone.
        weight = torch.block_diag(*self.att.unsqueeze(1))
        return {
            "heads": self.heads,
            "score_layers": [(weight, None)],
            "score_slope": self.negative_slope,
        }


class DotScore(AttentionScore):
    r"""The scaled dot product of `"Attention Is All You Need"
    <https://arxiv.org/abs/1706.03762>`_.

    .. math::
        e_{ij} = \frac{(\mathbf{W}_r \mathbf{x}_i)^{\top} (\mathbf{W}_l \mathbf{x}_j)}
        {\sqrt{C}}

    The value of a source is :math:`\mathbf{W}_v \mathbf{x}_j`.
    """

    methods = ("dense",)

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        channels: int,
        heads: int,
        edge_dim: int | None = None,
        u_dim: int | None = None,
        values: bool = True,
    ) -> None:
        width = heads * channels
        super().__init__(in_channels, channels, heads, width, edge_dim, u_dim)
        # A bias of the keys would shift all scores of a target alike.
        self.lin_l = Linear(self.in_channels[0], width, bias=False)
        self.lin_r = Linear(self.in_channels[1], width)
        self.lin_value = Linear(self.in_channels[0], width) if values else None
        self.reset_parameters()

    def project(self, x_source: Tensor, x_target: Tensor) -> Triple:
        source = self.lin_l(x_source)
        value = source if self.lin_value is None else self.lin_value(x_source)
        return self.lin_r(x_target), source, value

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        score = (target * source).view(-1, self.heads, self.channels).sum(-1)
        return score * self.channels**-0.5

    def options(self) -> dict[str, Any]:
        return {"heads": self.heads, "score": "dot"}

    def attend(self, *rows: Tensor, method: str = "auto") -> Tensor:
        # [N, K * C] -> [N, K, C]
        qkv = (x.view(-1, self.heads, self.channels) for x in rows[:3])
        return dot_attention(*qkv, *rows[3:]).flatten(1)


SCORES: dict[str, Callable[..., AttentionScore]] = {
    "additive": AdditiveScore,
    "mlp": MLPScore,
    "dot": DotScore,
}


# Attention over relations: how much each pair counts, and what it says.


@dataclass(frozen=True)
class Projections:
    r"""What is computed for each object, once."""

    #: The targets' and the sources' part of the score, [N, W] and [M, W].
    target: Tensor
    source: Tensor
    #: The sources' values, or their part of the relation, [M, H].
    value: Tensor
    #: The targets' part of the relation, [N, H].
    target_value: Tensor | None = None


class RelationAttention(Composite):
    r"""The scores and values of pairs, which
    :class:`~pyg_relational.nn.RelationAttentionConv` and
    :class:`~pyg_relational.nn.RelationAttentionAggregation` share.

    Args:
        in_channels (int or tuple): The width of an object; a tuple gives the widths of
            sources and targets.
        out_channels (int): The width of a head.
        heads (int): The number of heads :math:`K`. (default: :obj:`1`)
        score (str): :obj:`"additive"`, :obj:`"mlp"` or :obj:`"dot"`.
            (default: :obj:`"additive"`)
        nn (PairwiseMLP, optional): The relation :math:`g` that gives the values;
            otherwise they are projections of the sources. (default: :obj:`None`)
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of what a set shares. (default: :obj:`None`)

    Raises:
        ValueError: If the widths do not fit each other.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        score: str = "additive",
        nn: PairwiseMLP | None = None,
        edge_dim: int | None = None,
        u_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_name("score", score, SCORES)
        if heads < 1:
            raise ValueError(f"'heads' must be at least 1 (got {heads})")
        self.heads, self.out_channels = heads, out_channels
        self.edge_dim, self.u_dim = edge_dim, u_dim
        self.score: AttentionScore = SCORES[score](
            in_channels, out_channels, heads, edge_dim, u_dim, values=nn is None
        )
        self.in_channels = self.score.in_channels
        self.nn = nn
        if nn is not None:
            self._check(nn)

    def _check(self, nn: PairwiseMLP) -> None:
        width = self.heads * self.out_channels
        expected = {
            "out_channels": width,
            "in_channels": self.in_channels,
            "edge_dim": self.edge_dim,
            "u_dim": self.u_dim,
        }
        for name, value in expected.items():
            if getattr(nn, name) != value:
                raise ValueError(
                    f"'nn' must have '{name}={value}', as the attention has (got "
                    f"{getattr(nn, name)})"
                )

    def project(
        self, x_source: Tensor, x_target: Tensor, u: Tensor | None, owner: Tensor
    ) -> Projections:
        r"""Projects objects."""
        like = next(self.score.parameters())
        check_features(x_source, self.in_channels[0], "x", like)
        if x_target is not x_source:
            check_features(x_target, self.in_channels[1], "x", like)
        target, source, value = self.score.project(x_source, x_target)
        target = _add_shared(target, self.score.project_u(u), owner)
        if self.nn is None:
            return Projections(target, source, value)
        target_value, value = self.nn.project(x_target, x_source)
        target_value = _add_shared(target_value, self.nn.project_u(u), owner)
        return Projections(target, source, value, target_value)

    def attend(
        self,
        x: Projections,
        target_ptr: Tensor,
        source_ptr: Tensor,
        self_pairs: bool = True,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        r"""Attends over all pairs in tiles, as
        :func:`~pyg_relational.ops.pair_attention` does: values :math:`[N, K C]` and
        log-sums :math:`[N, K]`."""
        self.check_no_edges()
        options = self.score.options()
        if self.nn is not None:
            options |= {"target_value": x.target_value, **self.nn.options()}
        return pair_attention(
            x.target,
            x.source,
            x.value,
            target_ptr,
            source_ptr,
            self_pairs=self_pairs,
            dropout=dropout,
            **options,
        )

    def check_no_edges(self) -> None:
        r"""Raises a :class:`ValueError` if pairs need edge features."""
        check_optional(None, self.edge_dim, "edge_attr", "edge_dim")

    def edge_scores(
        self, target: Tensor, source: Tensor, edge_attr: Tensor | None
    ) -> Tensor:
        r"""Scores given pairs, :math:`[E, K]`, from their rows of
        :attr:`Projections.target` and :attr:`Projections.source`."""
        edges = self.score.project_edges(edge_attr)
        return self.score(target, source if edges is None else source + edges)

    def edge_values(
        self, value: Tensor, target_value: Tensor | None, edge_attr: Tensor | None
    ) -> Tensor:
        r"""Values of given pairs, :math:`[E, K, C]`, from their rows of
        :attr:`Projections.value` and :attr:`Projections.target_value`."""
        if self.nn is not None and target_value is not None:
            value = self.nn.relate(target_value + value, edge_attr)
        # [E, K * C] -> [E, K, C]
        return value.view(-1, self.heads, self.out_channels)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"heads={self.heads}, score={self.score}, nn={self.nn})"
        )


def _add_shared(target: Tensor, shared: Tensor | None, owner: Tensor) -> Tensor:
    return target if shared is None else target + shared.index_select(0, owner)
