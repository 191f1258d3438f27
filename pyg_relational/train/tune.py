"""Tuning: many trainings of a model, to find the options that validate best.

Every trial that runs holds a lock that the system releases when its process ends,
however it ends. A trial that is marked as running but whose lock is free was killed.
"""

import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
import torch
import yaml
from filelock import FileLock, Timeout
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from pytorch_lightning.callbacks import Callback
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DatabaseError
from torch import distributed

from pyg_relational._checks import UsageError
from pyg_relational._files import write_atomic, write_text
from pyg_relational.train.callbacks import progress, quiet_lightning
from pyg_relational.train.fit import build_data, fit_weights
from pyg_relational.train.module import Task, task_of
from pyg_relational.train.recipe import (
    PARTS,
    Choices,
    Distribution,
    Range,
    allow,
    allowed_modules,
    apply_settings,
    check_settings,
    dataset_class,
    read_space,
    short,
)
from pyg_relational.train.run_folder import keep_freed_memory, prepare

NAME = "tune"
# A trial whose process was killed as often may be what kills it, by its memory.
MAX_RETRIES = 3
# Trials that all fail say that the recipe is at fault, not the values they tried.
FAILURES = 3
# Options of `tune` that stand for one of the options that may be tuned.
SHORT = {"epochs": "budget.max_epochs", "max_steps": "budget.max_steps"}
# Of the report: trials in the table, panels side by side in the picture.
SHOWN = 4
COLUMNS = 3


@dataclass(frozen=True)
class Plan:
    """What a study shall do.

    Args:
        config (dict): What :func:`~pyg_relational.train.recipe.configure` returned.
        folder (Path): The folder of the study.
        trials (int): Trials in all, earlier ones included. (default: ``20``)
        sampler (str): ``"tpe"`` or ``"random"``. (default: ``"tpe"``)
        pruner (str): ``"median"`` or ``"none"``. (default: ``"median"``)
        workers (int): Processes that run trials. (default: ``1``)
        threads (int, optional): CPU threads of each; ``None`` shares the cores out
            among workers. (default: ``None``)
        deadline (float, optional): Time, as :func:`time.time` counts it, after which no
            trial begins. (default: ``None``)
        options (dict): Options of ``train`` that the configuration came from; the best
            ones are written with them. (default: ``{}``)
    """

    config: dict[str, Any]
    folder: Path
    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "median"
    workers: int = 1
    threads: int | None = None
    deadline: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The task of the dataset."""
        return task_of(dataset_class(self.config["dataset"]["class"]).task)

    def space(self) -> dict[str, Distribution]:
        """Return the distributions of the options that are tuned."""
        where = f"'search' of recipe '{self.config['recipe']}'"
        space = read_space(self.config["search"], where)
        if not space:
            raise UsageError(
                f"recipe '{self.config['recipe']}' has no section 'search'; add one, "
                "such as search: {optimizer.learning_rate: {low: 1.0e-4, high: "
                "1.0e-2, log: true}}"
            )
        values = ((key, space[key].examples()) for key in space)
        check_settings({**self.config, "baseline": None}, values, where)
        fixed = {**(self.options.get("set") or {})}
        fixed |= {key: self.options.get(option) for option, key in SHORT.items()}
        for key in space:
            if fixed.get(key) is not None:
                raise UsageError(
                    f"{where}: {key} cannot be both searched and given as an option; "
                    "leave out either"
                )
        return space

    def study(self) -> "Study":
        """Open the study."""
        keys = ("recipe", "size", "representation", "model_name", "seed", "precision")
        identity = {key: self.config[key] for key in keys}
        identity |= {part: self.config[part] for part in PARTS if part != "baseline"}
        # Where the data lies does not change what is learnt from it.
        dataset = self.config["dataset"]
        identity["dataset"] = {k: v for k, v in dataset.items() if k != "root"}
        identity["search"] = self.config["search"]
        return Study(self.folder, identity, self.space(), self.task.mode)


def tune(plan: Plan) -> bool:
    """Run the trials that a study lacks."""
    _check_alone()
    plan.study().close()
    # Written once, before workers look for it; the test split stays untouched.
    build_data(plan.config).setup("fit")
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
    """Run trials until the study has enough of them or the time is over."""
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


def _run(plan: Plan, study: "Study", claim: "Claim") -> None:
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


def _train(plan: Plan, claim: "Claim") -> float | None:
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


def _check_failures(study: "Study") -> None:
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


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs.

    Args:
        trial (Trial): The trial.
        settings (dict): The values of the options that are tuned.
        lock (FileLock): Held as long as the trial runs.
    """

    trial: Trial
    settings: dict[str, Any]
    lock: FileLock


