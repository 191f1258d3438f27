import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# torch_geometric scripts a few functions when it is imported.
JIT = "ignore:`torch.jit:DeprecationWarning"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", JIT, str(path), "--smoke"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example prints what it shows"
    assert len(path.read_text().splitlines()) <= 100


def test_million_objects_says_what_it_computed() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/million_objects.py"), "--objects", "30"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "30 objects, 900 pairs, one hidden layer of 64" in done.stdout
    assert "forward" in done.stdout
    assert "backward" in done.stdout
