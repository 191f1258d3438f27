"""Random batches of sets for tests."""

from collections.abc import Sequence

import torch
from torch_geometric.data import Batch, Data

from pyg_relational.ops import fully_connected_edges


def random_sets(
    sizes: Sequence[int],
    in_channels: int,
    u_dim: int | None = None,
    edge_dim: int | None = None,
    edges: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    r"""Makes a batch of sets (or graphs) with normally distributed features.

    Args:
        sizes (list of int): The number of objects of each set; zero is allowed.
        in_channels (int): The width of an object.
        u_dim (int, optional): The width of what a set shares, :obj:`u`.
            (default: :obj:`None`)
        edge_dim (int, optional): The width of edge features; implies :obj:`edges`.
            (default: :obj:`None`)
        edges (bool): Whether each set gets edges: each ordered pair with probability
            one half. (default: :obj:`False`)
        seed (int): The seed. (default: :obj:`0`)
        dtype (torch.dtype): The dtype of features. (default: :obj:`torch.float64`)
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    graphs = []
    for size in sizes:
        data = Data(x=normal(size, in_channels), num_nodes=size)
        if u_dim is not None:
            data.u = normal(1, u_dim)
        if edges or edge_dim is not None:
            pairs = fully_connected_edges(torch.tensor([0, size]))
            kept = torch.rand(pairs.size(1), generator=generator) < 0.5
            data.edge_index = pairs[:, kept]
            if edge_dim is not None:
                data.edge_attr = normal(data.edge_index.size(1), edge_dim)
        graphs.append(data)
    return Batch.from_data_list(graphs)
