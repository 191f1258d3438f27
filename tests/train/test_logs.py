import csv
from pathlib import Path

import pytest

from pyg_relational.train.callbacks import Curve, KeepCurve


def test_rows_may_name_different_things(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "metrics.csv")
    curve.save()
    assert not curve.path.exists()
    curve.log_metrics({"epoch": 0, "train/loss": 0.5}, 49)
    curve.log_metrics({"epoch": 0, "val/accuracy": 0.25}, 99)
    curve.save()
    with curve.path.open() as file:
        rows = [*csv.DictReader(file)]
    assert rows == [
        {"step": "49", "epoch": "0", "train/loss": "0.5", "val/accuracy": ""},
        {"step": "99", "epoch": "0", "train/loss": "", "val/accuracy": "0.25"},
    ]


def test_a_checkpoint_has_the_rows_of_its_weights(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "metrics.csv")
    curve.log_metrics({"train/loss": 0.5}, 49)
    state = KeepCurve(curve).state_dict()
    later = Curve(tmp_path / "metrics.csv")
    KeepCurve(later).load_state_dict(state)
    later.log_metrics({"train/loss": 0.25}, 99)
    assert later.rows == [
        {"step": 49, "train/loss": 0.5},
        {"step": 99, "train/loss": 0.25},
    ]
    assert curve.rows == later.rows[:1]


def test_a_file_that_cannot_be_written_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = Curve(tmp_path / "metrics.csv")
    curve.log_metrics({"train/loss": 0.5}, 49)
    curve.save()
    before = curve.path.read_bytes()
    curve.log_metrics({"train/loss": 0.25}, 99)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(csv.DictWriter, "writerows", fail)
    with pytest.raises(OSError, match="disk full"):
        curve.save()
    assert curve.path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [curve.path]
