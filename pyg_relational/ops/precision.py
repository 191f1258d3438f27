"""The dtype that operators compute in."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def compute_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    r"""Returns float64 if any tensor has it, else float32."""
    double = any(x.dtype == torch.float64 for x in tensors)
    return torch.float64 if double else torch.float32


def no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    r"""Turns autocast off where it is on: it stays active inside an operator and
    would mix its dtypes.

    Args:
        x (torch.Tensor): A tensor on the device of computation.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()
