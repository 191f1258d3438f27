"""Attention over relations: how much each pair counts, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from pyg_relational.nn.attention_score import SCORES, AttentionScore
from pyg_relational.nn.checks import check_features, check_optional
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.ops import pair_attention
from pyg_relational.ops.checks import check_choice


@dataclass(frozen=True)
class Projections:
    r"""What is computed for each object, once.

    Args:
        target (torch.Tensor): The targets' part of the score, :math:`[N, W]`.
        source (torch.Tensor): The sources' part of the score, :math:`[M, W]`.
        value (torch.Tensor): The sources' values, or their part of the relation,
            :math:`[M, H]`.
        target_value (torch.Tensor, optional): The targets' part of the relation,
            :math:`[N, H]`. (default: :obj:`None`)
    """

    target: Tensor
    source: Tensor
    value: Tensor
    target_value: Tensor | None = None


class RelationAttention(nn.Module):
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
        check_choice(score, SCORES, "score")
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

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.score.reset_parameters()
        if self.nn is not None:
            self.nn.reset_parameters()

    def project(
        self, x_source: Tensor, x_target: Tensor, u: Tensor | None, owner: Tensor
    ) -> Projections:
        r"""Projects objects.

        Args:
            x_source (torch.Tensor): Sources, :math:`[M, F_s]`.
            x_target (torch.Tensor): Targets, :math:`[N, F_t]`.
            u (torch.Tensor, optional): What each set shares, :math:`[B, U]`.
            owner (torch.Tensor): The set of each target, :math:`[N]`.
        """
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
