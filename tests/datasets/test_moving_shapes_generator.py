import math

import numpy as np
import pytest

from pyg_relational.datasets import moving_shapes as generator
from pyg_relational.datasets.moving_shapes import (
    MAX_SPEED,
    MIN_SPEED,
    TOUCH_DISTANCE,
    has_answer,
    nearer_is_touched,
    sample_motions,
    sample_presence,
    sample_scenes,
    sample_touches,
    shuffle_frames,
    touch_frames,
)

FAR, TOUCH = 1.0, 0.1


def rng(seed=0):
    return np.random.default_rng(seed)


def motions_of(*distances):
    """One scene each: A rests, B and C are at these distances from it."""
    size = (len(distances), 3, len(distances[0][0]), 2)
    motions = np.zeros(size)
    for scene, (to_b, to_c) in enumerate(distances):
        motions[scene, 1, :, 0] = to_b
        motions[scene, 2, :, 1] = to_c
    return motions


def test_motions_are_straight_and_bounce_off_the_walls():
    paths = sample_motions((500,), 40, rng())
    assert paths.shape == (500, 40, 2)
    assert np.abs(paths).max() <= 1
    for path in paths[:50]:
        (x, y), (dx, dy) = path[0], path[1] - path[0]
        if max(abs(x), abs(y)) > 1 - MAX_SPEED:
            continue  # may have bounced within the first step
        assert MIN_SPEED <= math.hypot(dx, dy) <= MAX_SPEED
        for expected in path:
            assert [x, y] == pytest.approx(expected.tolist())
            x, y = x + dx, y + dy
            if abs(x) > 1:
                x, dx = math.copysign(2, x) - x, -dx
            if abs(y) > 1:
                y, dy = math.copysign(2, y) - y, -dy


def test_motions_are_as_likely_backwards():
    paths = sample_motions((100_000,), 12, rng())
    # Uniform in each frame, and the direction of a step is independent of the place.
    for frame in (0, 5, 11):
        assert np.abs(paths[:, frame].mean(0)).max() < 0.01
        assert np.abs((paths[:, frame] ** 2).mean(0) - 1 / 3).max() < 0.01
    # And two neighbouring frames are as often in either order.
    start, end = paths[:, :2, 0], paths[:, :-3:-1, 0]
    counts = [
        np.histogram2d(*pair.T, bins=8, range=[[-1, 1]] * 2)[0] for pair in (start, end)
    ]
    assert np.abs(counts[0] - counts[1]).max() < 5 * np.sqrt(2 * counts[0].max())


def test_bystanders_come_and_go():
    count = 60_000
    num_objects, num_frames = np.full(count, 5), np.where(np.arange(count) % 2, 4, 3)
    present = sample_presence(num_objects, num_frames, rng())
    assert present.shape == (count, 8, 4)
    inside = np.arange(4) < num_frames[:, None]
    assert (present[:, :3] == inside[:, None]).all()
    assert not present[:, 5:].any()
    assert not (present & ~inside[:, None]).any()
    of_three = present[num_frames == 3, 4, :3]
    patterns, seen = np.unique(of_three, axis=0, return_counts=True)
    share = {
        tuple(pattern.tolist()): times / len(of_three)
        for pattern, times in zip(patterns, seen, strict=True)
    }
    # Half stay; the others have one of the six spans of three frames.
    spans = [(a, b) for a in range(3) for b in range(a + 1, 4)]
    for a, b in spans:
        pattern = tuple(a <= t < b for t in range(3))
        expected = 1 / 12 + (1 / 2 if (a, b) == (0, 3) else 0)
        assert abs(share.pop(pattern) - expected) < 0.01
    assert not share


def test_what_counts_as_a_touch():
    motions = motions_of(([TOUCH_DISTANCE, FAR, 0.29], [0.0, FAR, 0.31]))
    assert touch_frames(motions, np.array([3])).tolist() == [[2, 0]]
    # What comes after the last frame is not there.
    assert touch_frames(motions, np.array([2])).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("to_b", "to_c", "answer"),
    [
        ([TOUCH, FAR, FAR, FAR], [FAR, FAR, FAR, TOUCH], True),
        ([FAR, TOUCH, TOUCH, FAR], [FAR, FAR, FAR, TOUCH], True),
        ([FAR, TOUCH, FAR, FAR], [FAR, FAR, TOUCH, TOUCH], True),
        ([FAR, FAR, FAR, FAR], [FAR, FAR, FAR, TOUCH], False),  # no touch of B
        ([TOUCH, FAR, FAR, TOUCH], [FAR, TOUCH, FAR, FAR], False),  # two of B
        ([FAR, TOUCH, FAR, FAR], [TOUCH, FAR, TOUCH, FAR], False),  # two of C
        ([FAR, TOUCH, TOUCH, FAR], [FAR, FAR, TOUCH, TOUCH], False),  # both at once
        ([TOUCH, TOUCH, TOUCH, TOUCH], [FAR, TOUCH, FAR, FAR], False),
    ],
)
def test_which_scenes_have_an_answer(to_b, to_c, answer):
    motions = motions_of((to_b, to_c))
    assert has_answer(motions, np.array([4])).tolist() == [answer]
    backwards = motions[:, :, ::-1]
    assert has_answer(backwards, np.array([4])).tolist() == [answer]


