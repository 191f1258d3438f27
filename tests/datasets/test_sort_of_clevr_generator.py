import numpy as np
import pytest
import torch

from pyg_relational.datasets.sort_of_clevr import (
    ANSWERS,
    COLOUR_VALUES,
    SUBTYPES,
    Questions,
    Scenes,
    answer_questions,
    describe_scenes,
    draw_scenes,
    sample_questions,
    sample_scenes,
)


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
