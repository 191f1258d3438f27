import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import on_disk
import pytest
from on_disk import Memory, used_bytes

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary


def test_quick_run_writes_figures_and_deletes_the_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        on_disk, "in_turns", lambda calls, *_: {name: [2] for name in calls}
    )
    figures = on_disk.run(quick=True, scenes=400, workers=1, max_steps=5)
    folder = tmp_path / "runs/benchmark-on-disk"
    assert [path.name for path in folder.iterdir()] == ["on-disk.json"]
    written = json.loads((folder / "on-disk.json").read_text())
    assert written == json.loads(json.dumps(figures))
    assert figures["generation"]["scenes"] == 400
    assert figures["generation"]["bytes"] > 400 * 2000
    assert figures["epoch"]["scenes"] == 5 * 16
    assert 0 < figures["epoch"]["val/accuracy"] < 1
    for part in ("generation", "epoch"):
        memory = figures[part]["memory"]
        assert memory["highest"] == max(memory.values()) > 50e6
        assert figures[part]["seconds"] > 0
    assert figures["loading"]["scenes"] == 400
    rows = {row[0]: row[1:] for row in figures["table"]["rows"]}
    assert rows["scenes"] == ["400", "80"]
    assert list(rows)[3:7] == [f"MB of memory {name}" for name in on_disk.MOMENTS]
    options = "--quick --scenes 400 --workers 1 --max-steps 5"
    assert figures["command"].endswith(f"on_disk.py {options}")
    assert "loads 200 of these scenes a second" in table_summary(figures)


def test_memory_of_children_counts() -> None:
    hold = "import sys; kept = bytearray(b'1') * 100_000_000; print(); sys.stdin.read()"
    before = used_bytes()
    with Memory(0.01) as memory:
        wait_for(lambda: bool(memory.samples))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", hold], **pipes) as process:
            wait_for(lambda: memory.samples[-1][1] > before + 90e6)
            process.communicate()
        wait_for(lambda: memory.samples[-1][1] < before + 50e6)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_samples_are_those_of_a_moment() -> None:
    memory = Memory(1)
    memory.samples = [(float(second), 10 * second) for second in range(11)]
    expected = {"at 10 %": 10, "at 50 %": 50, "at 100 %": 100, "highest": 100}
    assert memory.within(0, 10) == expected
    memory.samples[4] = (4.0, 500)
    assert memory.within(0, 10)["highest"] == 500
    assert memory.within(5, 10)["highest"] == 100


@pytest.mark.parametrize("options", [{"scenes": 63}, {"workers": 0}])
def test_numbers_too_small_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(options))} of at least"):
        on_disk.run(**options)