class Study:
    """The trials of one search, in ``study.db`` of a folder.

    Args:
        folder (Path): The folder of the study.
        identity (dict): What trials of one study must agree in.
        space (dict): The distributions of the options.
        mode (str): ``"max"`` if a larger score is better, else ``"min"``.

    Raises:
        UsageError: If the folder holds a study of something else, or a damaged one.
        OSError: If the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        space: dict[str, Distribution],
        mode: str,
    ) -> None:
        self.folder = folder
        self.space = space
        self.mode = mode
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        path = folder / "study.db"
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with self._alone():
                self.storage = RDBStorage(
                    f"sqlite:///{path}",
                    # Seconds that a process waits for others to write.
                    engine_kwargs={"connect_args": {"timeout": 60}},
                )
                self.study = optuna.create_study(
                    storage=self.storage,
                    study_name=NAME,
                    direction="maximize" if mode == "max" else "minimize",
                    load_if_exists=True,
                )
                self._check_identity(json.loads(json.dumps(identity)))
        except (DatabaseError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(
                f"'{path}' is no study that can be continued ({reason}); choose "
                "another folder with --study-dir"
            ) from error

    def claim(
        self, total: int, sampler: str, seed: int, pruner: optuna.pruners.BasePruner
    ) -> Claim | None:
        """Begin a trial, unless enough are finished or running.

        A trial that was interrupted comes first, with its old values."""
        with self._alone():
            self._recover()
            running = self.study.get_trials(False, (TrialState.RUNNING,))
            if len(self.finished()) + len(running) >= total:
                return None
            self.study.pruner = pruner
            trial = self.study.ask()
            # Of its own for each trial: random trials are the same after an
            # interruption, and with any number of workers.
            self.study.sampler = _sampler(sampler, seed, self._place(trial))
            lock = self._lock(trial.number)
            lock.acquire()
            settings = {
                key: distribution.suggest(trial, key)
                for key, distribution in self.space.items()
            }
            return Claim(trial, settings, lock)

    def finish(self, claim: Claim, value: float | None) -> None:
        """Record the score of a trial; ``None`` says that it was pruned."""
        with self._alone():
            if value is None:
                self.study.tell(claim.trial, state=TrialState.PRUNED)
            else:
                self.study.tell(claim.trial, value)
            self._release(claim)

    def fail(self, claim: Claim, reason: str) -> None:
        """Record that a trial cannot be trained; it is not repeated."""
        with self._alone():
            claim.trial.set_user_attr("failed", reason)
            self.study.tell(claim.trial, state=TrialState.FAIL)
            self._release(claim)

    def hand_back(self, claim: Claim) -> None:
        """Let a trial that was interrupted on purpose be run again."""
        with self._alone():
            claim.trial.set_user_attr("interrupted", True)
            retries = claim.trial.user_attrs.get("retries", 0)
            self._repeat(self.study.trials[claim.trial.number], retries)
            self._release(claim)

    def abandon(self, claim: Claim) -> None:
        """Leave a trial as if this process had been killed."""
        claim.lock.release()
        self.recover()

    def recover(self) -> None:
        """Let the trials of processes that were killed be run again."""
        with self._alone():
            self._recover()

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that count: complete, pruned, and failed by their values.

        Those that were interrupted are left out; another one repeats each of them.
        """
        done = (TrialState.COMPLETE, TrialState.PRUNED)
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state in done
            or (trial.state is TrialState.FAIL and failure(trial) is not None)
        ]

    def ranking(self) -> list[FrozenTrial]:
        """Return the complete trials, the best first."""
        complete = self.study.get_trials(False, (TrialState.COMPLETE,))
        sign = -1 if self.mode == "max" else 1
        return sorted(complete, key=lambda trial: sign * (trial.value or 0.0))

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of the options that a trial has."""
        return {
            key: distribution.decode(trial.params[key])
            for key, distribution in self.space.items()
            if key in trial.params
        }

    def close(self) -> None:
        """Close the file."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with FileLock(self.folder / "locks" / "study.lock"):
            yield

    def _lock(self, number: int) -> FileLock:
        return FileLock(self.folder / "locks" / f"trial-{number}.lock")

    def _release(self, claim: Claim) -> None:
        claim.lock.release()
        Path(claim.lock.lock_file).unlink(missing_ok=True)

    def _recover(self) -> None:
        for trial in self.study.get_trials(False, (TrialState.RUNNING,)):
            lock = self._lock(trial.number)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self._repeat(trial, trial.user_attrs.get("retries", 0) + 1)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def _repeat(self, trial: FrozenTrial, retries: int) -> None:
        again = {"retries": retries, "repeats": _first(trial)}
        waiting = self.study.get_trials(False, (TrialState.WAITING,))
        # A process that was killed here may have asked for it already.
        known = any(again.items() <= other.user_attrs.items() for other in waiting)
        if retries <= MAX_RETRIES and "failed" not in trial.user_attrs and not known:
            whole = self.space.keys() <= trial.params.keys()
            # All values or none: those that are missing would be drawn as the first.
            self.study.enqueue_trial(trial.params if whole else {}, again)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _place(self, trial: Trial) -> int:
        """Which of the trials it would be if none had been interrupted."""
        earlier = self.study.get_trials(deepcopy=False)[: _first(trial)]
        return sum("retries" not in other.user_attrs for other in earlier)

    def _check_identity(self, identity: dict[str, Any]) -> None:
        before = self.study.user_attrs.get("identity")
        if before is None:
            self.study.set_user_attr("identity", identity)
        elif before != identity:
            names = differences(before, identity)
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise UsageError(
                f"'{self.folder}' holds a study that differs in {shown}; give the "
                "options it was started with, or another --study-dir"
            )


