"""Trainings of a benchmark: which are finished, and where the others go on."""

import shutil
from pathlib import Path
from typing import Any

from pyg_relational.train.checkpoints import read_checkpoint
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import read_json, write_json

NEXT_START = "the next start begins this training"


def finished(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the figures of a finished training, or ``None`` if there is none with
    these settings.

    Args:
        path (Path): The JSON file of the training.
        settings (dict): What it has to be of.
    """
    try:
        figures = read_json(path)
    except UsageError:
        return None
    same = isinstance(figures, dict) and figures.get("settings") == settings
    return figures if same else None


def last_checkpoint(folder: Path, settings: dict[str, Any]) -> str | None:
    """Return the checkpoint to go on from; those of other settings are deleted.

    Args:
        folder (Path): The folder of the checkpoints of one training.
        settings (dict): What it has to be of.

    Raises:
        UsageError: If the checkpoint is damaged.
    """
    note, last = folder / "settings.json", folder / "last.ckpt"
    if finished(note, settings) is not None:
        # Who deletes either, because it is damaged, begins anew.
        if not (last.is_file() and (folder / "best.ckpt").is_file()):
            return None
        # Read before Lightning does, whose messages do not say what to do.
        read_checkpoint(last, NEXT_START)
        return str(last)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(note, {"settings": settings})
    return None
