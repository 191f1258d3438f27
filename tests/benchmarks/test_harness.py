import json
import random
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.cli import main


def run(
    runs: str,
    quick: bool = False,
    kind: Literal["a", "b"] = "a",
    seeds: list[int] | None = None,
    max_steps: int | None = None,
) -> dict[str, Any]:
    """Measures nothing.

    It is a stand-in.

    Args:
        runs (str): Folders, separated by
            commas.
        quick (bool): Seconds. (default: `False`)
        kind (str): What kind. (default: `"a"`)
        seeds (list[int], optional): Several. (default: `None`)
        max_steps (int, optional): Steps at most. (default: `None`)

    Raises:
        UsageError: A number is too small.
    """
    harness.check_at_least(1, max_steps=max_steps)
    figures = {"runs": runs, "quick": quick, "kind": kind, "seeds": seeds}
    return {**figures, "max_steps": max_steps}


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["stand_in.py", *words])
    try:
        harness.main(run)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_script_runs_as_its_options_say(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    output = tmp_path / "figures.json"
    words = ["--runs", "r", "--quick", "--seeds", "0", "1", "--max-steps", "3"]
    assert call(monkeypatch, *words, "--output", str(output)) == 0
    expected = run("r", quick=True, seeds=[0, 1], max_steps=3)
    assert json.loads(capsys.readouterr().out) == expected
    assert json.loads(output.read_text()) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "r", "--max-steps", "0"], "--max-steps of at least 1, got 0"),
        (["--runs", "r", "--kind", "c"], "--kind"),
        ([], "--runs"),
        (["--runs", "r", "--max-step", "3"], "--max-step"),
    ],
)
def test_wrong_options_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert call(monkeypatch, *words) == 2
    assert message in capsys.readouterr().err


def test_help_says_what_the_docstring_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "options of the benchmark: Measures nothing.",
        "--runs RUNS Folders, separated by commas.",
        "--quick Seconds.",
        "--kind {a,b} What kind. (default: a)",
        "Steps at most.",
    ):
        assert text in shown
    assert "too small" not in shown


@pytest.mark.parametrize("name", ["ops", "ogb", "graphs", "explain"])
def test_every_option_of_a_benchmark_has_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "0x" not in shown
    options = shown.partition("options of the benchmark")[2] or shown
    entries = " ".join(options.split()).split(" --")[1:]
    assert len(entries) >= 5
    for entry in entries:
        # More than the name, a placeholder or choices, type and default.
        text = entry.partition(" (")[0]
        assert len(text.split()) > 2, entry


def test_commands_leave_out_defaults_and_places() -> None:
    command = harness.command_line(run, {"runs": "r", "quick": True, "seeds": [0, 2]})
    assert command.endswith("test_harness.py --runs r --quick --seeds 0 2")
    command = harness.command_line(run, {"runs": "r"}, every=("kind",))
    assert command.endswith("--runs r --kind a")


def test_numbers_too_small_name_the_option() -> None:
    harness.check_at_least(1, seeds=1, threads=None)
    with pytest.raises(UsageError, match="--max-steps of at least 2, got 1"):
        harness.check_at_least(2, seeds=2, max_steps=1)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with harness.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with harness.threads(None):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_methods_take_turns() -> None:
    seen: list[str] = []
    calls = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    samples = harness.in_turns(
        calls, dict.fromkeys("abc", 1.0), "cpu", 4, 60, random.Random(0)
    )
    rounds = [seen[i : i + 3] for i in range(0, 12, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert all(len(values) == 4 for values in samples.values())


def test_peak_memory_counts_what_is_freed_again() -> None:
    def call() -> int:
        x = torch.ones(2**23)
        return int(x.numel())

    torch.ones(2**25)  # a higher peak, but before
    result, elapsed, peak = harness.peak_memory(call, "cpu")
    assert result == 2**23
    assert elapsed > 0
    # The kernel counts pages in batches.
    assert peak.extra == pytest.approx(2**25, rel=0.1)
    assert peak.total > peak.extra
