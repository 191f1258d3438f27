"""The relation g: what a pair of objects says."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.resolver import activation_resolver
from torch_geometric.utils import segment

from pyg_relational.nn.checks import NotFiniteError, check_features, check_optional
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import (
    batch_to_ptr,
    fully_connected_edges,
    mlp_pair_reduce,
    relu_pair_sum,
    relu_pair_total,
)


def cross_pairs(
    side: Tensor, batch: Tensor | None = None, batch_size: int | None = None
) -> Tensor:
    r"""Lists the pairs of objects on different sides of each graph, in both
    directions."""
    if side.dim() != 1 or side.dtype != torch.long:
        raise ValueError(
            f"'side' must be a vector of dtype int64 (got shape {list(side.shape)}, "
            f"dtype {side.dtype})"
        )
    if bool(((side != 0) & (side != 1)).any()):
        raise ValueError(
            f"'side' must be 0 or 1 for each object (got {side.unique().tolist()})"
        )
    graphs = set_ptr(batch, side.numel(), batch_size, side.device).numel() - 1
    owner = 2 * (0 if batch is None else batch) + side
    # A set for each side of each graph, beside the set of the other side.
    target = owner.argsort(stable=True)
    source = (owner + 1 - 2 * side).argsort(stable=True)
    target_ptr = batch_to_ptr(owner[target], 2 * graphs)
    other = owner[source] + 1 - 2 * side[source]
    source_ptr = batch_to_ptr(other, 2 * graphs)
    pairs = fully_connected_edges(ptr=target_ptr, source_ptr=source_ptr)
    return torch.stack([source[pairs[0]], target[pairs[1]]])


INTERACTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "difference": lambda source, target: (target - source).abs(),
    "offset": lambda source, target: target - source,
    "product": lambda source, target: source * target,
}


def check_interactions(names: Sequence[str]) -> list[str]:
    """Return names of interactions as a list; refuse unknown and repeated ones."""
    known = ", ".join(INTERACTIONS)
    if isinstance(names, str) or not {*names} <= {*INTERACTIONS}:
        raise ValueError(f"'interactions' must be a list of {known} (got {names!r})")
    if len({*names}) != len(names):
        raise ValueError(f"'interactions' must not repeat a name (got {list(names)})")
    return list(names)


def pair_interactions(
    x: Tensor,
    edge_label_index: Tensor,
    names: Sequence[str] = ("difference", "product"),
) -> Tensor:
    r"""Returns interactions of the features of given pairs, as edge features.

    Of a pair from source :math:`j` to target :math:`i`, the `"difference"` is
    :math:`|\mathbf{x}_i - \mathbf{x}_j|`, the `"offset"`
    :math:`\mathbf{x}_i - \mathbf{x}_j` and the `"product"`
    :math:`\mathbf{x}_i \odot \mathbf{x}_j`."""
    check_interactions(names)
    source, target = x[edge_label_index[0]], x[edge_label_index[1]]
    out = torch.cat([INTERACTIONS[name](source, target) for name in names], dim=-1)
    if torch.compiler.is_compiling() or out.numel() == 0:
        return out
    low, high = out.detach().aminmax()
    if not math.isfinite(float(high - low)):
        raise NotFiniteError(
            f"'x' must be finite and small enough to multiply (got features up to "
            f"{float(x.detach().abs().amax()):.1e}); scale them first"
        )
    return out


class PairMessages(NamedTuple):
    r"""What each pair adds to its set: the sum over a set's pairs is what a model's
    :attr:`readout` reads.

    Args:
        edge_index (torch.Tensor): Sources and targets of the pairs, :math:`[2, E]`.
        message (torch.Tensor): What each adds, :math:`[E, F]`.
        owner (torch.Tensor): The set (or question) of each pair, :math:`[E]`.
        ptr (torch.Tensor): Boundaries of the sets among the objects,
            :math:`[B + 1]`.
    """

    edge_index: Tensor
    message: Tensor
    owner: Tensor
    ptr: Tensor


ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")


class PairwiseMLP(nn.Module):
    r"""The relation :math:`g` of two objects, an MLP on their concatenation.

    .. math::
        g(\mathbf{x}_i, \mathbf{x}_j, \mathbf{e}, \mathbf{u}) =
        \mathrm{MLP}(\mathbf{x}_i \, \Vert \, \mathbf{x}_j \, \Vert \, \mathbf{e} \,
        \Vert \, \mathbf{u})

    The first layer is linear in its parts, so it projects every object once as target
    and once as source, and pairs only add the projections up: :math:`2N` projections
    instead of :math:`N^2`. Reductions over all pairs use the exact operators of
    :mod:`pyg_relational.ops` and never list the pairs.

    Args:
        in_channels (int or tuple): The width of an object; a tuple gives the widths of
            sources and targets where these differ.
        channel_list (list of int): The widths of the layers after the input.
        edge_dim (int, optional): The width of edge features. (default: :obj:`None`)
        u_dim (int, optional): The width of the features :math:`\mathbf{u}` that all
            pairs of a set share, such as a question. (default: :obj:`None`)
        act (str): :obj:`"relu"`, :obj:`"leaky_relu"`, :obj:`"elu"`, :obj:`"gelu"`,
            :obj:`"silu"` or :obj:`"tanh"`. (default: :obj:`"relu"`)
        negative_slope (float): The slope of :obj:`"leaky_relu"`.
            (default: :obj:`0.01`)
        plain_last (bool): If set, the last layer has no activation. It then commutes
            with sums and means. (default: :obj:`False`)

    Shapes:
        - **input:** targets :math:`(P, F_t)`, sources :math:`(P, F_s)`, edge features
          :math:`(P, D)`, shared features :math:`(P, U)`, one row a pair
        - **output:** :math:`(P, F_{out})`

    Raises:
        ValueError: If the widths cannot make a relation, or inputs do not fit them.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        channel_list: Sequence[int],
        edge_dim: int | None = None,
        u_dim: int | None = None,
        act: str = "relu",
        negative_slope: float = 0.01,
        plain_last: bool = False,
    ) -> None:
        super().__init__()
        if len(channel_list) < 1 + plain_last:
            raise ValueError(
                f"'channel_list' must name at least {1 + plain_last} layers with "
                f"'plain_last={plain_last}' (got {list(channel_list)}); without a "
                f"hidden layer a relation is a sum of its two ends"
            )
        if act not in ACTIVATIONS:
            raise ValueError(f"'act' must be one of {ACTIVATIONS} (got {act!r})")
        if isinstance(in_channels, int):
            in_channels = (in_channels, in_channels)
        self.in_channels = in_channels
        self.channel_list = list(channel_list)
        self.out_channels = self.channel_list[-1]
        self.edge_dim, self.u_dim = edge_dim, u_dim
        self.act, self.plain_last = act, plain_last
        self.negative_slope = negative_slope if act == "leaky_relu" else 0.0

        hidden = self.channel_list[0]
        # The parts of one linear layer start as one: scaled by their joint fan-in.
        self.lin_l = Linear(in_channels[0], hidden, bias=False)
        self.lin_r = Linear(in_channels[1], hidden)
        self.lin_edge = Linear(edge_dim, hidden, bias=False) if edge_dim else None
        self.lin_u = Linear(u_dim, hidden, bias=False) if u_dim else None
        self.lins = nn.ModuleList(
            Linear(width, out)
            for width, out in zip(
                self.channel_list, self.channel_list[1:], strict=False
            )
        )
        kwargs = {"negative_slope": negative_slope} if act == "leaky_relu" else {}
        self.activation = activation_resolver(act, **kwargs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        parts = [self.lin_l, self.lin_r, self.lin_edge, self.lin_u]
        first = [part for part in parts if part is not None]
        bound = sum(part.in_channels for part in first) ** -0.5
        for part in first:
            nn.init.uniform_(part.weight, -bound, bound)
        nn.init.uniform_(self.lin_r.bias, -bound, bound)
        for lin in self.lins:
            lin.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        x_i: Tensor,
        x_j: Tensor,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
    ) -> Tensor:
        r"""Relates given pairs: row :math:`k` of every input belongs to pair
        :math:`k`; :obj:`x_i` are the targets, :obj:`x_j` the sources."""
        target, source = self.project(x_i, x_j, ("x_j", "x_i"))
        shared = self.project_u(u)
        for name, x in (("x_j", x_j), ("edge_attr", edge_attr), ("u", u)):
            if x is not None and x.size(0) != x_i.size(0):
                raise ValueError(
                    f"'{name}' must have one row a pair, as 'x_i' has "
                    f"{x_i.size(0)} (got {x.size(0)})"
                )
        h = target + source
        return self.relate(h if shared is None else h + shared, edge_attr)

    def project(
        self,
        x_target: Tensor,
        x_source: Tensor,
        names: tuple[str, str] = ("x", "x"),
    ) -> tuple[Tensor, Tensor]:
        r"""Applies the first layer to objects: their parts as target (with the bias)
        and as source, each of shape :math:`(N, H)`; errors call sources and targets by
        :obj:`names`."""
        check_features(x_source, self.in_channels[0], names[0], self.lin_l.weight)
        if x_target is not x_source:
            check_features(x_target, self.in_channels[1], names[1], self.lin_r.weight)
        return self.lin_r(x_target), self.lin_l(x_source)

    def project_u(self, u: Tensor | None) -> Tensor | None:
        r"""Applies the first layer to shared features, :math:`(*, U)` to
        :math:`(*, H)`; :obj:`None` if the relation has none."""
        like = self.lin_l.weight
        check_optional(u, self.u_dim, "u", "u_dim", like)
        return None if self.lin_u is None else self.lin_u(u)

    def relate(self, h: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        r"""Finishes pairs whose projections were added up, :math:`(P, H)`."""
        h = self._with_edges(h, edge_attr)
        for lin in self.lins:
            h = lin(self.activation(h))
        return h if self.plain_last else self.activation(h)

    def commutes(self, reduce: Any) -> bool:
        r"""Whether the last layer may be applied after the reduction, to rows instead
        of pairs: with :obj:`plain_last` and a sum or mean."""
        return self.plain_last and len(self.lins) > 0 and reduce in ("sum", "mean")

    def relate_hidden(self, h: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        r"""As :meth:`relate`, but stops before the last layer; a column of ones
        counts the pairs, :math:`(P, H + 1)`."""
        h = self._with_edges(h, edge_attr)
        for lin in self.lins[:-1]:
            h = lin(self.activation(h))
        h = self.activation(h)
        return torch.cat([h, h.new_ones(h.size(0), 1)], dim=-1)

    def finish(self, h: Tensor) -> Tensor:
        r"""Applies the last layer to reduced rows of :meth:`relate_hidden`, with its
        bias as often as there were pairs."""
        ((weight, bias),) = self._layers()[-1:]
        return F.linear(h, torch.cat([weight, bias.unsqueeze(1)], dim=1))

    def reduce(
        self,
        target: Tensor,
        source: Tensor,
        target_ptr: Tensor,
        source_ptr: Tensor,
        *,
        reduce: str = "sum",
        self_pairs: bool = True,
        total: bool = False,
        method: str = "auto",
    ) -> Tensor:
        r"""Reduces the relation over all pairs of each set without listing them.

        Args:
            target (torch.Tensor): Projections from :meth:`project` (plus those of
                :meth:`project_u`), shape :math:`[N, H]`.
            source (torch.Tensor): Projections from :meth:`project`, :math:`[M, H]`.
            target_ptr (torch.Tensor): Boundaries of the sets, :math:`[B + 1]`.
            source_ptr (torch.Tensor): Boundaries of the sets, :math:`[B + 1]`.
            reduce (str): :obj:`"sum"`, :obj:`"mean"`, :obj:`"max"` or :obj:`"min"`.
                (default: :obj:`"sum"`)
            self_pairs (bool): Whether an object meets itself.
                (default: :obj:`True`)
            total (bool): Whether to reduce over the targets too.
                (default: :obj:`False`)
            method (str): The method of the operator. (default: :obj:`"auto"`)

        Returns:
            torch.Tensor: Shape :math:`[N, F_{out}]`, or :math:`[B, F_{out}]` with
            :obj:`total`; zero where there is no pair.
        """
        if self.edge_dim is not None:
            raise ValueError(
                f"'edge_attr' is missing; a relation with 'edge_dim={self.edge_dim}' "
                f"needs 'edge_index' and 'edge_attr', all pairs have no edge features"
            )
        if self._sums_one_layer(reduce):
            operator = relu_pair_total if total else relu_pair_sum
            out = operator(
                target,
                source,
                target_ptr,
                source_ptr,
                negative_slope=self.negative_slope,
                reduce=reduce,
                self_pairs=self_pairs,
                method=method,
            )
            if not self.plain_last:
                return out
            pairs = source_ptr.diff() - int(not self_pairs)
            sizes = target_ptr.diff()
            if total:
                pairs = pairs * sizes
            else:
                pairs = pairs.repeat_interleave(sizes, output_size=target.size(0))
            if reduce == "mean":
                pairs = pairs.clamp_max(1)
            # The last layer commutes with the sum; its bias counts once a pair.
            ((weight, bias),) = self._layers()
            pairs = pairs.clamp_min(0).to(out.dtype)
            return F.linear(out, weight).addr(pairs, bias.to(out.dtype))
        out = mlp_pair_reduce(
            target,
            source,
            self._layers(),
            target_ptr,
            source_ptr,
            reduce=reduce,
            act=self.act,
            negative_slope=self.negative_slope,
            plain_last=self.plain_last,
            self_pairs=self_pairs,
            method=method,
        )
        return segment(out, target_ptr, reduce) if total else out

    def options(self) -> dict[str, Any]:
        r"""What follows the projections, as
        :func:`pyg_relational.ops.pair_attention` takes it for values."""
        return {
            "value_layers": self._layers(),
            "act": self.act,
            "negative_slope": self.negative_slope,
            "plain_last": self.plain_last,
        }

    def _with_edges(self, h: Tensor, edge_attr: Tensor | None) -> Tensor:
        like = self.lin_l.weight
        check_optional(edge_attr, self.edge_dim, "edge_attr", "edge_dim", like)
        return h if self.lin_edge is None else h + self.lin_edge(edge_attr)

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        return [(lin.weight, lin.bias) for lin in self.lins]  # type: ignore[misc]

    def _sums_one_layer(self, reduce: str) -> bool:
        return (
            reduce in ("sum", "mean")
            and self.act in ("relu", "leaky_relu")
            and len(self.lins) == int(self.plain_last)
        )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.channel_list}, "
            f"act={self.act})"
        )
