"""Our layers and aggregations inside PyG's own containers, models and loaders.

Each line of the output is one container: a forward and a backward pass, and the
largest gradient that arrives. `--smoke` is the same.
"""

import argparse

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GCN, GIN, GPSConv, HeteroConv, Sequential
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import erdos_renyi_graph

from pyg_relational.nn import (
    GraphRelationConv,
    PairwiseMLP,
    RelationAggregation,
    RelationAttentionConv,
    RelationConv,
)

WIDTH = 16


def relation(width: int | tuple[int, int] = WIDTH) -> PairwiseMLP:
    """The relation of two nodes."""
    return PairwiseMLP(width, [WIDTH, WIDTH])


def models() -> dict[str, nn.Module]:
    """PyG's models and containers, each with a part of ours."""
    pairs = RelationAggregation(relation())
    return {
        "GCN, neighbours related in pairs": GCN(WIDTH, WIDTH, 2, aggr=pairs),
        "GIN, neighbours related in pairs": GIN(WIDTH, WIDTH, 2, aggr=pairs),
        "GPSConv of relations": GPSConv(WIDTH, RelationConv(relation()), heads=2),
        "Sequential": Sequential(
            "x, edge_index",
            [
                (GraphRelationConv(WIDTH, WIDTH), "x, edge_index -> x"),
                (nn.ReLU(), "x -> x"),
                (RelationAttentionConv(WIDTH, WIDTH // 2, 2), "x, edge_index -> x"),
            ],
        ),
        "torch.compile": torch.compile(RelationConv(relation())),
    }


def report(name: str, out: Tensor, x: Tensor) -> None:
    """Print what comes out and what arrives at the input."""
    (gradient,) = torch.autograd.grad(out[0].square().mean(), x)
    print(f"{name:34} {list(out.shape)!s:10} gradient {gradient.abs().max():.4f}")


def hetero() -> tuple[Tensor, Tensor]:
    """Papers hear of their authors, authors of their papers."""
    data = HeteroData()
    data["author"].x = torch.randn(6, 4, requires_grad=True)
    data["paper"].x = torch.randn(9, WIDTH)
    data["author", "writes", "paper"].edge_index = torch.randint(0, 6, (2, 20))
    data["paper", "by", "author"].edge_index = torch.randint(0, 6, (2, 20))
    conv = HeteroConv(
        {
            ("author", "writes", "paper"): RelationConv(relation((4, WIDTH))),
            ("paper", "by", "author"): GraphRelationConv((WIDTH, 4), WIDTH),
        }
    )
    out = conv(data.x_dict, data.edge_index_dict)
    return out["paper"], data["author"].x


def main() -> None:
    """Run every container once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the same")
    parser.parse_args()
    torch.manual_seed(0)
    x = torch.randn(60, WIDTH, requires_grad=True)
    edge_index = erdos_renyi_graph(60, 0.1)
    for name, model in models().items():
        report(name, model(x, edge_index), x)
    report("HeteroConv", *hetero())
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        print("NeighborLoader: needs pyg-lib or torch-sparse")
        return
    model = models()["Sequential"]
    data, whole = Data(x=x.detach(), edge_index=edge_index), model(x, edge_index)
    error = 0.0
    for part in NeighborLoader(data, [-1, -1], batch_size=20):
        seeds = slice(part.batch_size)
        difference = model(part.x, part.edge_index)[seeds] - whole[part.n_id[seeds]]
        error = max(error, float(difference.abs().max()))
    print(f"NeighborLoader: largest difference to the full graph {error:.1e}")


if __name__ == "__main__":
    main()
