from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_relational.datasets import SortOfCLEVR, SortOfCLEVROnDisk

SIZES = {"num_train": 12, "num_val": 5, "num_test": 4, "chunk_size": 5}


@pytest.fixture(autouse=True)
def found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes import this file by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def build(root: Path, split: str = "train", **options: Any) -> SortOfCLEVROnDisk:
    return SortOfCLEVROnDisk(str(root), split, **(SIZES | options))


def tensors(scene: Any) -> dict[str, torch.Tensor]:
    return {k: v for k, v in scene.to_dict().items() if torch.is_tensor(v)}


def equal(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        {*a} == {*b} and all(map(torch.equal, a.values(), b.values()))
        for a, b in zip(map(tensors, one), map(tensors, other), strict=True)
    )


def places(dataset: Any) -> set[tuple[float, ...]]:
    return {tuple(scene.position.flatten().tolist()) for scene in dataset}


@pytest.mark.parametrize("representation", ["state", "pixels"])
def test_scenes_are_as_those_in_memory(tmp_path: Path, representation: str) -> None:
    dataset = build(tmp_path, representation=representation)
    assert str(dataset) == "SortOfCLEVROnDisk(12)"
    usual = SortOfCLEVR(tmp_path, representation=representation, num_train=12)
    for scene, other in zip(dataset, usual, strict=True):
        assert scene.num_nodes == other.num_nodes == 6
        assert [*tensors(scene)] == [*tensors(other)]
        for name, value in tensors(scene).items():
            assert value.dtype == other[name].dtype
            assert value.shape == other[name].shape
    # The answer agrees with the object that decides it.
    scene = dataset[7]
    asked, decider = scene.pair[scene.question_subtype == 3].T
    assert torch.equal(scene.y[scene.question_subtype == 3], scene.shape_id[decider])
    assert (asked != decider).all()


def test_each_chunk_and_split_has_its_own_stream(tmp_path: Path) -> None:
    sizes = {"num_train": 60, "num_val": 60, "num_test": 60, "chunk_size": 20}
    splits = [build(tmp_path, split, **sizes) for split in ("train", "val", "test")]
    assert len(set.union(*map(places, splits))) == 180
    first = build(tmp_path / "a")
    assert equal(first, build(tmp_path / "b"))
    assert not equal(first, build(tmp_path / "b", seed=1))
    # Whole chunks depend on no size.
    assert equal(first[:10], build(tmp_path / "b", num_train=10, num_val=9))


def test_workers_generate_the_same(tmp_path: Path) -> None:
    assert equal(build(tmp_path / "a", workers=2), build(tmp_path / "b"))


def test_every_argument_that_changes_the_content_has_its_own_file(
    tmp_path: Path,
) -> None:
    variants = [
        {},
        {"split": "val"},
        {"representation": "pixels"},
        {"num_train": 13},
        {"num_objects": 3},
        {"seed": 1},
        {"chunk_size": 6},
        {"pre_filter": has_left_object},
        {"pre_transform": double_x},
    ]
    paths = {build(tmp_path, **variant).processed_paths[0] for variant in variants}
    assert len(paths) == len(variants)
    assert build(tmp_path, workers=2).processed_paths[0] in paths


def has_left_object(scene: Any) -> bool:
    return bool((scene.position[0] < 30).all())


def double_x(scene: Any) -> Any:
    scene.x = 2 * scene.x
    return scene


@pytest.mark.parametrize("workers", [1, 2])
def test_filters_and_transforms(tmp_path: Path, workers: int) -> None:
    options = {"num_train": 60, "workers": workers}
    plain = build(tmp_path, num_train=60)
    kept = [scene for scene in plain if has_left_object(scene)]
    # Of some chunks none is kept, of some one.
    assert 0 < len(kept) < 12
    assert equal(build(tmp_path, pre_filter=has_left_object, **options), kept)
    changed = build(tmp_path, pre_transform=double_x, **options)
    assert torch.equal(changed[59].x, 2 * plain[59].x)
    assert torch.equal(build(tmp_path, transform=double_x)[2].x, 2 * plain[2].x)
    with pytest.raises(ValueError, match="`pre_filter` to keep a graph"):
        build(tmp_path, pre_filter=lambda scene: False)


def test_force_reload_generates_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [*build(tmp_path)]
    again: list[int] = []
    module = "pyg_relational.datasets.sort_of_clevr.generate"
    usual = SortOfCLEVROnDisk.__init__.__globals__["generate"]
    monkeypatch.setattr(module, lambda *args: again.append(1) or usual(*args))
    assert equal(build(tmp_path), expected)
    assert again == []
    assert equal(build(tmp_path, force_reload=True), expected)
    assert again == [1] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "'split' must be .*mean 'val'"),
        ({"representation": "pixel"}, "'representation' must be .*mean 'pixels'"),
        ({"num_train": 0}, "`num_train` to be at least 1, got 0"),
        ({"num_objects": 7}, "`num_objects` to be from 2 to 6, got 7"),
        ({"seed": -1}, "`seed` to be at least 0, got -1"),
        ({"chunk_size": 0}, "`chunk_size` to be at least 1, got 0"),
        ({"workers": 0}, "`workers` to be at least 1, got 0"),
    ],
)
def test_wrong_arguments_leave_no_folder(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "root", **options)
    assert not (tmp_path / "root").exists()


def test_what_the_trainer_reads() -> None:
    for name in ("task", "num_answers", "COLOURS", "SHAPES", "ANSWERS", "SUBTYPES"):
        assert getattr(SortOfCLEVROnDisk, name) == getattr(SortOfCLEVR, name)
    assert SortOfCLEVROnDisk.metric_groups() == SortOfCLEVR.metric_groups()
