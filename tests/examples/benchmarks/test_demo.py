import json
from pathlib import Path

import demo
import pytest

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary


def test_both_loaders_train_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    for name, loader in demo.LOADERS.items():

        def make(*args: object, name: str = name, loader=loader, **kwargs: object):
            made.append(name)
            return loader(*args, **kwargs)

        monkeypatch.setitem(demo.LOADERS, name, make)
    sizes = {f"dataset.args.num_{split}": 32 for split in ("train", "val", "test")}
    figures = demo.run(epochs=1, settings=sizes)
    path = tmp_path / "runs/benchmark-demo/demo.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(figures))
    theirs, ours = figures["found"].values()
    # The same batches in the same order.
    assert theirs["test"] == ours["test"]
    assert theirs["training"]["steps"] == ours["training"]["steps"] == 2
    # Training, validation and test of two models.
    assert made == [name for name in figures["found"] for _ in range(6)]
    assert figures["command"] == "python examples/benchmarks/demo.py --epochs 1"
    assert table_summary(figures).splitlines()[0].startswith("the demo with")


def test_numbers_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="--epochs of at least 1"):
        demo.run(epochs=0)
