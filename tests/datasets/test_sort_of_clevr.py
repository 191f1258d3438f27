from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import SortOfCLEVR, SortOfCLEVROnDisk, scene_from_objects
from pyg_relational.datasets.sort_of_clevr import (
    ANSWERS,
    COLOUR_VALUES,
    COLOURS,
    SUBTYPES,
    Questions,
    Scenes,
    answer_questions,
    describe_scenes,
    draw_scenes,
    encode_questions,
    kind_of,
    parse_question,
    question_text,
    sample_questions,
    sample_scenes,
    scene_image,
)


def test_kinds():
    assert [kind_of(s) for s in SUBTYPES] == ["non-relational"] * 3 + ["relational"] * 3
    with pytest.raises(ValueError, match="did you mean 'nearest_shape'"):
        kind_of("nearest")


def test_encoding():
    colour, subtype = COLOURS.index("blue"), SUBTYPES.index("left")
    question = encode_questions(torch.tensor(colour), torch.tensor(subtype))
    assert question.tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_every_question_survives_encoding_and_parsing():
    for k, colour in enumerate(COLOURS):
        for j, subtype in enumerate(SUBTYPES):
            question = encode_questions(torch.tensor(k), torch.tensor(j))
            assert parse_question(question_text(question)) == (subtype, colour)


def test_ten_answers():
    assert ANSWERS == ("circle", "square", "no", "yes", "1", "2", "3", "4", "5", "6")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nearest_shap red",
            "'question kind' .*'nearest_shap'.*; did you mean 'nearest_sha",
        ),
        ("shape gray", "'colour' .*'gray'.*; did you mean 'grey'"),
        ("shape", "two words"),
        ("what shape red", "two words"),
        ("", "two words"),
    ],
)
def test_unreadable_question(text, message):
    with pytest.raises(ValueError, match=message):
        parse_question(text)


def test_question_must_be_text():
    with pytest.raises(TypeError, match="as text"):
        parse_question(["shape", "red"])


def test_unknown_words_cannot_be_read():
    with pytest.raises(ValueError, match=r"'colour' .*'purple'"):
        parse_question("shape purple")
    with pytest.raises(ValueError, match=r"'question kind' .*'size'"):
        parse_question("size red")


def naive_answer(shapes, positions, asked, subtype):
    """One question about one scene, read off the definition."""
    x, y = positions[asked]
    others = [k for k in range(len(shapes)) if k != asked]

    def distance(k):
        return (positions[k][0] - x) ** 2 + (positions[k][1] - y) ** 2

    decider = -1
    if subtype == "shape":
        answer = ("circle", "square")[shapes[asked]]
    elif subtype == "left":
        answer = "yes" if x < 37.5 else "no"
    elif subtype == "upper":
        answer = "yes" if y < 37.5 else "no"
    elif subtype == "count_same_shape":
        answer = str(sum(shape == shapes[asked] for shape in shapes))
    else:
        sign = 1 if subtype == "nearest_shape" else -1
        decider = min(others, key=lambda k: (sign * distance(k), k))
        answer = ("circle", "square")[shapes[decider]]
    return answer, decider


@pytest.mark.parametrize("num_objects", [2, 3, 6])
def test_answers_equal_the_definition(num_objects):
    rng = np.random.default_rng(1)
    scenes = sample_scenes(100, num_objects, rng)
    questions = sample_questions(100, num_objects, rng)
    answer, decider = answer_questions(scenes, questions)
    for b in range(100):
        for q in range(20):
            expected = naive_answer(
                scenes.shape[b].tolist(),
                scenes.position[b].tolist(),
                questions.asked[b, q],
                SUBTYPES[questions.subtype[b, q]],
            )
            assert (ANSWERS[answer[b, q]], decider[b, q]) == expected


def test_ties_go_to_the_lowest_colour_and_the_middle_is_left_and_upper():
    position = np.array([[[37, 37], [37, 57], [57, 37], [17, 37], [38, 5]]])
    shape = np.array([[0, 1, 0, 0, 0]])
    scenes = Scenes(np.arange(5), shape, position)
    asked = np.array([[0, 2, 0, 0, 4, 4]])
    names = ["nearest_shape", "furthest_shape", "left", "upper", "left", "upper"]
    subtype = np.array([[SUBTYPES.index(name) for name in names]])
    answer, decider = answer_questions(scenes, Questions(asked, subtype))
    assert decider.tolist() == [[1, 3, -1, -1, -1, -1]]
    answers = [ANSWERS[i] for i in answer[0]]
    assert answers == ["square", "circle", "yes", "yes", "no", "yes"]


