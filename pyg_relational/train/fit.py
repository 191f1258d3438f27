"""Training and testing: from the configuration of a recipe to a run folder.

:func:`train` writes a whole run, of a model and its baseline, :func:`fit` trains and
tests one of them, :func:`evaluate` tests a run again.
"""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ProgressBar, Timer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn

from pyg_relational._files import write_json
from pyg_relational.data.temporal import KEPT, TemporalGraph
from pyg_relational.train import plots
from pyg_relational.train.callbacks import (
    SAVE_MINUTES,
    AtomicCheckpoints,
    Curve,
    EndOfSteps,
    KeepCurve,
    Rows,
    progress,
    quiet_lightning,
    read_checkpoint,
    save_best_and_last,
)
from pyg_relational.train.datamodule import SPLITS, RelationalDataModule
from pyg_relational.train.module import RelationalModule, score_of, task_of
from pyg_relational.train.processes import (
    RandomNumbers,
    first_alone,
    processes,
    rank,
    trainer_options,
    world_size,
)
from pyg_relational.train.recipe import (
    build_model,
    dataset_class,
    merge,
    transform_class,
)
from pyg_relational.train.references import reference_of
from pyg_relational.train.results import Scores, collect, read_results, with_solved
from pyg_relational.train.run_folder import (
    load_model,
    occupied,
    prepare,
    read_config,
    save_model,
)

# What a batch needs whatever the model reads: what is scored, and what temporal graphs
# keep their features in.
ALWAYS = {"y", "y_mask", "edge_label_index", "num_nodes", *KEPT}


@dataclass(frozen=True)
class Fitted:
    """A trained model that has not been tested.

    Args:
        module (RelationalModule): The module with the weights that validated best.
        data (RelationalDataModule): The data it was trained on.
        trainer (Trainer): The trainer, finished.
        timer (Timer): The time it took.
        curve (list): The rows of ``metrics.csv``; none but in the first process.
    """

    module: RelationalModule
    data: RelationalDataModule
    trainer: pl.Trainer
    timer: Timer
    curve: Rows


@dataclass(frozen=True)
class FitResult:
    """What one training run gave.

    Args:
        module (RelationalModule): The module with the weights that validated best.
        data (RelationalDataModule): The data it was trained on.
        scores (dict): Test scores ``{grouping: {group: mean}}``.
        training (dict): ``seconds, steps, epochs, parameters``.
        curve (list): The rows of ``metrics.csv``; none but in the first process.
    """

    module: RelationalModule
    data: RelationalDataModule
    scores: Scores
    training: dict[str, float]
    curve: Rows

    @property
    def figures(self) -> dict[str, Any]:
        """What ``results.json`` says of it."""
        return {"scores": self.scores, "training": self.training}


