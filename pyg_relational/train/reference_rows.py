"""The rows of a split that references are fitted to."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.train.errors import UsageError


def attribute(sample: Data, name: str) -> Tensor:
    """Return an attribute of a sample.

    Raises:
        UsageError: If the sample does not hold it.
    """
    value: Tensor | None = sample.get(name)
    if value is None:
        held = ", ".join(sorted(sample.keys()))
        raise UsageError(f"this reference needs '{name}'; the samples hold {held}")
    return value


def concatenated(split: Any, name: str) -> Tensor:
    """Return an attribute of all samples, one after the other."""
    return torch.cat([attribute(sample, name) for sample in split])


def target_values(split: Any) -> Tensor:
    """Return the values ``y`` :math:`(R, C)` of all samples.

    Raises:
        UsageError: If ``y`` is no table of values.
    """
    y = concatenated(split, "y")
    if y.dim() != 2 or not y.is_floating_point():
        raise UsageError(
            f"this reference needs values y [R, C], got {list(y.shape)} of {y.dtype}"
        )
    return y


def cosine_rows(split: Any) -> Tensor:
    """Return the cosine of the two embeddings of each sample, :math:`(R, 1)`.

    Raises:
        UsageError: If a sample holds something else.
    """
    return torch.stack([_cosine(sample) for sample in split]).unsqueeze(1)


def flat_rows(*splits: Any) -> list[Any]:
    """Of each split, the steps that each row of ``y`` is told from, side by side."""
    if not isinstance(splits[0][0], TemporalGraph):
        return [_flat_sequences(split) for split in splits]
    length = min(int(sample.num_frames) for split in splits for sample in split)
    return [torch.cat([_last(x, length) for x in split]).numpy() for split in splits]


def _cosine(sample: Data) -> Tensor:
    x, side = attribute(sample, "x"), sample.get("side")
    if side is not None:
        x = torch.stack([x[side == part].mean(dim=0) for part in (0, 1)])
    if x.dim() != 2 or x.size(0) != 2 or not x.is_floating_point():
        raise UsageError(
            f"reference 'cosine' needs two embeddings x [2, F], got {list(x.shape)} of "
            f"{x.dtype}"
        )
    return torch.cosine_similarity(x[0], x[1], dim=0)


def _last(sample: TemporalGraph, length: int) -> Tensor:
    x, mask = attribute(sample, "x"), attribute(sample, "mask")
    # The features of an absent node may be anything.
    x = torch.where(mask.unsqueeze(2), x, 0.0)
    # [N, T, F] -> [N, length * F]
    return x[:, x.size(1) - length :].flatten(1)


def _flat_sequences(split: Any) -> Any:
    length = concatenated(split, "length")
    x = concatenated(split, "x")
    steps = int(length[0])
    if x.dim() != 2 or (length != steps).any():
        raise UsageError(
            "reference 'ridge' needs sequences x [S, F] of one length, got "
            f"x {list(x.shape)} and lengths from {int(length.min())} to "
            f"{int(length.max())}"
        )
    # [R * steps, F] -> [R, steps * F]
    return x.reshape(len(length), -1).numpy()