def test_objects_lie_inside_and_apart():
    position = sample_scenes(2000, 6, np.random.default_rng(0)).position
    assert position.min() == 5
    assert position.max() == 69
    distance = ((position[:, :, None] - position[:, None]) ** 2).sum(-1)
    apart = distance[:, ~np.eye(6, dtype=bool)]
    assert apart.min() == 101  # the closest allowed: 10 and 1 pixels


def test_samples_are_uniform():
    rng = np.random.default_rng(0)
    scenes = sample_scenes(6000, 6, rng)
    questions = sample_questions(6000, 6, rng)
    assert abs(scenes.shape.mean() - 0.5) < 0.01
    # Later objects avoid earlier ones, so only the first is uniform.
    counts = np.bincount(scenes.position[:, 0, 0], minlength=70)[5:]
    assert ((counts - 6000 / 65) ** 2 / (6000 / 65)).sum() < 120  # chi2(64), 1e-5
    for values, number in [
        (questions.asked, 6),
        (questions.subtype[:, :10], 3),
        (questions.subtype[:, 10:] - 3, 3),
    ]:
        share = np.bincount(values.ravel(), minlength=number) / values.size
        assert np.abs(share - 1 / number).max() < 0.01
        assert len(share) == number


def test_images_equal_a_painter_by_pixels():
    scenes = sample_scenes(4, 6, np.random.default_rng(3))
    # Two squares whose corners meet: green, painted later, is on top of red.
    scenes.position[0, :2] = [[20, 20], [28, 28]]
    scenes.shape[0, :2] = 1
    images = draw_scenes(scenes)
    for b in range(4):
        expected = np.full((75, 75, 3), 255)
        for k in range(6):
            centre_x, centre_y = scenes.position[b, k]
            for row in range(75):
                for column in range(75):
                    dx, dy = column - centre_x, row - centre_y
                    if scenes.shape[b, k] == 0:
                        inside = (dx * dx + dy * dy) ** 0.5 < 5.5
                    else:
                        inside = abs(dx) <= 5 and abs(dy) <= 5
                    if inside:
                        expected[row, column] = COLOUR_VALUES[k]
        assert np.array_equal(images[b].permute(1, 2, 0).numpy(), expected)
    assert images[0, :, 24, 24].tolist() == [0, 255, 0]


def test_centres_have_the_colour_and_corners_tell_the_shape():
    position = np.array([[[20, 20], [50, 60]]])
    scenes = Scenes(np.array([2, 5]), np.array([[0, 1]]), position)
    image = draw_scenes(scenes)[0]
    assert image.dtype == torch.uint8
    assert image[:, 20, 20].tolist() == [0, 0, 255]  # blue, row 20
    assert image[:, 60, 50].tolist() == [255, 255, 0]  # yellow, row 60, column 50
    assert image[:, 25, 25].tolist() == [255, 255, 255]  # no corner: a circle
    assert image[:, 65, 55].tolist() == [255, 255, 0]  # a corner: a square


def test_description_of_objects():
    position = np.array([[[5, 69], [37, 53]]])
    scenes = Scenes(np.array([1, 4]), np.array([[1, 0]]), position)
    assert describe_scenes(scenes).tolist() == [
        [
            [0, 1, 0, 0, 0, 0, 0, 1, -1, 1],
            [0, 0, 0, 0, 1, 0, 1, 0, 0, 0.5],
        ]
    ]


RED = {"colour": "red", "shape": "circle", "x": 10, "y": 10}
GREEN = {"colour": "green", "shape": "square", "x": 30, "y": 10}
GREY = {"colour": "grey", "shape": "circle", "x": 60, "y": 60.0}


def test_scene_is_described_and_answered():
    questions = ["nearest_shape red", "furthest_shape red", "count_same_shape grey"]
    scene = scene_from_objects([GREY, RED, GREEN], [*questions, "upper grey"])
    assert [ANSWERS[i] for i in scene.y] == ["square", "circle", "2", "no"]
    assert scene.pair.tolist() == [[0, 1], [0, 2], [2, -1], [2, -1]]
    assert scene.x[:, :6].argmax(1).tolist() == [0, 1, 4]
    assert scene.position.tolist() == [[10, 10], [30, 10], [60, 60]]
    assert [question_text(u) for u in scene.u] == [*questions, "upper grey"]
    assert scene.question_kind.tolist() == [1, 1, 1, 0]


