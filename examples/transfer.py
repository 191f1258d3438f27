"""Transfer: a net that has read film review sentences learns to judge whole reviews
from few of them.

The source is a run of the recipe `sentiment` (Rotten Tomatoes sentences); it is trained
if `--run` names none. Its head is replaced, and the model learns from few IMDB reviews:
frozen (only the head learns), fine-tuned, or from scratch. `--smoke` only runs.
"""

import argparse
import statistics
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import MovieReviews
from pyg_relational.models import R2N2
from pyg_relational.train import configure, load_model, read_config, train

WORDS = 60  # of each review


def source_run(folder: Path, root: str, smoke: bool) -> Path:
    """Train the source model, unless the folder holds a finished run."""
    if not (folder / "results.json").is_file():
        config = configure(
            "sentiment",
            command="examples/transfer.py",
            max_steps=3 if smoke else None,
            data_root=root,
            baseline=False,
        )
        train(config | {"references": []}, folder, overwrite=True)
    return folder


def reviews(run: Path, root: str, labels: int, tests: int) -> tuple[list, list]:
    """IMDB reviews in the words that the source model knows."""
    known = MovieReviews(root, **read_config(run)["dataset"]["args"])
    imdb = MovieReviews(root, source="imdb", max_length=WORDS)

    def translate(number: int) -> Data:
        words = imdb.vocabulary.decode(imdb[number].x)
        return Data(x=known.vocabulary.encode(words), y=imdb[number].y)

    order = torch.randperm(len(imdb), generator=torch.Generator().manual_seed(0))
    chosen = [translate(number) for number in order[: labels + tests].tolist()]
    return chosen[:labels], chosen[labels:]


def accuracy(model: R2N2, train_set: list, test_set: list, epochs: int) -> float:
    """Train on few reviews, return the share of right answers about others."""
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-3, weight_decay=1e-2)
    for _ in range(epochs):
        model.train()
        for batch in DataLoader(train_set, batch_size=16, shuffle=True):
            out = model(batch.x, batch=batch.batch, batch_size=batch.num_graphs)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(out, batch.y).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = [
            model(b.x, batch=b.batch, batch_size=b.num_graphs).argmax(1) == b.y
            for b in DataLoader(test_set, batch_size=128)
        ]
    return torch.cat(right).float().mean().item()


def main() -> None:
    """Compare the three ways to learn, over three seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/transfer-source"))
    parser.add_argument("--data-root", default="datasets/movie-reviews")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--smoke", action="store_true", help="seconds")
    options = parser.parse_args()
    labels, tests, epochs = (8, 20, 1) if options.smoke else (options.labels, 2000, 15)
    run = source_run(options.run, options.data_root, options.smoke)
    train_set, test_set = reviews(run, options.data_root, labels, tests)
    print(f"{labels} labelled reviews, {tests} test reviews, 3 seeds")
    for name in ("scratch", "frozen", "fine-tuned"):
        scores = []
        for seed in range(1 if options.smoke else 3):
            torch.manual_seed(seed)
            model = load_model(run)
            model.head.reset_parameters()  # a new head for the new task
            if name == "scratch":
                model.reset_parameters()
            model.backbone.requires_grad_(name != "frozen")
            scores.append(accuracy(model, train_set, test_set, epochs))
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        print(f"{name:<11} {statistics.mean(scores):.1%} ± {spread:.1%}")


if __name__ == "__main__":
    main()
