from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.nn import MLP

from pyg_relational.nn.checks import check_alike, check_features, check_optional
from pyg_relational.nn.index_checks import check_edges
from pyg_relational.nn.sets import ask, set_ptr


class ObjectEncoder(nn.Module):
    r"""Reads each object together with what its set is asked.

    .. math::
        \mathbf{x}^{\prime}_{i, q} = \mathrm{MLP}(\mathbf{x}_i \, \Vert \,
        \mathbf{u}_q)

    A set that is asked several questions becomes several sets, one for each.

    Args:
        in_channels (int): The width of an object.
        channel_list (list of int): The widths of the layers; with none, objects and
            question are only concatenated. (default: :obj:`()`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation. (default: :obj:`"relu"`)

    Shapes:
        - **input:** objects :math:`(N, F)`, questions :math:`(Q, U)`, graph of each
          object :math:`(N)`, graph of each question :math:`(Q)`
        - **output:** objects :math:`(N^{\prime}, F_{out})` and the boundaries of their
          sets :math:`(Q + 1)`, edges and edge features

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are
            not finite.
    """

    def __init__(
        self,
        in_channels: int,
        channel_list: Sequence[int] = (),
        u_dim: int | None = None,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.u_dim = in_channels, u_dim
        channels = [in_channels + (u_dim or 0), *channel_list]
        self.out_channels = channels[-1]
        self.mlp = None
        if channel_list:
            self.mlp = MLP(channels, act=act, norm=None, plain_last=False)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        if self.mlp is not None:
            self.mlp.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Objects, shape :math:`[N, F]`.
            edge_index (torch.Tensor, optional): Edges, repeated with their sets.
                (default: :obj:`None`)
            edge_attr (torch.Tensor, optional): Their features. (default: :obj:`None`)
            u (torch.Tensor, optional): One row per graph or question.
                (default: :obj:`None`)
            batch (torch.Tensor, optional): The graph of each object, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of graphs. (default: :obj:`None`)
            u_batch (torch.Tensor, optional): The graph of each question.
                (default: :obj:`None`)
        """
        like = None if self.mlp is None else self.mlp.lins[0].weight
        check_features(x, self.in_channels, "x", like)
        check_optional(u, self.u_dim, "u", "u_dim", like)
        check_alike(x, u, ("x", "u"))
        check_edges(edge_index, edge_attr, x, x.size(0))
        if batch_size is None and u is not None and u_batch is None:
            batch_size = u.size(0)
        ptr = set_ptr(batch, x.size(0), batch_size, x.device)
        if u is not None:
            x, ptr, edge_index, edge_attr = ask(
                x, ptr, u, u_batch, edge_index, edge_attr
            )
        if self.mlp is not None:
            x = self.mlp(x)
        return x, ptr, edge_index, edge_attr
