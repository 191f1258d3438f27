"""A relation learns what a symbolic predicate says: is this object larger than that?

The predicate `larger` labels all pairs, and a `PairRelation` learns to agree. It is
asked about unseen objects, in larger sets, and of sizes beyond the 0 to 1 of training.
`--smoke` only runs.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch_geometric.data import Batch, Data

from pyg_relational.explain.constraints import antisymmetry, transitivity
from pyg_relational.models import PairRelation
from pyg_relational.transforms import AddRelations

NAMES = ["size", "at.x", "at.y", "color=red", "color=green", "color=blue"]


def scenes(sets: int, objects: int, low: float = 0.0, high: float = 1.0) -> Batch:
    """Sets of random objects, all pairs labelled by the predicate."""
    x = torch.rand(sets, objects, len(NAMES))
    x[..., 0] = low + (high - low) * x[..., 0]
    x[..., 3:] = torch.eye(3)[torch.randint(3, (sets, objects))]
    batch = Batch.from_data_list([Data(x=rows) for rows in x])
    return AddRelations(["larger"], columns=NAMES)(batch)


def train(model: PairRelation, data: Batch, steps: int, pairs: int = 2048) -> None:
    """Minimise the cross-entropy on random pairs."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(data.edge_label.size(0), (pairs,))
        out = model(data.x, data.edge_label_index[:, chosen])
        optimizer.zero_grad()
        cross_entropy(out, data.edge_label[chosen]).backward()
        optimizer.step()
        schedule.step()


def report(name: str, model: PairRelation, data: Batch) -> tuple[torch.Tensor, ...]:
    """Print agreement and constraints; return each pair's difference and agreement."""
    index = data.edge_label_index
    with torch.no_grad():
        probability = model(data.x, index).sigmoid()[:, 0]
    agree = (probability > 0.5) == (data.edge_label[:, 0] > 0.5)
    difference = data.x[index[0], 0] - data.x[index[1], 0]
    print(f"{name}: {agree.float().mean():.2%} of {agree.numel():,} pairs agree")
    wrong = difference[~agree].abs()
    if wrong.numel():
        middle, most = wrong.median(), wrong.max()
        print(f"  sizes where it disagrees: {middle:.4f} apart, at most {most:.4f}")
    for constraint in (antisymmetry, transitivity):
        held = constraint(index, probability, data.batch, data.num_graphs)
        print(f"  {constraint.__name__} holds in {held}")
    return difference, agree


def draw(results: dict[str, tuple[torch.Tensor, ...]], path: Path) -> None:
    """Draw the agreement against the difference of the sizes."""
    ax = Figure(figsize=(6, 3.5), layout="compressed").subplots()
    edges = torch.linspace(-0.1, 0.1, 41)
    for name, (difference, agree) in results.items():
        bins = torch.bucketize(difference, edges)
        share = [float(agree[bins == k].float().mean()) for k in range(1, len(edges))]
        ax.plot((edges[1:] + edges[:-1]) / 2, share, label=name)
    ax.set(xlabel="size of a minus size of b", ylabel="agreement with larger(a, b)")
    ax.legend()
    ax.figure.savefig(path)
    print(f"picture: {path}")


def main() -> None:
    """Train, then ask about unseen objects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default="learn-larger.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="seconds")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    sets, steps = (200, 20) if options.smoke else (4000, 2000)
    model = PairRelation(len(NAMES), 1, relation_channels=[64])
    train(model, scenes(sets, 6), steps)
    tests = {
        "unseen objects": scenes(sets, 6),
        "sets of 20": scenes(sets // 10, 20),
        "sizes from 1 to 2": scenes(sets, 6, 1.0, 2.0),
        "sizes from 1 to 3": scenes(sets, 6, 1.0, 3.0),
    }
    results = {name: report(name, model, data) for name, data in tests.items()}
    draw(results, options.output)


if __name__ == "__main__":
    main()