def _first(trial: Trial | FrozenTrial) -> int:
    """The number of the trial that this one repeats, or else its own."""
    return int(trial.user_attrs.get("repeats", trial.number))


def failure(trial: FrozenTrial) -> str | None:
    """Return why a trial failed for good; ``None`` if it did not."""
    if trial.state is not TrialState.FAIL or "interrupted" in trial.user_attrs:
        return None
    if trial.user_attrs.get("retries", 0) >= MAX_RETRIES:
        return f"its process ended early {MAX_RETRIES + 1} times"
    return trial.user_attrs.get("failed")


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Return the names of the entries in which two nested dictionaries differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in dict.fromkeys([*now, *before])
            for found in differences(
                before.get(key), now.get(key), f"{name}.{key}" if name else key
            )
        ]
    return [] if before == now else [name]


def _sampler(name: str, seed: int, number: int) -> BaseSampler:
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=own)
    # Counts the trials that are running, so that workers do not repeat each other.
    return TPESampler(seed=own, constant_liar=True)


def report(plan: Plan, recipe: str, console: Console | None = None) -> bool:
    """Print what a study found; write ``best.yaml`` and ``study.png`` beside it."""
    console = console or Console()
    say: Callable[[str], None] = lambda text: console.print(  # noqa: E731
        text, markup=False, highlight=False, soft_wrap=True
    )
    study = plan.study()
    try:
        finished, ranking = study.finished(), study.ranking()
        pruned = sum(trial.state is TrialState.PRUNED for trial in finished)
        failed = [trial for trial in finished if failure(trial) is not None]
        say(
            f"{len(finished)} of {plan.trials} trials: {len(ranking)} complete, "
            f"{pruned} pruned, {len(failed)} failed"
        )
        for trial in failed[:3]:
            say(f"trial {trial.number} failed: {failure(trial)}")
        if finished:
            picture(plan.folder / "study.png", study, plan.task.metric)
        if not ranking:
            return False
        best, score = ranking[0], f"val/{plan.task.metric}"
        console.print(_table(study, ranking[:SHOWN], score))
        path = plan.folder / "best.yaml"
        write_best(path, plan, study.settings(best), f"{score} {best.value:.4f}")
        say(f"best trial: {best.number}, {score} {best.value:.4f}")
        allowed = "".join(f" --allow {module}" for module in allowed_modules())
        say(f"train it: pyg-relational train {recipe} --config {path}{allowed}")
        say(f"picture: {plan.folder / 'study.png'}")
        return True
    finally:
        study.close()


