import gc
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from pyg_relational._checks import UsageError
from pyg_relational.train.recipe import Choices, Range
from pyg_relational.train.tune import (
    MAX_RETRIES,
    Claim,
    Study,
    _first,
    differences,
    failure,
)

SPACE = {"rate": Range(0.0, 1.0), "widths": Choices(([4], [8, 8]))}
IDENTITY = {"recipe": "r", "budget": {"max_epochs": 2, "batch_size": 16}}


def opened(folder: Path, **changes: Any) -> Study:
    return Study(folder, {**IDENTITY, **changes}, SPACE, "max")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    study = opened(tmp_path / "study")
    yield study
    study.close()


def claim(study: Study, total: int = 100, sampler: str = "random") -> Claim | None:
    return study.claim(total, sampler, 0, NopPruner())


def run(study: Study, total: int = 100, sampler: str = "random") -> dict[str, Any]:
    claimed = claim(study, total, sampler)
    assert claimed is not None
    study.finish(claimed, claimed.settings["rate"])
    return claimed.settings


def test_trials_are_kept(study: Study) -> None:
    done = [run(study) for _ in range(3)]
    study.close()
    again = opened(study.folder)
    assert [again.settings(trial) for trial in again.finished()] == done
    rates = [settings["rate"] for settings in done]
    assert [trial.value for trial in again.finished()] == rates
    assert [trial.value for trial in again.ranking()] == sorted(rates, reverse=True)
    again.close()


def test_the_total_counts_what_runs_and_what_is_done(study: Study) -> None:
    first, second = claim(study, 2), claim(study, 2)
    assert first is not None
    assert second is not None
    assert claim(study, 2) is None
    study.finish(first, 0.5)
    assert claim(study, 2) is None
    assert claim(study, 3) is not None


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_trials_with_and_without_an_interruption(
    tmp_path: Path, sampler: str
) -> None:
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    expected = [run(whole, sampler=sampler) for _ in range(5)]
    found = [run(parts, sampler=sampler) for _ in range(2)]
    parts.close()
    parts = opened(tmp_path / "parts")
    found += [run(parts, sampler=sampler) for _ in range(3)]
    assert found == expected
    assert len({settings["rate"] for settings in found}) == 5
    whole.close()
    parts.close()


class Killed(BaseException):
    pass


def killed(*args: Any, **options: Any) -> None:
    raise Killed


def settings_of(study: Study) -> list[dict[str, Any]]:
    """In the order of the trials that are repeated."""
    trials = sorted(study.finished(), key=_first)
    return [study.settings(trial) for trial in trials]


@pytest.mark.parametrize("kind", [Range, Choices])
def test_killed_while_values_are_drawn(
    tmp_path: Path, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    expected = [run(whole) for _ in range(4)]
    run(parts)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(kind, "suggest", killed)
            with pytest.raises(Killed):
                claim(parts)
        # The system would release the lock.
        gc.collect()
    for _ in range(3):
        run(parts)
    assert settings_of(parts) == expected
    whole.close()
    parts.close()


@pytest.mark.parametrize("step", ["tell", "enqueue_trial"])
def test_killed_while_a_trial_is_recovered(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    expected = [run(whole) for _ in range(3)]
    run(parts)
    lost = claim(parts)
    assert lost is not None
    lost.lock.release()
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(parts.study, step, killed)
            with pytest.raises(Killed):
                claim(parts)
        gc.collect()
    for _ in range(2):
        run(parts, 3)
    assert claim(parts, 3) is None
    assert settings_of(parts) == expected
    waiting = parts.study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))
    assert waiting == []
    whole.close()
    parts.close()


