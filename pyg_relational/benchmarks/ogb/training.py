"""One training run, and what is kept of it."""

import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, Timer

from pyg_relational.benchmarks.ogb.model import MoleculeModel, matched_width
from pyg_relational.benchmarks.ogb.module import MoleculeDataModule, MoleculeModule
from pyg_relational.benchmarks.ogb.settings import Case
from pyg_relational.datasets.ogb import OGBMolecules
from pyg_relational.datasets.ogb_folder import folder_at_hand
from pyg_relational.datasets.ogb_hiv import MolHIV
from pyg_relational.train.checkpoints import (
    AtomicCheckpoints,
    read_checkpoint,
    save_best_and_last,
)
from pyg_relational.train.continuation import NEXT_START, finished, last_checkpoint
from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.files import write_json
from pyg_relational.train.fit import count_parameters
from pyg_relational.train.logs import progress, quiet_lightning


def load_data(dataset: str, root: str, batch_size: int) -> MoleculeDataModule:
    """Returns the splits of a set of molecules.

    `ogbg-molhiv` is rebuilt from its SMILES where OGB's own folder is not at hand.

    Args:
        dataset (str): Name of the set.
        root (str): Folder of the sets.
        batch_size (int): Graphs a batch.

    Raises:
        UsageError: A file is missing or damaged.
    """
    if dataset == MolHIV.name and folder_at_hand(dataset, root) is None:
        folder = str(Path(root, "molhiv"))
        data = MoleculeDataModule(MolHIV, folder, {}, batch_size)
    else:
        data = MoleculeDataModule(OGBMolecules, root, {"name": dataset}, batch_size)
    data.setup()
    return data


def run_case(
    case: Case, data: MoleculeDataModule, folder: Path, accelerator: str
) -> dict[str, Any]:
    """Trains and tests a model, or returns what an earlier call wrote.

    A finished run is `<readout>-seed<seed>.json` in the folder. One that was killed
    goes on where it was saved.

    Args:
        case (Case): What to train.
        data (MoleculeDataModule): The molecules.
        folder (Path): Where runs are kept.
        accelerator (str): `"auto"`, `"cpu"` or `"gpu"`.

    Returns:
        dict[str, Any]: The figures, as in the file.
    """
    path = folder / f"{case.name}.json"
    settings = settings_of(case)
    kept = finished(path, settings)
    if kept is not None:
        return kept
    pl.seed_everything(case.seed, workers=True, verbose=False)
    train = data.dataset("train")
    channels = matched_width(case.body, case.readout, train.num_tasks, case.size)
    module = MoleculeModule(
        MoleculeModel(case.body, case.readout, channels, train.num_tasks, case.size),
        case.dataset,
        train.task_type,
        train.eval_metric,
        case.size.learning_rate,
    )
    checkpoints = folder / "checkpoints" / case.name
    last = last_checkpoint(checkpoints, settings)
    timer = Timer(verbose=False)
    with quiet_lightning():
        trainer = _trainer(case, module, checkpoints, timer, accelerator)
        trainer.fit(module, data, ckpt_path=last, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        best = read_checkpoint(checkpoints / "best.ckpt", NEXT_START)
        module.load_state_dict(best["state_dict"])
        trainer.test(module, data, verbose=False)
    choose = min if module.mode == "min" else max
    figures = {
        "settings": settings,
        "metric": module.metric,
        "validation": choose(module.curve),
        "test": module.score,
        "best_epoch": module.curve.index(choose(module.curve)) + 1,
        "parameters": count_parameters(module.model),
        "channels": channels,
        "seconds": round(timer.time_elapsed("train"), 1),
        "curve": module.curve,
        "data": type(train).__name__,
        "versions": versions(),
        "hardware": hardware(trainer.strategy.root_device.type),
    }
    write_json(path, figures)
    shutil.rmtree(checkpoints)
    return figures


def settings_of(case: Case) -> dict[str, Any]:
    """Returns what has to be the same for two runs to be the same.

    Args:
        case (Case): What to train.
    """
    return {**vars(case), "size": dict(vars(case.size))}


def _trainer(
    case: Case, module: MoleculeModule, folder: Path, timer: Timer, accelerator: str
) -> pl.Trainer:
    monitor = f"val/{module.metric}"
    saved = save_best_and_last(folder, monitor, module.mode)
    bar = progress(monitor)
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=case.size.epochs,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[timer, bar, *saved],
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=isinstance(bar, ProgressBar),
        enable_model_summary=False,
        default_root_dir=folder,
    )
