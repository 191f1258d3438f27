"""A relation network over all pairs of a million objects, forward and backward.

The pairs are never listed: with one hidden layer and a plain last layer, the sum over
all of them costs a sort. `--smoke` takes 20,000 objects.
"""

import argparse
import resource
import sys
import time

import torch

from pyg_relational.models import RelationNetwork

WIDTH = 64


def main() -> None:
    """Time a forward and a backward pass and print the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--smoke", action="store_true", help="20,000 objects")
    arguments = parser.parse_args()
    number = 20_000 if arguments.smoke else arguments.objects

    torch.manual_seed(0)
    x = torch.randn(number, 8)
    model = RelationNetwork(
        in_channels=8,
        out_channels=2,
        relation_channels=[WIDTH, WIDTH],
        readout_channels=[WIDTH],
        plain_last=True,
        aggr="mean",
    )
    started = time.perf_counter()
    out = model(x)
    forward = time.perf_counter() - started
    out.sum().backward()
    backward = time.perf_counter() - started - forward

    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    textbook = 4 * number**2 * 2 * 8
    print(f"{number:,} objects, {number**2:,} pairs, one hidden layer of {WIDTH}")
    print(f"forward {forward:.2f} s, backward {backward:.2f} s")
    print(f"peak memory of the process {peak / 1e9:.2f} GB")
    print(f"concatenated pairs alone would take {textbook / 1e9:,.0f} GB")
    print(f"answer {[round(value, 4) for value in out.flatten().tolist()]}")


if __name__ == "__main__":
    main()
