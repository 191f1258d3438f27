"""Checkpoints of Lightning: written whole or not at all, in the middle of long epochs
too, and read without running what they hold."""

import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import write_atomic

# How much of an epoch a kill may cost, where a recipe does not say.
SAVE_MINUTES = 2.0
# Steps between two looks at the clock, which the first of several processes tells the
# others.
STEPS = 20

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


def read_checkpoint(path: Path, start: str = "--resume starts") -> dict[str, Any]:
    """Read a checkpoint that holds tensors and plain values only.

    Args:
        path (Path): The file.
        start (str): What makes up for a deleted file, for messages.
            (default: ``"--resume starts"``)

    Raises:
        UsageError: If the file is damaged, holds other objects, which could run code
            when they are read, or is no checkpoint of a training.
    """
    remedy = f"delete it, and {start} from the beginning"
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


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints under a temporary name in their own folder, then renames them:
    Lightning's go by way of the folder for temporary files, which may be elsewhere."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda partial: torch.save(checkpoint, partial))


class SaveWithinEpochs(Callback):
    """Saves a checkpoint in the middle of epochs that take long.

    Args:
        path (Path): The file.
        minutes (float): How much of an epoch a kill may cost, about.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.minutes = minutes
        self.saved = time.monotonic()

    def on_train_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Start the clock: the end of the last epoch was saved."""
        self.saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if it is time."""
        step, last = trainer.global_step, batch_idx + 1 == trainer.num_training_batches
        # The end of the epoch is saved anyway, that of the training once it is over,
        # and what is logged of a step is not known yet.
        ends = last or trainer.should_stop
        logs = step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if step % STEPS or logs or ends:
            return
        late = time.monotonic() - self.saved >= 60 * self.minutes
        if trainer.strategy.broadcast(late):
            trainer.save_checkpoint(self.path)
            self.saved = time.monotonic()


def save_best_and_last(
    folder: Path, monitor: str, mode: str, minutes: float = SAVE_MINUTES
) -> list[Callback]:
    """Return what saves ``best.ckpt`` after validations, and ``last.ckpt`` after every
    epoch and within long ones.

    Args:
        folder (Path): Where the files are.
        monitor (str): The validation metric of the best weights.
        mode (str): ``"max"`` if more of it is better, else ``"min"``.
        minutes (float): How much of an epoch a kill may cost, about. (default: ``2.0``)
    """
    plain: dict[str, Any] = {
        "enable_version_counter": False,
        "auto_insert_metric_name": False,
    }
    return [
        ModelCheckpoint(
            folder, "best", monitor, mode=mode, save_on_train_epoch_end=False, **plain
        ),
        ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, **plain),
        SaveWithinEpochs(folder / "last.ckpt", minutes),
    ]
