"""A study on disk: trials that several processes work on, any of which may be killed.

Every trial that runs holds a lock that the system releases when its process ends,
however it ends. A trial that is marked as running but whose lock is free was killed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError

from pyg_relational.train.errors import UsageError
from pyg_relational.train.search_space import Distribution

NAME = "tune"
# A trial whose process was killed as often may be what kills it, by its memory.
MAX_RETRIES = 3


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

        A trial that was interrupted comes first, with its old values.

        Args:
            total (int): Trials that the study shall have.
            sampler (str): ``"tpe"`` or ``"random"``.
            seed (int): Seed of the sampler.
            pruner (BasePruner): Decides which trials stop early.
        """
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
