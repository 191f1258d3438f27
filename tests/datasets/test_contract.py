"""Every dataset is stored once, whole, and under a name that tells its arguments."""

from pathlib import Path
from typing import Any

import pytest
from torch_geometric.data import Data

from pyg_relational.datasets import ChunkedOnDiskDataset, StoredDataset
from tests.datasets.contract import CASES, Case, equal

STORED = [case for case in CASES if case.stored]
# Those whose samples are in a file of whatever kind.
KINDS = (StoredDataset, ChunkedOnDiskDataset)
IN_FILES = [case for case in CASES if issubclass(case.kind, KINDS)]
every = pytest.mark.parametrize("case", CASES, ids=str)
stored = pytest.mark.parametrize("case", STORED, ids=str)
in_files = pytest.mark.parametrize("case", IN_FILES, ids=str)


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)


@stored
def test_second_use_reads(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.build(tmp_path)
    assert str(first) == f"{case}({len(first)})"
    monkeypatch.setattr(case.kind, "generate", lambda self: pytest.fail("again"))
    monkeypatch.setattr(case.kind, "download", lambda self: pytest.fail("again"))
    again = case.build(tmp_path)
    assert equal(again, first)
    assert again.extras.keys() == first.extras.keys()


@stored
def test_force_reload_generates_again(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.build(tmp_path)
    made, usual = [], case.kind.generate
    monkeypatch.setattr(
        case.kind, "generate", lambda self: made.append(1) or usual(self)
    )
    assert equal(case.build(tmp_path), first)
    assert made == []
    assert equal(case.build(tmp_path, force_reload=True), first)
    assert made == [1]


def keep_all(sample: Data) -> bool:
    return True


def mark(sample: Data) -> Data:
    sample.changed = sample.y.clone()
    return sample


@in_files
def test_every_argument_has_its_own_file(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = [{"split": "val"}, {"split": "test"}]
    changed: list[dict[str, Any]] = [{"pre_filter": keep_all}, {"pre_transform": mark}]
    variants = [{}, *common, *changed, *case.variants]
    built = [case.build(tmp_path, **variant) for variant in variants]
    paths = {dataset.processed_paths[0] for dataset in built}
    assert len(paths) == len(variants)
    assert all(Path(path).is_file() for path in paths)
    for same in case.same:
        assert case.build(tmp_path, **same).processed_paths[0] in paths
    if case.stored:
        monkeypatch.setattr(case.kind, "generate", lambda self: pytest.fail("again"))
    for variant, dataset in zip(variants, built, strict=True):
        assert equal(case.build(tmp_path, **variant), dataset)


@every
def test_samples_depend_on_the_arguments_alone(case: Case, tmp_path: Path) -> None:
    first = case.build(tmp_path / "a")
    for same in [{}, *case.same]:
        assert equal(first, case.build(tmp_path / "b", **same))
    if {"seed": 1} in case.variants:
        assert not equal(first, case.build(tmp_path / "b", seed=1))


@stored
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted_generation_is_redone(
    case: Case,
    error: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(case.kind, "generate", interrupted)
        with pytest.raises(error):
            case.build(tmp_path)
    assert list((tmp_path / "processed").iterdir()) == []
    assert equal(case.build(tmp_path), case.build(tmp_path / "fresh"))


@stored
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_damaged_file_is_redone(case: Case, keep: float, tmp_path: Path) -> None:
    first = case.build(tmp_path)
    path = Path(first.processed_paths[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert equal(case.build(tmp_path), first)
    assert path.read_bytes() == content


@in_files
def test_transforms_and_filters(case: Case, tmp_path: Path) -> None:
    plain = case.build(tmp_path)
    assert "changed" not in plain[0]
    assert "changed" in case.build(tmp_path, transform=mark)[0]
    assert "changed" in case.build(tmp_path, pre_transform=mark)[0]
    kept = case.build(tmp_path, pre_filter=keep_all)
    assert equal(kept, plain)
    with pytest.raises(ValueError, match="`pre_filter` to keep a "):
        case.build(tmp_path, pre_filter=lambda sample: False)


@stored
def test_unwritable_root(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"file/processed.*Pass a `root` that can be"):
        case.kind(str(tmp_path / "file"), **case.small)


WRONG = [
    (case, arguments, error, message)
    for case in CASES
    for arguments, error, message in [
        ({"split": "valid"}, ValueError, "'split' must be .*mean 'val'"),
        ({"splt": "val"}, TypeError, "'splt'"),
        *case.wrong,
    ]
]


@pytest.mark.parametrize(
    ("case", "arguments", "error", "message"),
    WRONG,
    ids=[f"{case}-{arguments}" for case, arguments, *_ in WRONG],
)
def test_wrong_arguments_leave_no_folder(
    case: Case,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        case.kind(str(tmp_path / "root"), **(case.small | arguments))
    assert not (tmp_path / "root").exists()


@stored
def test_unknown_arguments_are_named_with_the_nearest(
    case: Case, tmp_path: Path
) -> None:
    message = rf"{case} has no argument 'transfrom'; did you mean 'transform'"
    with pytest.raises(TypeError, match=message):
        case.kind(str(tmp_path), **case.small, transfrom=None)