def train(
    config: dict[str, Any], folder: Path, resume: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Train the model and its baseline, and write the whole run folder.

    ``results.json`` is written last: a folder that has it is complete. Of the processes
    that ``torchrun`` started the first writes it."""
    with processes(config["accelerator"]), ExitStack() as stack:
        if config["baseline"] is not None:
            # Before an hour of training: its arguments may be wrong.
            build_model(config["baseline"])
        references: dict[str, Scores] = {}
        if rank() == 0:
            # Likewise: a package may be missing.
            references = _reference_scores(config)
            stack.enter_context(occupied(folder))
        ours, baseline = fit(config, folder, resume, overwrite), None
        if config["baseline"] is not None:
            other = _baseline_config(config)
            baseline = fit(other, folder / "baseline", resume, overwrite)
        if rank() > 0:
            return {}
        metric, curves = ours.module.task.metric, {config["model_name"]: ours.curve}
        if baseline is not None:
            curves[config["baseline_name"]] = baseline.curve
            figures = collect(other, baseline.figures, None, metric, {})
            write_json(folder / "baseline" / "results.json", figures)
        first = next(iter(ours.module.groups.values()), ())
        plots.learning_curve(folder / "learning-curve.png", curves, metric, first)
        _draw(folder, config, ours.module, ours.data.dataset("test"))
        measured = None if baseline is None else baseline.figures
        results = collect(config, ours.figures, measured, metric, references)
        plots.draw_run(folder, results)
        write_json(folder / "results.json", results)
        return results


def evaluate(folder: Path, data_root: str | None = None) -> dict[str, Any]:
    """Test the saved model of a run again, and draw its pictures of test samples."""
    config, model = read_config(folder), load_model(folder)
    recorded = read_results(folder)
    if data_root is not None:
        config["dataset"] = {**config["dataset"], "root": data_root}
    if not torch.cuda.is_available():
        config["accelerator"] = "cpu"
    module = build_module(config, model)
    data = build_data(config, module)
    with processes(config["accelerator"]):
        scores = test(config, module, data)
        if rank() > 0:
            return {}
        _draw(folder, config, module, data.dataset("test"))
    scores = with_solved(scores, config.get("solved_above", {}))
    results = copy.deepcopy(recorded)
    for grouping, values in scores.items():
        for name, value in values.items():
            results["test"][grouping][name]["ours"] = value
    return results


def fit(
    config: dict[str, Any], folder: Path, resume: bool = False, overwrite: bool = False
) -> FitResult:
    """Train and test the model of a resolved configuration.

    Of several processes the first writes the run folder."""
    first_alone(prepare, folder, config, resume, overwrite)
    first = rank() == 0
    metric = task_of(dataset_class(config["dataset"]["class"]).task).metric
    shown = [progress(f"val/{metric}")] if first else []
    with quiet_lightning():
        fitted = fit_weights(config, folder, shown, resume)
        module, trainer = fitted.module, fitted.trainer
        first_alone(save_model, folder, module.model, config["model"])
        scores = test(config, module, fitted.data)
    return FitResult(
        module=module.eval(),
        data=fitted.data,
        scores=scores,
        training={
            "seconds": round(fitted.timer.time_elapsed("train"), 1),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "parameters": count_parameters(module.model),
            **({"processes": world_size()} if world_size() > 1 else {}),
        },
        curve=fitted.curve,
    )


def fit_weights(
    config: dict[str, Any],
    folder: Path,
    callbacks: Sequence[Callback],
    resume: bool = False,
) -> Fitted:
    """Train the model of a resolved configuration without testing it."""
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    model = build_model(config["model"])
    module = build_module(config, model)
    data = build_data(config, module)
    if rank() == 0:
        print(
            f"{config['model_name']}: {config['model']['class']}, "
            f"{count_parameters(model):,} parameters -> {folder}",
            flush=True,
        )
    return fit_module(module, data, config, folder, callbacks, resume)


def fit_module(
    module: RelationalModule,
    data: RelationalDataModule,
    config: dict[str, Any],
    folder: Path,
    callbacks: Sequence[Callback],
    resume: bool = False,
    monitor: tuple[str, str] | None = None,
    anew: str = "--resume starts",
) -> Fitted:
    """Train a module, and leave in it the weights that validated best.

    Args:
        module (RelationalModule): What is trained.
        data (RelationalDataModule): The data.
        config (dict): ``accelerator``, ``precision``, ``seed``, ``budget`` and
            ``optimizer``, as recipes have them.
        folder (Path): Holds ``checkpoints`` and curves.
        callbacks (Sequence[Callback]): Further callbacks.
        resume (bool): Continue from ``last.ckpt``, if there is one.
            (default: ``False``)
        monitor (tuple, optional): What validates best: the name of what is logged, and
            ``"min"`` or ``"max"``; by default the metric of the task.
            (default: ``None``)
        anew (str): What begins the training again, for messages.
    """
    minutes = config["budget"].get("max_minutes")
    timer = Timer(timedelta(minutes=minutes) if minutes else None, verbose=False)
    curve = Curve(folder / "metrics.csv")
    others = [timer, KeepCurve(curve), *callbacks]
    monitor = monitor or (f"val/{module.task.metric}", module.task.mode)
    trainer = _trainer(config, folder, monitor, curve, others)
    last = folder / "checkpoints" / "last.ckpt"
    ckpt = None
    if resume and last.is_file():
        # Read before Lightning does, whose messages do not say what to do.
        step, ckpt = read_checkpoint(last, anew)["global_step"], str(last)
        if rank() == 0:
            print(f"continues after step {step}", flush=True)
    trainer.fit(module, data, ckpt_path=ckpt, weights_only=True)
    if trainer.global_step > 0 and not trainer.interrupted:
        trainer.save_checkpoint(last)
    best = folder / "checkpoints" / "best.ckpt"
    if best.is_file():
        checkpoint = read_checkpoint(best, anew)
        module.load_state_dict(checkpoint["state_dict"])
    return Fitted(module, data, trainer, timer, curve.rows)


def test(
    config: dict[str, Any], module: RelationalModule, data: RelationalDataModule
) -> Scores:
    """Return the test scores ``{grouping: {group: mean}}`` of a module."""
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator=config["accelerator"],
            precision=config["precision"],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer_options(config["accelerator"]),
        )
        trainer.test(module, data, verbose=False)
    return module.scores


def build_module(config: dict[str, Any], model: nn.Module) -> RelationalModule:
    """Return the Lightning module of a resolved configuration."""
    dataset, settings = dataset_class(config["dataset"]["class"]), config["optimizer"]
    return RelationalModule(
        model,
        task=dataset.task,
        groups=dataset.metric_groups(),
        optimizer=settings["class"],
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        betas=settings.get("betas", (0.9, 0.999)),
        warmup_steps=settings["warmup_steps"],
    )


def build_data(
    config: dict[str, Any], module: RelationalModule | None = None
) -> RelationalDataModule:
    """Return the data module; it batches only what a module reads, if one is given."""
    spec, keep = config["dataset"], None
    follow = spec.get("follow_batch", [])
    if module is not None:
        groups = (f"question_{name}" for name in module.groups)
        keep = {*module.inputs, *groups, *follow, *ALWAYS}
    return RelationalDataModule(
        dataset_class(spec["class"]),
        spec["root"],
        spec["args"],
        batch_size=config["budget"]["batch_size"],
        pairs=config["budget"].get("pairs"),
        pair_cost=config["budget"].get("pair_cost", "sorted"),
        seed=config["seed"],
        follow_batch=follow,
        keep=keep,
        augment=[transform_class(name)() for name in spec.get("augment", [])],
    )


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers a model learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _trainer(
    config: dict[str, Any],
    folder: Path,
    monitor: tuple[str, str],
    curve: Curve,
    others: Sequence[Callback],
) -> pl.Trainer:
    budget, (name, mode) = config["budget"], monitor
    epochs = config.get("model", {}).get("max_epochs", budget["max_epochs"])
    callbacks: list[Callback] = [EndOfSteps(), *others]
    if (patience := budget["patience"]) is not None:
        callbacks.append(
            EarlyStopping(
                name, patience=patience, mode=mode, check_on_train_epoch_end=False
            )
        )
    minutes = budget.get("save_minutes", SAVE_MINUTES)
    callbacks += save_best_and_last(folder / "checkpoints", name, mode, minutes)
    if world_size() > 1:
        callbacks.append(RandomNumbers(config["seed"]))
    tensorboard = TensorBoardLogger(
        folder, name="tensorboard", version="", default_hp_metric=False
    )
    return pl.Trainer(
        accelerator=config["accelerator"],
        precision=config["precision"],
        max_epochs=epochs,
        max_steps=budget.get("max_steps") or -1,
        check_val_every_n_epoch=min(budget["validate_every"], epochs),
        num_sanity_val_steps=0,
        log_every_n_steps=50,
        gradient_clip_val=config["optimizer"].get("gradient_clip"),
        logger=[curve, tensorboard],
        plugins=[AtomicCheckpoints()],
        callbacks=callbacks,
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in others),
        enable_model_summary=False,
        default_root_dir=folder,
        **trainer_options(config["accelerator"]),
    )


def _baseline_config(config: dict[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "model_name": config["baseline_name"],
        "model": {k: v for k, v in config["baseline"].items() if k != "dataset"},
        "dataset": merge(config["dataset"], config["baseline"].get("dataset", {})),
        "baseline_name": None,
        "baseline": None,
    }


def _reference_scores(config: dict[str, Any]) -> dict[str, Scores]:
    """Test scores of the methods without a network that the recipe names."""
    methods = {name: reference_of(name) for name in config["references"]}
    if not methods:
        return {}
    data = build_data(config)
    splits = [data.dataset(split) for split in SPLITS]
    dataset, answered = data.dataset_class, splits[-1]._data
    task, groups = task_of(dataset.task), dataset.metric_groups()
    return {
        name: score_of(task, groups, method(*splits), answered)
        for name, method in methods.items()
    }


def _draw(
    folder: Path, config: dict[str, Any], module: RelationalModule, dataset: Any
) -> None:
    """Pictures of what the model makes of test samples, where they can be drawn."""
    follow = config["dataset"].get("follow_batch", [])
    if hasattr(dataset, "scene_image"):
        plots.scenes(folder / "scenes.png", module, dataset, follow)
    if isinstance(dataset[0], TemporalGraph):
        plots.draw_temporal(folder, module, dataset, follow)