def test_padding_is_not_read():
    motions = motions_of(([TOUCH, FAR, TOUCH, FAR], [FAR, TOUCH, FAR, TOUCH]))
    assert not has_answer(motions, np.array([4]))[0]
    assert has_answer(motions, np.array([2]))[0]
    assert nearer_is_touched(motions, np.array([2])).tolist() == [[True, True]]


@pytest.mark.parametrize(
    ("to_b", "to_c", "nearer"),
    [
        ([0.8, TOUCH, 0.8, 0.9], [0.9, 0.8, TOUCH, 0.8], [True, True]),
        ([0.9, TOUCH, 0.8, 0.9], [0.8, 0.8, TOUCH, 0.8], [False, True]),
        ([0.8, TOUCH, 0.8, 0.7], [0.9, 0.8, TOUCH, 0.8], [True, False]),
        ([0.9, 0.8, TOUCH, 0.8], [0.8, TOUCH, 0.8, 0.9], [True, True]),
        ([0.8, 0.8, TOUCH, 0.8], [0.9, TOUCH, 0.8, 0.7], [False, False]),
    ],
)
def test_whether_the_nearer_one_is_the_one_touched(to_b, to_c, nearer):
    motions = motions_of((to_b, to_c))
    assert nearer_is_touched(motions, np.array([4])).tolist() == [nearer]
    # Backwards, the first frame is the last one.
    backwards = motions[:, :, ::-1]
    assert nearer_is_touched(backwards, np.array([4])).tolist() == [nearer[::-1]]


def test_no_frame_alone_tells_by_who_is_nearer():
    num_frames = np.where(np.arange(2000) % 2, 9, 12)
    motions = sample_touches(num_frames, rng())
    assert has_answer(motions, num_frames).all()
    nearer = nearer_is_touched(motions, num_frames)
    cells, seen = np.unique(nearer, axis=0, return_counts=True)
    assert len(cells) == 4
    assert np.abs(seen / 2000 - 1 / 4).max() < 0.04


def test_no_motion_is_used_twice():
    num_frames = np.full(50, 8)
    motions = sample_touches(num_frames, rng())
    assert len(np.unique(motions[:, 0, 0, 0])) == 50
    assert np.array_equal(motions, sample_touches(num_frames, rng()))


def test_answers_are_as_ordered():
    answer = rng().integers(2, size=300)
    num_frames = rng(1).integers(8, 17, size=300)
    scenes = sample_scenes(answer, np.full(300, 4), num_frames, rng())
    b, c = touch_frames(scenes.position, num_frames).T
    assert (b != c).all()
    assert ((b < c) == (answer == 1)).all()
    # Colours of a scene are distinct, A has each of them.
    assert (np.sort(scenes.colour, axis=1) == np.arange(8)).all()
    assert set(scenes.colour[:, 0]) == set(range(8))


def test_frames_are_shuffled_as_wholes():
    num_frames = np.array([5, 9] * 40)
    scenes = sample_scenes(np.arange(80) % 2, np.full(80, 6), num_frames, rng())
    mixed = shuffle_frames(scenes, rng(1))
    moved = 0
    for b, frames in enumerate(num_frames):

        def described(scenes, b=b, frames=frames):
            place = np.concatenate(
                [scenes.position[b], scenes.present[b][..., None]], axis=-1
            )
            return [tuple(place[:, t].ravel()) for t in range(frames)]

        before, after = described(scenes), described(mixed)
        assert sorted(before) == sorted(after)
        moved += before != after
        assert not mixed.present[b, :, frames:].any()
    assert moved > 75


def test_scenes_obey_the_same_rules_whatever_the_block(monkeypatch):
    monkeypatch.setattr(generator, "BLOCK", 10)
    num_frames = np.full(20, 9)
    motions = sample_touches(num_frames, rng())
    assert has_answer(motions, num_frames).all()
