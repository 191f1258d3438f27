"""Which words decided? A heat map of the attention of a trained sentiment model.

`pyg-relational train sentiment --model attention` trains one; name its run folder with
`--run`. `--smoke` draws a model that has not been trained.
"""

import argparse
from pathlib import Path

import torch
from torch_geometric.data import Batch

from pyg_relational.datasets import MovieReviews
from pyg_relational.explain import plot_steps
from pyg_relational.models import TemporalRelationNetwork

SENTENCES = (
    "a gorgeous , witty , seductive movie .",
    "the film is dull and far too long .",
    "not a bad film , and often a very funny one .",
    "it fails to be funny , moving or even interesting .",
)


def main() -> None:
    """Read some sentences, print the answers, draw the weights of their words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--data-root", default="datasets/movie-reviews")
    parser.add_argument("--output", type=Path, default=Path("word-attention.png"))
    parser.add_argument("--smoke", action="store_true", help="seconds")
    options = parser.parse_args()
    dataset = MovieReviews(options.data_root)
    if options.run is None:
        torch.manual_seed(0)
        model = TemporalRelationNetwork(8, 2, 8, num_tokens=dataset.num_tokens).eval()
    else:
        from pyg_relational.train import load_model

        model = load_model(options.run)
    samples = [dataset.sentence_from_text(text) for text in SENTENCES]
    batch = Batch.from_data_list(samples)
    with torch.no_grad():
        out, (edge_index, alpha) = model(
            batch.x, batch=batch.batch, return_attention_weights=True
        )
    for text, row in zip(SENTENCES, out.softmax(-1).tolist(), strict=True):
        print(f"{dataset.ANSWERS[row[1] > 0.5]:<8} {max(row):.0%}  {text}")
    words = [dataset.vocabulary.decode(sample.x) for sample in samples]
    plot_steps(alpha, edge_index[1], steps=words, path=options.output)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
