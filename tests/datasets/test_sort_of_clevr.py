from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational._files import read_verified
from pyg_relational.datasets import SortOfCLEVR

SIZES = {"num_train": 12, "num_val": 5, "num_test": 4}


def build(root, split="train", representation="state", **kwargs):
    return SortOfCLEVR(root, split, representation, **(SIZES | kwargs))


def scene_key(scene):
    return (*scene.position.flatten().tolist(), *scene.shape_id.tolist())


def equal(a, b):
    return len(a) == len(b) and all(
        torch.equal(s[name], t[name])
        for s, t in zip(a, b, strict=True)
        for name in ("position", "shape_id", "u", "y", "pair", "question_subtype")
    )


def test_each_scene_is_stored_once(tmp_path):
    dataset = build(tmp_path)
    assert len(dataset) == 12
    assert str(dataset) == "SortOfCLEVR(12)"
    assert dataset._data.x.shape == (12 * 6, 10)
    scene = dataset[3]
    assert scene.num_nodes == 6
    assert scene.y.shape == scene.question_kind.shape == (20,)
    assert scene.question_kind.tolist() == [0] * 10 + [1] * 10
    assert torch.equal(scene.question_subtype // 3, scene.question_kind)
    # The relational answer agrees with the object that decides it.
    asked, decider = scene.pair[scene.question_subtype == 3].T
    assert torch.equal(scene.y[scene.question_subtype == 3], scene.shape_id[decider])
    assert (asked != decider).all()


@pytest.mark.parametrize("representation", ["state", "pixels"])
def test_second_use_reads_the_same_scenes(tmp_path, representation, monkeypatch):
    first = build(tmp_path, representation=representation)
    monkeypatch.setattr(SortOfCLEVR, "generate", lambda self: pytest.fail("again"))
    second = build(tmp_path, representation=representation)
    assert equal(first, second)
    name = "x" if representation == "state" else "image"
    assert torch.equal(first[7][name], second[7][name])
    assert second[7].num_nodes == 6


def test_representations_show_the_same_scenes(tmp_path):
    state = build(tmp_path)
    pixels = build(tmp_path, representation="pixels")
    assert equal(state, pixels)
    assert "x" not in pixels[0]
    assert "image" not in state[0]
    assert pixels[0].image.dtype == torch.uint8


def test_scenes_depend_on_the_seed_only(tmp_path):
    first = build(tmp_path / "a")
    assert equal(first, build(tmp_path / "b"))
    assert not equal(first, build(tmp_path / "b", seed=1))
    # The sizes of other splits change nothing.
    assert equal(first, build(tmp_path / "b", num_test=9, num_val=9))
    assert equal(
        build(tmp_path / "a", "test"), build(tmp_path / "b", "test", num_train=3)
    )


def test_splits_share_no_scene(tmp_path):
    sizes = {"num_train": 300, "num_val": 300, "num_test": 300}
    keys = {
        scene_key(scene)
        for split in ("train", "val", "test")
        for scene in build(tmp_path, split, **sizes)
    }
    assert len(keys) == 900


def test_every_argument_that_changes_the_content_has_its_own_file(tmp_path):
    variants = [
        {},
        {"split": "val"},
        {"split": "test"},
        {"representation": "pixels"},
        {"num_train": 13},
        {"split": "val", "num_val": 6},
        {"split": "test", "num_test": 5},
        {"num_objects": 3},
        {"seed": 1},
        {"pre_filter": has_left_object},
        {"pre_transform": double_x},
    ]
    paths = {build(tmp_path, **variant).processed_paths[0] for variant in variants}
    assert len(paths) == len(variants)


def test_pixels_keep_the_number_of_nodes(tmp_path):
    dataset = build(tmp_path, representation="pixels", num_objects=4)
    batch = next(iter(DataLoader(dataset[5:], batch_size=3)))
    assert batch.num_nodes == 12
    assert batch.batch.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(batch.image[2], dataset[7].image[0])


def test_batch_tells_the_scene_of_each_question(tmp_path):
    dataset = build(tmp_path)
    loader = DataLoader(dataset, batch_size=4, follow_batch=["u"])
    batch = list(loader)[1]
    assert batch.u_batch.tolist() == [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20
    for b in range(4):
        rows = batch.u_batch == b
        assert torch.equal(batch.u[rows], dataset[4 + b].u)
        assert torch.equal(batch.y[rows], dataset[4 + b].y)
        # Rows within the scene: batching must not shift them.
        assert torch.equal(batch.pair[rows], dataset[4 + b].pair)
        for group in dataset.metric_groups():
            name = f"question_{group}"
            assert torch.equal(batch[name][rows], dataset[4 + b][name])


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_half_written_file_is_redone(tmp_path, keep):
    path = Path(build(tmp_path).processed_paths[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    expected = build(tmp_path / "fresh")
    assert equal(build(tmp_path), expected)
    assert path.read_bytes() == content


def test_interrupted_generation_leaves_nothing_to_read(tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SortOfCLEVR, "generate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path)
    assert list((tmp_path / "processed").iterdir()) == []
    assert equal(build(tmp_path), build(tmp_path / "fresh"))


def test_force_reload_generates_again(tmp_path):
    path = build(tmp_path).processed_paths[0]
    content = read_verified(path)
    Path(path).unlink()
    build(tmp_path)
    calls = []

    class Counted(SortOfCLEVR):
        def generate(self):
            calls.append(1)
            return content

    Counted(tmp_path, **SIZES)
    assert calls == []
    Counted(tmp_path, force_reload=True, **SIZES)
    assert calls == [1]


def test_unwritable_root(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"file/processed.*Pass a `root` that can be"):
        build(tmp_path / "file")


def has_left_object(scene):
    return bool((scene.position[0] < 37).all())


def double_x(scene):
    scene.x = 2 * scene.x
    return scene


def test_transform_filter_and_pre_transform(tmp_path):
    plain = build(tmp_path)
    kept = [scene for scene in plain if has_left_object(scene)]
    assert 0 < len(kept) < 12
    filtered = build(tmp_path, pre_filter=has_left_object)
    assert equal(filtered, kept)
    assert torch.equal(build(tmp_path, pre_transform=double_x)[2].x, 2 * plain[2].x)
    assert torch.equal(build(tmp_path, transform=double_x)[2].x, 2 * plain[2].x)
    with pytest.raises(ValueError, match="`pre_filter` to keep a sample"):
        build(tmp_path, pre_filter=lambda scene: False)


def test_one_scene(tmp_path):
    for representation in ("state", "pixels"):
        dataset = build(tmp_path, "val", representation, num_val=1)
        assert len(dataset) == 1
        assert dataset[0].num_nodes == 6
        assert dataset[0].y.shape == (20,)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"split": "valid"}, "Unknown split 'valid'; did you mean 'val'"),
        ({"representation": "pixel"}, "Unknown representation.*mean 'pixels'"),
        ({"num_train": 0}, "`num_train` to be at least 1, got 0"),
        ({"num_objects": 7}, "`num_objects` to be from 2 to 6, got 7"),
        ({"num_objects": 1}, "`num_objects` to be from 2 to 6, got 1"),
        ({"seed": -1}, "`seed` to be at least 0, got -1"),
    ],
)
def test_wrong_arguments_leave_no_folder(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "root", **kwargs)
    assert not (tmp_path / "root").exists()


def test_size_must_be_an_integer(tmp_path):
    with pytest.raises(TypeError, match=r"`num_val` to be an integer, got 5\.0"):
        build(tmp_path, num_val=5.0)


def test_what_the_trainer_reads():
    assert SortOfCLEVR.task == "classification"
    assert SortOfCLEVR.num_answers == len(SortOfCLEVR.ANSWERS) == 10
    assert SortOfCLEVR.kind_of("furthest_shape") == "relational"
    assert SortOfCLEVR.metric_groups() == {
        "kind": ("non-relational", "relational"),
        "subtype": SortOfCLEVR.SUBTYPES,
    }
