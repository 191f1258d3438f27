"""What a training run reports: console, CSV and TensorBoard."""

import csv
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from pyg_relational.train.files import write_atomic


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


def loggers(folder: Path) -> list[Logger]:
    """Return the loggers of one attempt at a run.

    A resumed run is a further attempt: it gets a CSV file of its own, because the
    logger would otherwise delete the earlier one; :func:`merge_metrics` joins them.
    """
    attempt = len(list((folder / "logs").glob("attempt-*")))
    return [
        CSVLogger(folder, name="logs", version=f"attempt-{attempt:03d}"),
        TensorBoardLogger(
            folder, name="tensorboard", version="", default_hp_metric=False
        ),
    ]


def merge_metrics(folder: Path) -> list[dict[str, str]]:
    """Join the CSV files of all attempts into ``metrics.csv`` and return its rows.

    Where attempts overlap in steps, the later attempt counts.
    """
    rows: list[dict[str, str]] = []
    for path in sorted((folder / "logs").glob("attempt-*/metrics.csv")):
        with path.open(newline="") as file:
            attempt = list(csv.DictReader(file))
        first = min((int(row["step"]) for row in attempt), default=None)
        if first is not None:
            rows = [row for row in rows if int(row["step"]) < first] + attempt
    names = list(dict.fromkeys(name for row in rows for name in row))

    def write(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(rows)

    write_atomic(folder / "metrics.csv", write)
    return rows


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