def test_scene_as_pixels():
    scene = scene_from_objects([GREY, RED], ["shape red"], representation="pixels")
    assert "x" not in scene
    assert scene.num_nodes == 2
    assert scene.image.shape == (1, 3, 75, 75)
    assert scene.image[0, :, 60, 60].tolist() == [128, 128, 128]
    assert scene.image[0, :, 10, 10].tolist() == [255, 0, 0]
    state = scene_from_objects([GREY, RED], ["shape red"])
    assert torch.equal(scene_image(state), scene.image[0])
    assert torch.equal(scene_image(scene), scene.image[0])


@pytest.mark.parametrize("representation", ["state", "pixels"])
def test_description_gives_the_scene_of_the_dataset(tmp_path, representation):
    dataset = SortOfCLEVR(tmp_path, "test", representation, num_test=3)
    expected = dataset[1]
    objects = [
        {
            "colour": dataset.COLOURS[k],
            "shape": dataset.SHAPES[expected.shape_id[k]],
            "x": int(expected.position[k, 0]),
            "y": int(expected.position[k, 1]),
        }
        for k in range(6)
    ]
    questions = [question_text(u) for u in expected.u]
    scene = scene_from_objects(objects, questions, representation)
    assert set(scene.keys()) == set(expected.keys())
    assert scene.num_nodes == expected.num_nodes == 6
    for name, value in expected.items():
        if name != "num_nodes":
            assert torch.equal(scene[name], value), name


@pytest.mark.parametrize(
    ("objects", "questions", "message"),
    [
        ([], ["shape red"], "at least one entry in `objects`"),
        ([RED], [], "at least one entry in `questions`"),
        ([RED | {"colour": "rde"}], ["shape red"], r"objects\[0\]`.*mean 'red'"),
        ([RED, GREEN | {"shape": "cirle"}], ["shape red"], r"\[1\]`.*mean 'circle'"),
        ([RED | {"color": "red"}], ["shape red"], r"key in.*mean 'colour'"),
        ([{"colour": "red", "x": 9}], ["shape red"], r"objects\[0\]` lacks shape, y"),
        ([RED | {"x": 4}], ["shape red"], r"objects\[0\].x.*from 5 to 69.*got 4"),
        ([RED | {"y": 70}], ["shape red"], r"objects\[0\].y.*got 70"),
        ([RED | {"y": 10.5}], ["shape red"], "whole pixel"),
        ([RED | {"y": float("nan")}], ["shape red"], "whole pixel"),
        ([RED, GREEN | {"colour": "red"}], ["shape red"], "more than one red"),
        ([RED, GREEN | {"x": 20}], ["shape red"], "overlap.*above 100, got 100"),
        ([RED, GREEN], ["shape blue"], "blue object, but.*only red, green"),
        ([RED], ["nearest_shape red"], "needs a second object"),
        ([RED], ["size red"], "'question kind' .*'size'"),
    ],
)
def test_wrong_scene_is_explained(objects, questions, message):
    with pytest.raises(ValueError, match=message):
        scene_from_objects(objects, questions)


@pytest.mark.parametrize(
    ("objects", "questions", "message"),
    [
        ({"colour": "red"}, ["shape red"], "`objects` to be a list, got dict"),
        ([RED], "shape red", "`questions` to be a list, got str"),
        (["red circle"], ["shape red"], r"`objects\[0\]` to be a mapping"),
        ([RED | {"x": "9"}], ["shape red"], r"objects\[0\].x` to be a number"),
        ([RED], [3], "as text"),
    ],
)
def test_wrong_type_is_explained(objects, questions, message):
    with pytest.raises(TypeError, match=message):
        scene_from_objects(objects, questions)


def test_unknown_representation():
    with pytest.raises(ValueError, match="did you mean 'pixels'"):
        scene_from_objects([RED], ["shape red"], "pixel")


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


