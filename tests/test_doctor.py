import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyg_relational.cli import doctor


def test_all_operators_are_right() -> None:
    checks = doctor.self_check()
    assert len(checks) == 5
    assert all(check.right for check in checks)
    # Zero would mean that nothing was compared.
    assert all(check.error > 0 for check in checks)


@pytest.mark.parametrize("wrong", [1e-6, float("nan")])
def test_a_wrong_operator_is_found(
    monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    right = doctor.additive_attention

    def shifted(*args: Tensor, **options: str) -> Tensor:
        return right(*args, **options) + wrong

    monkeypatch.setattr(doctor, "additive_attention", shifted)
    text, fine = doctor.diagnose()
    assert not fine
    assert "additive_attention: WRONG: off by" in text
    assert "- relu_pair_sum: right" in text


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = doctor.relu_pair_sum

    def doubled(a: Tensor, *args: Tensor, **options: str) -> Tensor:
        return right(2 * a - a.detach(), *args, **options)

    monkeypatch.setattr(doctor, "relu_pair_sum", doubled)
    failed = [check.name for check in doctor.self_check() if not check.right]
    assert failed == ["relu_pair_sum"]


def test_an_operator_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Tensor, **options: str) -> Tensor:
        raise RuntimeError("no kernel for this machine")

    monkeypatch.setattr(doctor, "dot_attention", fail)
    text, fine = doctor.diagnose()
    assert not fine
    assert "dot_attention: WRONG: RuntimeError: no kernel for this machine" in text


def test_the_report_names_versions_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = doctor._version
    absent = "pytorch-lightning"
    monkeypatch.setattr(
        doctor, "_version", lambda name: "missing" if name == absent else real(name)
    )
    text, _ = doctor.diagnose()
    assert f"| torch | {torch.__version__} |" in text
    assert f"| extra train | lacks {absent} |" in text
    assert re.search(r"\| extra ogb \| (complete|lacks .*) \|", text)


def test_the_report_keeps_paths_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(doctor.DATA_FOLDER, str(tmp_path))
    text, _ = doctor.diagnose()
    assert f"| {doctor.DATA_FOLDER} | a folder with 1 entries |" in text
    assert str(tmp_path) not in text
    monkeypatch.setenv(doctor.DATA_FOLDER, str(tmp_path / "missing"))
    text, _ = doctor.diagnose()
    assert f"| {doctor.DATA_FOLDER} | set, but no folder |" in text
    assert str(tmp_path) not in text