def test_a_failure_is_not_repeated_after_a_kill(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = claim(study)
    assert claimed is not None
    with monkeypatch.context() as patch:
        patch.setattr(study.study, "tell", killed)
        with pytest.raises(Killed):
            study.fail(claimed, "too large")
    claimed.lock.release()
    study.recover()
    (trial,) = study.finished()
    assert failure(trial) == "too large"
    assert len(study.study.trials) == 1


def test_an_interrupted_trial_is_run_again_however_often(study: Study) -> None:
    settings = None
    for _ in range(MAX_RETRIES + 3):
        claimed = claim(study, 1)
        assert claimed is not None
        assert claimed.settings == (settings or claimed.settings)
        settings = claimed.settings
        study.hand_back(claimed)
        assert study.finished() == []
    assert run(study, 1) == settings
    assert claim(study, 1) is None


def test_a_trial_that_kills_its_process_is_given_up(study: Study) -> None:
    for _ in range(MAX_RETRIES + 1):
        assert study.finished() == []
        claimed = claim(study, 1)
        assert claimed is not None
        claimed.lock.release()  # as the system does when the process is killed
    assert claim(study, 1) is None
    (trial,) = study.finished()
    assert failure(trial) == f"its process ended early {MAX_RETRIES + 1} times"


def test_ctrl_c_after_kills_gives_no_trial_up(study: Study) -> None:
    for _ in range(MAX_RETRIES):
        claimed = claim(study, 1)
        assert claimed is not None
        claimed.lock.release()
    claimed = claim(study, 1)
    assert claimed is not None
    study.hand_back(claimed)
    assert study.finished() == []
    assert run(study, 1) == claimed.settings
    assert len(study.finished()) == 1


def test_a_failed_trial_counts_and_keeps_its_reason(study: Study) -> None:
    claimed = claim(study)
    assert claimed is not None
    study.fail(claimed, "widths do not fit")
    assert [failure(trial) for trial in study.finished()] == ["widths do not fit"]
    assert study.ranking() == []


def test_pruned_trials_count_but_do_not_win(study: Study) -> None:
    claimed = claim(study)
    assert claimed is not None
    claimed.trial.report(5.0, 1)
    study.finish(claimed, None)
    run(study)
    states = [trial.state for trial in study.finished()]
    assert states == [TrialState.PRUNED, TrialState.COMPLETE]
    assert [trial.number for trial in study.ranking()] == [1]


def test_smallest_wins_where_less_is_better(tmp_path: Path) -> None:
    study = Study(tmp_path, IDENTITY, SPACE, "min")
    rates = sorted(run(study)["rate"] for _ in range(3))
    assert [trial.value for trial in study.ranking()] == rates
    study.close()


def test_killed_processes_lose_only_the_trial_they_ran(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_study import claim, opened, run
        study = opened(Path(sys.argv[1]))
        run(study); run(study)
        claimed = claim(study)
        claimed.trial.report(0.5, 1)
        print(claimed.settings["rate"], flush=True)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "study")]
    done = subprocess.run(
        [*command, str(Path(__file__).parent)], capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    study = opened(tmp_path / "study")
    before = [(trial.number, trial.value) for trial in study.finished()]
    assert [number for number, _ in before] == [0, 1]
    assert run(study, 3)["rate"] == float(done.stdout)
    assert claim(study, 3) is None
    assert [(t.number, t.value) for t in study.finished()][:2] == before
    assert len(study.ranking()) == 3
    study.close()


def test_a_running_trial_of_another_process_is_left_alone(study: Study) -> None:
    claimed = claim(study)
    other = opened(study.folder)
    other.recover()
    assert claimed is not None
    study.finish(claimed, 1.0)
    assert [trial.value for trial in other.ranking()] == [1.0]
    other.close()


def test_another_study_in_the_folder_is_refused(study: Study) -> None:
    budget = {"max_epochs": 3, "batch_size": 16}
    with pytest.raises(UsageError, match=r"differs in budget\.max_epochs; give the"):
        opened(study.folder, budget=budget)
    opened(study.folder).close()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, but long enough to be read")
    with pytest.raises(
        UsageError, match=r"study\.db' is no study that can be continued"
    ):
        opened(tmp_path)


def test_a_study_killed_before_its_first_trial(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    study = opened(tmp_path)
    run(study)
    study.close()


def test_differences() -> None:
    before = {"a": {"b": 1, "c": [1]}, "d": None}
    assert differences(before, {"a": {"b": 1, "c": [1]}, "d": None}) == []
    assert differences(before, {"a": {"b": 2, "c": [1]}, "e": 1}) == ["a.b", "e"]
    assert differences(before, {"a": 3}) == ["a"]
