import csv
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from optuna.pruners import ThresholdPruner
from optuna.trial import FrozenTrial, TrialState

from pyg_relational._checks import UsageError
from pyg_relational.train import configure
from pyg_relational.train import recipe as recipes
from pyg_relational.train import tune as tuning
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.module import RelationalModule, Task
from pyg_relational.train.recipe import load_recipe, resolve
from pyg_relational.train.tune import Plan, failure, report, tune

SEARCH = {
    "optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "model.args.relation_channels": {"choices": [[4], [8, 8]]},
}


def plan_of(
    recipe: Path,
    search: dict[str, Any] = SEARCH,
    trials: int = 2,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    config = configure(str(recipe), command="c", baseline=False, **changes)
    return Plan(
        config={**config, "search": search},
        folder=recipe.parent / "study",
        trials=trials,
        options=options or {},
    )


def finished(plan: Plan) -> list[FrozenTrial]:
    study = plan.study()
    trials = study.finished()
    study.close()
    return trials


def test_trials_train_what_they_say_and_never_read_the_test_split(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = set()
    dataset = RelationalDataModule.dataset

    def recorded(module: RelationalDataModule, split: str) -> Any:
        splits.add(split)
        return dataset(module, split)

    monkeypatch.setattr(RelationalDataModule, "dataset", recorded)
    plan = plan_of(recipe)
    assert tune(plan)
    assert splits == {"train", "val"}
    trials = finished(plan)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    for trial in trials:
        folder = plan.folder / "trials" / str(trial.number)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        rate = trial.params["optimizer.learning_rate"]
        assert config["optimizer"]["learning_rate"] == rate
        widths = config["model"]["args"]["relation_channels"]
        assert str(widths) == trial.params["model.args.relation_channels"]
        with (folder / "metrics.csv").open() as file:
            scores = [row["val/accuracy"] for row in csv.DictReader(file)]
        assert trial.value == pytest.approx(max(float(s) for s in scores if s))
        assert len(trial.intermediate_values) == 2
        assert not (folder / "checkpoints").exists()

    before = {trial.number: trial.value for trial in trials}
    more = plan_of(recipe, trials=3)
    assert tune(more)
    after = {trial.number: trial.value for trial in finished(more)}
    assert len(after) == 3
    assert after.items() >= before.items()
    capsys.readouterr()
    assert tune(more)
    assert "trial" not in capsys.readouterr().out


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Jobs that a shell starts in the background ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_is_done(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, steps = RelationalModule.training_step, []

    def interrupted(module: RelationalModule, batch: Any) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return step(module, batch)

    plan = plan_of(recipe, options={"size": "laptop", "epochs": None}, epochs=1)
    monkeypatch.setattr(RelationalModule, "training_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert not tune(plan)
    assert signal.getsignal(signal.SIGINT) is handler
    (first,) = finished(plan)
    report(plan, "r")
    assert "1 of 2 trials: 1 complete" in capsys.readouterr().out
    best = yaml.safe_load((plan.folder / "best.yaml").read_text())
    assert best["size"] == "laptop"
    assert "epochs" not in best
    rate = first.params["optimizer.learning_rate"]
    assert best["set"]["optimizer.learning_rate"] == rate
    assert isinstance(best["set"]["model.args.relation_channels"], list)
    assert (plan.folder / "study.png").stat().st_size > 10_000

    study = plan.study()
    waiting = study.study.get_trials(states=(TrialState.WAITING,))
    study.close()
    assert len(waiting) == 1
    assert tune(plan)
    trials = finished(plan)
    assert len(trials) == 2
    assert (trials[0].number, trials[0].value) == (first.number, first.value)
    # The interrupted trial went on with the values it had.
    assert trials[1].number == waiting[0].number
    shown = waiting[0].system_attrs["fixed_params"]
    assert trials[1].params == shown


def test_pruned_trials_stop_early(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruner = ThresholdPruner(lower=2.0)  # no accuracy is as high
    monkeypatch.setattr(tuning, "_pruner", lambda plan: pruner)
    plan = plan_of(recipe, trials=1, epochs=3)
    assert tune(plan)
    (trial,) = finished(plan)
    assert trial.state is TrialState.PRUNED
    assert list(trial.intermediate_values) == [1]


@pytest.mark.parametrize(("mode", "best"), [("max", 0.9), ("min", 0.2)])
def test_the_best_validation_counts(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, mode: str, best: float
) -> None:
    def trained(config: Any, folder: Path, callbacks: list[Any]) -> None:
        callbacks[0].values.extend([0.4, 0.9, 0.2, 0.3])

    task = Task(metric="accuracy", mode=mode, classes=True)
    monkeypatch.setattr(tuning, "fit_weights", trained)
    monkeypatch.setattr(Plan, "task", task)
    plan = plan_of(recipe, trials=1)
    assert tune(plan)
    assert [trial.value for trial in finished(plan)] == [best]


def test_trials_at_their_end_are_not_pruned(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_pruner", lambda plan: ThresholdPruner(lower=2.0))
    plan = plan_of(recipe, trials=1, epochs=1)
    assert tune(plan)
    assert finished(plan)[0].state is TrialState.COMPLETE


def test_the_first_trials_are_not_pruned(recipe: Path) -> None:
    plan = plan_of(recipe, epochs=8)
    study = plan.study()
    pruned = []
    for number in range(8):
        claim = study.claim(8, "random", 0, tuning._pruner(plan))
        assert claim is not None
        for epoch in range(1, 5):
            claim.trial.report(-float(number), epoch)
            if claim.trial.should_prune():
                pruned.append((number, epoch))
                break
        study.finish(claim, -float(number) if (number, epoch) not in pruned else None)
    study.close()
    # Each is worse than all before: from the sixth on, after a quarter of its epochs.
    assert pruned == [(5, 2), (6, 2), (7, 2)]


def test_values_that_cannot_be_trained_fail_and_the_study_goes_on(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {"model.args.aggr": {"choices": ["sum", "nonsense"]}}
    plan = plan_of(recipe, search, trials=5, epochs=1)
    assert tune(plan)
    reasons = {
        trial.params["model.args.aggr"]: failure(trial) for trial in finished(plan)
    }
    assert reasons['"sum"'] is None
    assert "nonsense" in str(reasons['"nonsense"'])
    capsys.readouterr()
    report(plan, "r")
    shown = capsys.readouterr().out
    assert any(
        line.startswith("trial ") and " failed: " in line and "nonsense" in line
        for line in shown.splitlines()
    )


def test_a_recipe_at_fault_ends_the_study(recipe: Path) -> None:
    search = {"model.args.aggr": {"choices": ["nonsense", "nothing"]}}
    with pytest.raises(UsageError, match=r"all 3 trials failed, the last: model "):
        tune(plan_of(recipe, search, trials=5))


def test_a_single_step_is_validated(recipe: Path) -> None:
    plan = plan_of(recipe, trials=1, max_steps=1)
    assert tune(plan)
    study = plan.study()
    try:
        assert len(study.ranking()) == 1
    finally:
        study.close()


def test_no_validation_is_a_failure(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyg_relational.train.tune.fit_weights", lambda *args: None)
    plan = plan_of(recipe, trials=3, max_steps=1)
    with pytest.raises(UsageError, match="ended before the first validation"):
        tune(plan)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, "recipe 'tiny' has no section 'search'"),
        (
            {"model.args.droput": {"low": 0.0, "high": 0.5}},
            r"'search' of recipe 'tiny': unknown option 'model\.args\.droput'; "
            r"did you mean 'model\.args\.dropout'",
        ),
        (
            {"baseline.args.dropout": {"low": 0.0, "high": 0.5}},
            "unknown option 'baseline",
        ),
        (
            {"budget.batch_size": {"low": 1.0, "high": 4.0}},
            r"budget\.batch_size must be a whole number of at least 1, not 1\.0",
        ),
        ({"budget.batch_size": {"choices": [4, 0]}}, "at least 1, not 0"),
        ({"budget.max_epochs": {"low": 1, "high": 4}}, "searched and given"),
        ({"model.args.dropout": {"low": 0.0, "high": 0.5}}, "searched and given"),
    ],
)
def test_spaces_that_do_not_fit(
    recipe: Path, search: dict[str, Any], message: str
) -> None:
    options = {"epochs": 3, "set": {"model.args.dropout": 0.1}}
    with pytest.raises(UsageError, match=message):
        tune(plan_of(recipe, search, options=options))
    assert not (recipe.parent / "study").exists()


def test_another_model_is_refused(recipe: Path) -> None:
    plan_of(recipe).study().close()
    rates = {"optimizer.learning_rate": SEARCH["optimizer.learning_rate"]}
    with pytest.raises(UsageError, match=r"model_name, model\.class"):
        tune(plan_of(recipe, {**rates}, model="no-pairs"))
    with pytest.raises(UsageError, match=r"in search\.model\.args\.relation_channels"):
        tune(plan_of(recipe, {**rates}))


def test_the_time_limit_begins_no_trial(recipe: Path) -> None:
    plan = plan_of(recipe)
    late = Plan(plan.config, plan.folder, deadline=0.0)
    assert tune(late)
    assert finished(plan) == []


def test_the_search_of_the_recipe_is_what_resolve_returns(recipe: Path) -> None:
    content = {**load_recipe(str(recipe)), "search": SEARCH}
    assert resolve(content)["search"] == SEARCH


def test_workers_allow_what_this_process_does(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "_allowed", {"torch.nn"})
    found = []

    class Process:
        exitcode = 0

        def __init__(self, target: Any, args: tuple[Any, ...], daemon: bool) -> None:
            self.work = lambda: target(*args)

        def start(self) -> None:
            monkeypatch.setattr(recipes, "_allowed", set())
            self.work()
            found.append(recipes.model_class("torch.nn.Linear"))

        def join(self) -> None:
            pass

    context = type("Context", (), {"Process": Process})
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)
    monkeypatch.setattr(tuning, "work", lambda plan: None)
    tuning._employ(Plan({}, recipe.parent, workers=2, threads=1))
    assert found == [torch.nn.Linear] * 2


def started_by_torchrun(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": str(2 * count),
        "LOCAL_WORLD_SIZE": str(count),
        "RANK": "0",
        "LOCAL_RANK": "0",
    }.items():
        monkeypatch.setenv(name, value)


def test_several_processes_of_torchrun_are_refused(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_by_torchrun(monkeypatch, 3)
    message = "by torchrun as 6 processes.* without torchrun, and give --workers 3 to"
    with pytest.raises(UsageError, match=message):
        tune(plan_of(recipe))
    assert not (recipe.parent / "study").exists()
    # What others than torchrun set means nothing.
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert tune(plan_of(recipe, trials=1, max_steps=1))
