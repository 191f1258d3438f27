"""Trainings that a benchmark compares: each is kept when it is finished, and continued
when it was killed.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from pyg_relational._checks import UsageError, nearest_names
from pyg_relational._files import read_json, write_json
from pyg_relational.train.callbacks import progress, quiet_lightning
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.fit import Fitted, count_parameters, fit_module
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.run_folder import hardware, versions

NEXT_START = "the next start begins this training"


@dataclass(frozen=True)
class Case:
    """One training."""

    @property
    def name(self) -> str:
        """Name of its files."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be the same for two to be the same, as in JSON."""
        return dict(json.loads(json.dumps(asdict(self))))


class KeptCurve(Callback):
    """Keeps in checkpoints what every validation found."""

    def __init__(self) -> None:
        self.points: list[Any] = []

    def point(self, module: RelationalModule) -> Any:
        """Return what the validation found: the score."""
        return module.scores["all"]["all"]

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Keep what the validation found."""
        assert isinstance(pl_module, RelationalModule)
        self.points.append(self.point(pl_module))

    def state_dict(self) -> dict[str, Any]:
        """Return the points."""
        return {"points": self.points}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the points."""
        self.points = list(state_dict["points"])


def train(
    case: Case,
    module: RelationalModule,
    data: RelationalDataModule,
    folder: Path,
    epochs: int,
    curve: KeptCurve,
    monitor: tuple[str, str],
    shown: str,
    accelerator: str = "cpu",
    gradient_clip: float | None = None,
) -> Fitted:
    """Train for a number of epochs, in a folder of its own, from where an earlier start
    with these settings was; the weights that validated best are left in the module.

    Args:
        case (Case): The training.
        module (RelationalModule): What is trained.
        data (RelationalDataModule): The data.
        folder (Path): The trainings' folder.
        epochs (int): Passes through the data; a validation after each.
        curve (KeptCurve): What is kept of validations.
        monitor (tuple): Name of what decides which epoch is best, and its direction.
        shown (str): Name of what is shown of validations.
        accelerator (str): Where to compute. (default: ``"cpu"``)
        gradient_clip (float, optional): Largest norm of gradients. (default: ``None``)

    Raises:
        UsageError: A checkpoint is damaged.
        KeyboardInterrupt: The user interrupted it.
    """
    config = {
        "accelerator": accelerator,
        "precision": "32-true",
        "budget": {"max_epochs": epochs, "validate_every": 1, "patience": None},
        "optimizer": {"gradient_clip": gradient_clip},
    }
    place, callbacks = folder / case.name, [progress(shown), curve]
    resume = begun(place, case.settings)
    with quiet_lightning():
        fitted = fit_module(
            module, data, config, place, callbacks, resume, monitor, NEXT_START
        )
    if fitted.trainer.interrupted:
        raise KeyboardInterrupt
    return fitted


def finish(
    case: Case, folder: Path, fitted: Fitted, figures: dict[str, Any]
) -> dict[str, Any]:
    """Write the figures of a finished training, and delete its folder."""
    figures = {
        "settings": case.settings,
        **figures,
        "parameters": count_parameters(fitted.module.model),
        "seconds": round(fitted.timer.time_elapsed("train"), 1),
        "versions": versions(),
        "hardware": hardware(fitted.trainer.strategy.root_device.type),
    }
    write_json(folder / f"{case.name}.json", figures)
    shutil.rmtree(folder / case.name)
    return figures


def run_all(
    cases: Sequence[Case],
    folder: Path,
    run: Callable[[Any], dict[str, Any]],
    said: Callable[[dict[str, Any]], str],
) -> list[dict[str, Any]]:
    """Return the figures of all trainings; those that are finished are not run."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, case in enumerate(cases, start=1):
        place = f"{number}/{len(cases)} {case.name}"
        figures = finished(folder / f"{case.name}.json", case.settings)
        if figures is not None:
            place += " (kept)"
        else:
            print(f"{place} ...", file=sys.stderr, flush=True)
            figures = run(case)
        print(
            f"{place}: {said(figures)}; {figures['parameters']:,} parameters, "
            f"{figures['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        found.append(figures)
    return found


def finished(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the figures of a finished training, or ``None`` if there is none with
    these settings."""
    try:
        figures = read_json(path)
    except UsageError:
        return None
    same = isinstance(figures, dict) and figures.get("settings") == settings
    return figures if same else None


def begun(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a training with these settings was begun in the folder; another one is
    deleted."""
    if finished(folder / "settings.json", settings) is not None:
        # Who deletes either, because it is damaged, begins anew.
        names = ("last.ckpt", "best.ckpt")
        return all((folder / "checkpoints" / name).is_file() for name in names)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / "settings.json", {"settings": settings})
    return False


def choose(
    option: str, names: Iterable[str] | None, known: Iterable[str]
) -> tuple[str, ...]:
    """Return the names, each once; all known ones by default."""
    for name in names or ():
        if name not in known:
            hint = nearest_names(name, known)
            raise UsageError(f"unknown {option} '{name}'; {hint}")
    return tuple(dict.fromkeys(known if names is None else names))
