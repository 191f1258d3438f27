"""Tuning: many trainings of a model, to find the options that validate best."""

import math
import multiprocessing
import os
import shutil
import signal
import sys
import time

import pytorch_lightning as pl
import torch
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import Trial
from pytorch_lightning.callbacks import Callback
from torch import distributed

from pyg_relational.train.environment import keep_freed_memory
from pyg_relational.train.errors import UsageError
from pyg_relational.train.fit import build_data, build_module, fit_weights
from pyg_relational.train.logs import progress, quiet_lightning
from pyg_relational.train.registry import allow, allowed_modules, build_model
from pyg_relational.train.run_folder import prepare
from pyg_relational.train.search_space import short
from pyg_relational.train.settings import apply_settings
from pyg_relational.train.study import Claim, Study, failure
from pyg_relational.train.tune_plan import Plan

# Trials that all fail say that the recipe is at fault, not the values they tried.
FAILURES = 3


def tune(plan: Plan) -> bool:
    """Run the trials that a study lacks.

    Args:
        plan (Plan): What to do.

    Returns:
        bool: ``False`` if Ctrl-C ended it early.

    Raises:
        UsageError: If study, recipe and options do not fit together, if no trial can be
            trained, if a worker ended before its time, or if `torchrun` started this
            process as one of several.
    """
    _check_alone()
    plan.study().close()
    # Written once, before workers look for it; the test split stays untouched.
    module = build_module(plan.config, build_model(plan.config["model"]))
    build_data(plan.config, module).setup("fit")
    try:
        if plan.workers == 1:
            work(plan)
        else:
            _employ(plan)
    except (KeyboardInterrupt, SystemExit):
        # Lightning turns the former into the latter and ignores Ctrl-C from then on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return False
    finally:
        study = plan.study()
        study.recover()
        study.close()
    return True


def _check_alone() -> None:
    started = distributed.is_available() and distributed.is_torchelastic_launched()
    count = os.environ.get("WORLD_SIZE", "1")
    if started and count != "1":
        raise UsageError(
            f"`tune` was started by torchrun as {count} processes; trials share no "
            "batches. Start it once, without torchrun, and give --workers "
            f"{os.environ.get('LOCAL_WORLD_SIZE', count)} to run trials side by side"
        )


def work(plan: Plan) -> None:
    """Run trials until the study has enough of them or the time is over.

    Args:
        plan (Plan): What to do.

    Raises:
        UsageError: If all trials fail.
    """
    study = plan.study()
    try:
        end = math.inf if plan.deadline is None else plan.deadline
        while time.time() < end and not _orphaned():
            seed = plan.config["seed"]
            claim = study.claim(plan.trials, plan.sampler, seed, _pruner(plan))
            if claim is None:
                break
            _run(plan, study, claim)
            _check_failures(study)
    finally:
        study.close()


class Report(Callback):
    """Reports every validation score to a trial, and ends the training if it is pruned.

    Args:
        trial (Trial): The trial.
        monitor (str): The validation score.
    """

    def __init__(self, trial: Trial, monitor: str) -> None:
        self.trial = trial
        self.monitor = monitor
        self.values: list[float] = []
        self.pruned = False

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Report the score."""
        if _orphaned():
            raise KeyboardInterrupt
        value, epoch = (
            float(trainer.callback_metrics[self.monitor]),
            trainer.current_epoch,
        )
        if math.isfinite(value):
            self.values.append(value)
            self.trial.report(value, epoch + 1)
            last = epoch + 1 == trainer.max_epochs
            self.pruned = not last and self.trial.should_prune()
            trainer.should_stop = trainer.should_stop or self.pruned


def _run(plan: Plan, study: Study, claim: Claim) -> None:
    number, metric = claim.trial.number, plan.task.metric
    shown = "  ".join(f"{key}={short(value)}" for key, value in claim.settings.items())
    try:
        value = _train(plan, claim)
    except (UsageError, torch.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())
        study.fail(claim, reason)
        print(f"trial {number} failed: {reason}  {shown}", flush=True)
    except (KeyboardInterrupt, SystemExit):
        study.hand_back(claim)
        raise
    except BaseException:
        study.abandon(claim)
        raise
    else:
        study.finish(claim, value)
        outcome = "pruned" if value is None else f"val/{metric} {value:.4f}"
        print(f"trial {number}: {outcome}  {shown}", flush=True)


def _train(plan: Plan, claim: Claim) -> float | None:
    """Returns the best validation score; None if the trial was pruned."""
    settings, task = claim.settings, plan.task
    config = apply_settings(plan.config, settings, "search")
    folder = plan.folder / "trials" / str(claim.trial.number)
    report = Report(claim.trial, f"val/{task.metric}")
    # Several bars would draw over each other.
    bars = [progress(report.monitor)] if plan.workers == 1 else []
    prepare(folder, config, resume=False, overwrite=True)
    with quiet_lightning():
        fit_weights(config, folder, [report, *bars])
    # The winner is trained anew, with a test: a study needs no weights.
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if not report.values:
        raise UsageError(
            "its training ended before the first validation with a finite score; raise "
            "budget.max_minutes or --max-steps, or lower the learning rate"
        )
    best = max(report.values) if task.mode == "max" else min(report.values)
    return None if report.pruned else best


def _pruner(plan: Plan) -> BasePruner:
    if plan.pruner == "none":
        return NopPruner()
    epochs = plan.config["model"].get("max_epochs", plan.config["budget"]["max_epochs"])
    # Early scores say little: a small learning rate starts slowly.
    return MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 4)


def _check_failures(study: Study) -> None:
    reasons = [failure(trial) for trial in study.finished()]
    if len(reasons) >= FAILURES and None not in reasons:
        raise UsageError(f"all {len(reasons)} trials failed, the last: {reasons[-1]}")


def _employ(plan: Plan) -> None:
    context = multiprocessing.get_context("spawn")
    # Daemons: they end with this process, unless it is killed.
    processes = [
        context.Process(
            target=_work_as_process, args=(plan, allowed_modules()), daemon=True
        )
        for _ in range(plan.workers)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.join(timeout=10)
        raise
    if codes := [p.exitcode for p in processes if p.exitcode]:
        raise UsageError(
            f"{len(codes)} of {plan.workers} workers ended early (exit code "
            f"{codes[0]}); run the same command again to continue the study"
        )


def _work_as_process(plan: Plan, modules: list[str]) -> None:
    for module in modules:
        allow(module)
    share = max(1, (os.cpu_count() or 1) // plan.workers)
    torch.set_num_threads(plan.threads or share)
    keep_freed_memory()
    try:
        work(plan)
    except (KeyboardInterrupt, SystemExit):
        return
    except (UsageError, OSError) as error:
        print(f"worker: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _orphaned() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