def write_best(
    path: Path, plan: Plan, settings: dict[str, Any], remark: str = ""
) -> None:
    """Write options that ``pyg-relational train RECIPE --config`` takes."""
    options = {k: v for k, v in plan.options.items() if v is not None}
    options["set"] = {**options.get("set", {}), **settings}
    text = f"# {plan.config['recipe']}, {plan.config['model_name']}: {remark}\n"
    text += yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    write_text(path, text)


def picture(path: Path, study: Study, metric: str) -> None:
    """Draw the scores of the trials in their order, and against each option."""
    trials, names = study.finished(), list(study.space)
    rows = math.ceil((len(names) + 1) / COLUMNS)
    columns = min(COLUMNS, len(names) + 1)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    _history(axes[0], trials, study.mode)
    axes[0].set(ylabel=f"val/{metric}")
    for name, panel in zip(names, axes[1:], strict=False):
        _slice(panel, name, study.space[name], trials)
    for panel in axes[len(names) + 1 :]:
        panel.axis("off")
    write_atomic(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def _table(study: Study, trials: list[FrozenTrial], score: str) -> Table:
    # A column for each trial: many options side by side would not fit 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("trial", no_wrap=True)
    for trial in trials:
        table.add_column(str(trial.number), justify="right", overflow="fold")
    table.add_row(score, *[f"{trial.value:.4f}" for trial in trials])
    settings = [study.settings(trial) for trial in trials]
    for name in study.space:
        table.add_row(name, *[short(found[name]) for found in settings])
    return table


def _history(axes: Axes, trials: list[FrozenTrial], mode: str) -> None:
    best: list[float] = []
    better = max if mode == "max" else min
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    for trial in complete:
        value = float(trial.value or 0.0)
        best.append(better([*best[-1:], value]))
    numbers = [trial.number for trial in complete]
    axes.plot(numbers, best, drawstyle="steps-post", color="C1", label="best so far")
    _points(axes, trials, [float(trial.number) for trial in trials])
    axes.set(xlabel="trial")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _slice(
    axes: Axes, name: str, distribution: Distribution, trials: list[FrozenTrial]
) -> None:
    trials = [trial for trial in trials if name in trial.params]
    values = [distribution.decode(trial.params[name]) for trial in trials]
    if isinstance(distribution, Choices):
        values = [float(distribution.choices.index(value)) for value in values]
        labels = [short(choice) for choice in distribution.choices]
        axes.set_xticks(range(len(labels)), labels, fontsize=8)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif isinstance(distribution, Range) and distribution.log:
        axes.set_xscale("log")
        # A narrow range would label every tick, one over the other, or none.
        axes.xaxis.set_minor_formatter(NullFormatter())
        ends = [distribution.low, distribution.high]
        axes.set_xticks(ends, [short(end) for end in ends])
    _points(axes, trials, values)
    axes.set(xlabel=name)
    axes.grid(alpha=0.3)


def _points(axes: Axes, trials: list[FrozenTrial], places: list[float]) -> None:
    for state, marker, colour in (
        (TrialState.COMPLETE, "o", "C0"),
        (TrialState.PRUNED, "x", "0.6"),
    ):
        points = [
            (place, trial.value)
            for place, trial in zip(places, trials, strict=True)
            if trial.state is state and trial.value is not None
        ]
        if points:
            label = state.name.lower()
            axes.scatter(
                *zip(*points, strict=True), marker=marker, color=colour, label=label
            )
