import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyg_relational.cli import main

SEARCH = {
    "optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "model.args.relation_channels": {"choices": [[4], [8, 8]]},
}
COMMAND = [sys.executable, "-W", "ignore", "-m", "pyg_relational", "tune"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def searched(recipe: Path) -> Path:
    content = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**content, "search": SEARCH}, sort_keys=False))
    return recipe


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in a session of its own, which ends with the test."""
    started: list[subprocess.Popen[str]] = []
    root = str(Path(__file__).parents[1])

    def popen(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def trials(folder: Path) -> list[tuple[int, str, float | None]]:
    """Returns number, state and score of each trial, read from the file itself."""
    if not (folder / "study.db").is_file():
        return []
    query = (
        "SELECT number, state, value FROM trials "
        "LEFT JOIN trial_values USING (trial_id) ORDER BY number"
    )
    connection = sqlite3.connect(folder / "study.db", timeout=60)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []  # the tables are yet to be written
    finally:
        connection.close()


def complete(folder: Path) -> dict[int, float | None]:
    found = trials(folder)
    return {number: value for number, state, value in found if state == "COMPLETE"}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tune_then_train_with_the_best(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tune", "tiny.yaml", "--trials", "2", "--epochs", "1", "--seed", "3"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 trials: 2 complete, 0 pruned, 0 failed" in shown
    assert "train tiny.yaml --config studies/tiny/best.yaml" in shown
    best = yaml.safe_load(Path("studies/tiny/best.yaml").read_text())
    assert best["epochs"] == 1
    assert best["seed"] == 3

    command = ["train", "tiny.yaml", "--config", "studies/tiny/best.yaml"]
    assert main([*command, "--run-dir", "run", "--no-baseline"]) == 0
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["seed"] == 3
    assert config["budget"]["max_epochs"] == 1
    settings = best["set"]
    rate = settings["optimizer.learning_rate"]
    assert config["optimizer"]["learning_rate"] == rate
    widths = settings["model.args.relation_channels"]
    assert config["model"]["args"]["relation_channels"] == widths
    # The training is that of the trial: it validates as well.
    rows = Path("run/metrics.csv").read_text().splitlines()
    scores = [
        float(row.split(",")[rows[0].split(",").index("val/accuracy")] or 0)
        for row in rows[1:]
    ]
    values = complete(Path("studies/tiny")).values()
    assert max(scores) == pytest.approx(max(value or 0 for value in values))

    assert main(["tune", "tiny.yaml", "--epochs", "2"]) == 2
    shown_error = capsys.readouterr().err
    assert "differs in seed, budget.max_epochs" in shown_error
    assert "another --study-dir" in shown_error


def test_killed_at_any_moment_no_finished_trial_is_lost(
    searched: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    arguments = ["tiny.yaml", "--trials", "5", "--max-steps", "40", "--epochs", "10"]
    folder = Path("studies/tiny")
    process = start(*arguments)
    wait_for(lambda: len(complete(folder)) >= 2, process)
    wait_for(lambda: any(t[1] == "RUNNING" for t in trials(folder)), process)
    process.kill()
    process.wait()
    before = complete(folder)
    assert 2 <= len(before) < 5
    assert main(["tune", *arguments]) == 0
    after = complete(folder)
    assert after.items() >= before.items()
    states = [state for _, state, _ in trials(folder)]
    assert states.count("COMPLETE") + states.count("PRUNED") == 5
    assert "RUNNING" not in states
    assert "WAITING" not in states


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_keeps_their_trials(
    searched: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    arguments = ["tiny.yaml", "--trials", "2", "--epochs", "100"]
    arguments += ["--set", '{"budget.patience": 100}']
    folder = Path("studies/tiny")
    process = start(*arguments, "--workers", "2")
    wait_for(lambda: [t[1] for t in trials(folder)] == ["RUNNING"] * 2, process)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert "interrupted; the same command continues the study" in error
    assert "0 of 2 trials" in out
    states = [state for _, state, _ in trials(folder)]
    assert states == ["FAIL", "FAIL", "WAITING", "WAITING"]
    assert main(["tune", *arguments]) == 0
    assert list(complete(folder)) == [2, 3]


OWN = """
from pyg_relational.models import RelationNetwork