def test_what_the_trainer_reads():
    assert SortOfCLEVR.task == "classification"
    assert SortOfCLEVR.num_answers == len(SortOfCLEVR.ANSWERS) == 10
    assert SortOfCLEVR.kind_of("furthest_shape") == "relational"
    assert SortOfCLEVR.metric_groups() == {
        "kind": ("non-relational", "relational"),
        "subtype": SortOfCLEVR.SUBTYPES,
    }


DISK_SIZES = {"num_train": 12, "num_val": 5, "num_test": 4, "chunk_size": 5}


@pytest.fixture(autouse=True)
def found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes import this file by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def build_on_disk(
    root: Path, split: str = "train", **options: Any
) -> SortOfCLEVROnDisk:
    return SortOfCLEVROnDisk(str(root), split, **(DISK_SIZES | options))


def tensors(scene: Any) -> dict[str, torch.Tensor]:
    return {k: v for k, v in scene.to_dict().items() if torch.is_tensor(v)}


def equal_scenes(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        {*a} == {*b} and all(map(torch.equal, a.values(), b.values()))
        for a, b in zip(map(tensors, one), map(tensors, other), strict=True)
    )


def places(dataset: Any) -> set[tuple[float, ...]]:
    return {tuple(scene.position.flatten().tolist()) for scene in dataset}


@pytest.mark.parametrize("representation", ["state", "pixels"])
def test_scenes_are_as_those_in_memory(tmp_path: Path, representation: str) -> None:
    dataset = build_on_disk(tmp_path, representation=representation)
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
    splits = [
        build_on_disk(tmp_path, split, **sizes) for split in ("train", "val", "test")
    ]
    assert len(set.union(*map(places, splits))) == 180
    first = build_on_disk(tmp_path / "a")
    assert equal_scenes(first, build_on_disk(tmp_path / "b"))
    assert not equal_scenes(first, build_on_disk(tmp_path / "b", seed=1))
    # Whole chunks depend on no size.
    assert equal_scenes(
        first[:10], build_on_disk(tmp_path / "b", num_train=10, num_val=9)
    )


def test_workers_generate_the_same(tmp_path: Path) -> None:
    assert equal_scenes(
        build_on_disk(tmp_path / "a", workers=2), build_on_disk(tmp_path / "b")
    )


def has_left_object_on_disk(scene: Any) -> bool:
    return bool((scene.position[0] < 30).all())


def double_x_on_disk(scene: Any) -> Any:
    scene.x = 2 * scene.x
    return scene


@pytest.mark.parametrize("workers", [1, 2])
def test_filters_and_transforms(tmp_path: Path, workers: int) -> None:
    options = {"num_train": 60, "workers": workers}
    plain = build_on_disk(tmp_path, num_train=60)
    kept = [scene for scene in plain if has_left_object_on_disk(scene)]
    # Of some chunks none is kept, of some one.
    assert 0 < len(kept) < 12
    assert equal_scenes(
        build_on_disk(tmp_path, pre_filter=has_left_object_on_disk, **options), kept
    )
    changed = build_on_disk(tmp_path, pre_transform=double_x_on_disk, **options)
    assert torch.equal(changed[59].x, 2 * plain[59].x)
    assert torch.equal(
        build_on_disk(tmp_path, transform=double_x_on_disk)[2].x, 2 * plain[2].x
    )
    with pytest.raises(ValueError, match="`pre_filter` to keep a graph"):
        build_on_disk(tmp_path, pre_filter=lambda scene: False)


def test_force_reload_generates_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [*build_on_disk(tmp_path)]
    again: list[int] = []
    module = "pyg_relational.datasets.sort_of_clevr.generate"
    usual = SortOfCLEVROnDisk.__init__.__globals__["generate"]
    monkeypatch.setattr(module, lambda *args: again.append(1) or usual(*args))
    assert equal_scenes(build_on_disk(tmp_path), expected)
    assert again == []
    assert equal_scenes(build_on_disk(tmp_path, force_reload=True), expected)
    assert again == [1] * 3


def test_both_forms_tell_the_trainer_the_same() -> None:
    for name in ("task", "num_answers", "COLOURS", "SHAPES", "ANSWERS", "SUBTYPES"):
        assert getattr(SortOfCLEVROnDisk, name) == getattr(SortOfCLEVR, name)
    assert SortOfCLEVROnDisk.metric_groups() == SortOfCLEVR.metric_groups()
