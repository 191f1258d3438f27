from collections.abc import Sequence

from torch import Tensor, nn

from pyg_relational.nn import PairwiseMLP
from pyg_relational.nn.index_checks import check_edges
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch


class PairRelation(nn.Module):
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

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        reset = getattr(self.encoder, "reset_parameters", None)
        if reset is not None:
            reset()
        self.relation.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Objects.
            edge_index (torch.Tensor): The pairs to score, shape :math:`[2, P]`.
            edge_attr (torch.Tensor, optional): Features of the pairs.
                (default: :obj:`None`)
            u (torch.Tensor, optional): What all pairs of a graph share.
                (default: :obj:`None`)
            batch (torch.Tensor, optional): The graph of each object.
                (default: :obj:`None`)
            batch_size (int, optional): The number of graphs, not needed here.
                (default: :obj:`None`)
        """
        if edge_index is None:
            raise ValueError(
                "'edge_index' is missing; name the pairs to score, all of them with "
                "'pyg_relational.ops.fully_connected_edges(ptr)'"
            )
        if self.encoder is not None:
            x = self.encoder(x)
        target, source = self.relation.project(x, x)
        check_edges(edge_index, edge_attr, x, x.size(0))
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
            target[edge_index[1]] + source[edge_index[0]], edge_attr
        )
