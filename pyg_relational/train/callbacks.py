"""Callbacks of Lightning's trainer: progress, the curve of what was logged, and
checkpoints, which are written whole or not at all, in the middle of long epochs too,
and read without running what they hold.
"""

import csv
import logging
import pickle
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from pyg_relational._checks import UsageError
from pyg_relational._files import write_atomic

# Of a training: ``step``, ``epoch`` and what was measured then.
Rows = list[dict[str, float]]
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


class EpochLines(Callback):
    """Prints one line for every validation, where a progress bar cannot be drawn.

    Args:
        monitor (str): The validation metric to print.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Print epoch, step, training loss and validation metric."""
        logged = trainer.callback_metrics
        loss, value = logged.get("train/loss"), logged.get(self.monitor)
        shown = [f"epoch {trainer.current_epoch + 1}", f"step {trainer.global_step}"]
        if loss is not None:
            shown.append(f"train/loss {loss:.4f}")
        if value is not None:
            shown.append(f"{self.monitor} {value:.4f}")
        print("  ".join(shown), flush=True)


class Bar(RichProgressBar):
    """Lightning's progress bar without the number of the attempt."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the metrics to show beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def progress(monitor: str) -> Callback:
    """Return a progress bar on a terminal, and :class:`EpochLines` elsewhere."""
    if not sys.stdout.isatty():
        return EpochLines(monitor)
    # One metric a line: beside each other they are cut off at 80 columns.
    theme = RichProgressBarTheme(metrics_text_delimiter="\n", metrics_format=".3f")
    return Bar(refresh_rate=20, theme=theme)


class Curve(Logger):
    """What was logged, in rows that checkpoints keep: see :class:`KeepCurve`.

    Args:
        path (Path): The CSV file that :meth:`save` writes.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: Rows = []

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self.path.name

    @property
    def version(self) -> str:
        """Return the version: there is one."""
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Leave them to ``config.yaml``."""

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None
    ) -> None:
        """Add a row."""
        self.rows.append({"step": step or 0, **metrics})

    def save(self) -> None:
        """Write the rows, whole or not at all."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))

        def write(partial: Path) -> None:
            with partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, names, restval="")
                writer.writeheader()
                writer.writerows(self.rows)

        if self.rows:
            write_atomic(self.path, write)


class KeepCurve(Callback):
    """Keeps the rows of a curve in every checkpoint, and writes them after every
    validation: a run that was killed continues the curve that its weights have.

    Args:
        curve (Curve): The rows.
    """

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.curve.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the rows."""
        self.curve.rows = list(state_dict["rows"])

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Write the rows."""
        self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rows."""
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.curve.save()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's notes about devices and workers; its warnings stay."""
    names = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # The data lie in memory: workers would only copy them.
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # A chosen --accelerator cpu is a choice, not an oversight.
            warnings.filterwarnings("ignore", ".*available but not used.*")
            # Small datasets have fewer batches than the logging interval.
            warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
            # A resumed run writes where it wrote before.
            warnings.filterwarnings("ignore", "Checkpoint directory .* not empty.*")
            # Values are reduced before they are logged.
            warnings.filterwarnings("ignore", ".*recommended to use `self.log.*sync")
            # Raised inside Lightning by newer versions of torch.
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def read_checkpoint(path: Path, start: str = "--resume starts") -> dict[str, Any]:
    """Read a checkpoint that holds tensors and plain values only."""
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


class EndOfSteps(Callback):
    """Validates when the steps are used up, also in the middle of an epoch: the last
    weights may be the best."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Ask the trainer to stop, which makes it validate."""
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True


def save_best_and_last(
    folder: Path, monitor: str, mode: str, minutes: float = SAVE_MINUTES
) -> list[Callback]:
    """Return what saves ``best.ckpt`` after validations, and ``last.ckpt`` after every
    epoch and within long ones."""
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