class Mine(RelationNetwork):
    pass
"""


@pytest.mark.slow
def test_workers_build_classes_that_are_allowed(
    searched: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    Path("owned_models.py").write_text(OWN)
    content = yaml.safe_load(searched.read_text())
    content["models"]["relation"]["class"] = "owned_models.Mine"
    searched.write_text(yaml.safe_dump(content, sort_keys=False))
    arguments = ["tiny.yaml", "--trials", "2", "--workers", "2", "--max-steps", "1"]
    process = start(*arguments, "--allow", "owned_models")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "2 of 2 trials: 2 complete" in out
    # The command to copy works as it stands.
    assert "best.yaml --allow owned_models" in out
    _, error = start(*arguments).communicate(timeout=60)
    assert "need --allow owned_models" in error


@pytest.mark.slow
def test_torchrun_is_refused(searched: Path) -> None:
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run"]
    command += ["--standalone", "--nproc-per-node=2", "--module", "pyg_relational"]
    done = subprocess.run(
        [*command, "tune", "tiny.yaml", "--trials", "1"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "without torchrun, and give --workers 2 to run trials" in done.stderr
    assert not Path("studies").exists()


@pytest.mark.slow
def test_workers_share_the_trials(
    searched: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("tiny.yaml", "--trials", "3", "--workers", "2")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "3 of 3 trials: 3 complete" in out
    assert list(complete(Path("studies/tiny"))) == [0, 1, 2]


def test_set(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        '{"optimizer.learning_rate": 1e-3, "model.args.dropout": 0.25, '
        '"budget.max_epochs": 1, "dataset.args.num_train": 32}'
    )
    arguments = ["train", "tiny.yaml", "--no-baseline", "--run-dir", "run"]
    assert main([*arguments, "--set", text]) == 0
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["optimizer"]["learning_rate"] == 0.001
    assert config["model"]["args"]["dropout"] == 0.25
    assert config["budget"]["max_epochs"] == 1
    assert config["dataset"]["args"]["num_train"] == 32
    assert "--set" in config["command"]
    assert "model.args.dropout" in config["command"]

    options: dict[str, Any] = {"set": {"budget.max_epochs": 1, "budget.patience": 3}}
    Path("options.yaml").write_text(yaml.safe_dump(options))
    assert main([*arguments, "--overwrite", "--config", "options.yaml"]) == 0
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["budget"]["patience"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set", '{"model.args.droput": 1}'], "did you mean 'model.args.dr"),
        (["train", "--set", "[1]"], "--set"),
        (["tune"], "recipe 'tiny' has no section 'search'"),
        (["tune", "--trails", "3"], "did you mean '--trials'"),
        (["tune", "--sampler", "grid"], "--sampler"),
        (["tune", "--workers", "0"], "--workers"),
    ],
)
def test_errors(
    recipe: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, *options = arguments
    assert main([command, "tiny.yaml", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("studies").exists()


def test_help_loads_no_optuna() -> None:
    code = (
        "import sys; from pyg_relational.cli import main;"
        "main(['tune', '--help']);"
        "assert not {'torch', 'optuna', 'filelock'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_settings_of_the_command_line_are_laid_over_those_of_a_file(
    recipe: Path, tmp_path: Path
) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(
        yaml.safe_dump({"set": {"budget.patience": 7, "budget.max_steps": 1}})
    )
    done = main(
        [
            "train",
            str(recipe),
            "--config",
            str(file),
            "--set",
            '{"budget.max_steps": 2}',
            "--no-baseline",
            "--run-dir",
            str(tmp_path / "run"),
        ]
    )
    assert done == 0
    budget = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["budget"]
    assert (budget["patience"], budget["max_steps"]) == (7, 2)
