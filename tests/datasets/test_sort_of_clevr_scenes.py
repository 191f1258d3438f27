import pytest
import torch

from pyg_relational.datasets import SortOfCLEVR, scene_from_objects
from pyg_relational.datasets.sort_of_clevr import ANSWERS, question_text, scene_image

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


def test_pixels():
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
        ([RED], ["size red"], "question kind 'size'"),
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
