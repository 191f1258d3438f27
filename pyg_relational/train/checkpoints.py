"""Checkpoints of Lightning: read without running what they hold."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from pyg_relational.train.errors import UsageError

# What continuing needs of a checkpoint.
KEYS = {
    "state_dict",
    "epoch",
    "global_step",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "pytorch-lightning_version",
}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that holds tensors and plain values only.

    Args:
        path (Path): The file.

    Raises:
        UsageError: If the file is damaged, holds other objects, which could run code
            when they are read, or is no checkpoint of a training.
    """
    remedy = "delete it, and --resume starts from the beginning"
    try:
        with zipfile.ZipFile(path) as file:
            # Torch does not compare the contents with their checksums.
            if (damaged := file.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {damaged!r}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"'{path}' holds more than tensors and plain values, which could run code "
            f"when it is read; it is refused. If it is yours, {remedy}"
        ) from error
    # A damaged archive fails in many ways.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"'{path}' is damaged ({reason}); {remedy}") from error
    missing = sorted(KEYS - set(content)) if isinstance(content, dict) else sorted(KEYS)
    if missing:
        raise UsageError(
            f"'{path}' is no checkpoint of a training: it lacks {', '.join(missing)}; "
            f"{remedy}"
        )
    return content
