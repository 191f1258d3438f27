import math

import numpy as np
import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st

from pyg_relational.datasets.pedestrians import read_scene, scene_samples, velocities


def lines(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def walks(present, rng):
    """Rows of people at random places, shuffled; `present` is `[T, P]`."""
    rows = [
        (10.0 * t + 30, p + 5.0, *rng.normal(0, 3, 2).round(4))
        for t, p in np.argwhere(present)
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


def test_a_scene_is_read_by_frame_and_person():
    text = "30 2.0 1 1.5\n\n40.0\t1\t3\t-4\n70 2 5 6\n"
    scene = read_scene(text, "a.txt")
    assert scene.node_id.tolist() == [1, 2]
    assert scene.frame_time.tolist() == [30, 40, 50, 60, 70]
    assert scene.mask.tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 1]]
    assert scene.x[1, 4].tolist() == [5.0, 6.0]
    assert scene.x[0, 1].tolist() == [3.0, -4.0]
    assert read_scene("7 1 0 0", "a.txt").frame_time.tolist() == [7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 2 3\n10 1 2\n", "a.txt, line 2: expected .* in '10 1 2'"),
        ("0 1 2 3 4\n", "a.txt, line 1: .* in '0 1 2 3 4'"),
        ("0 1 2 x\n", "a.txt, line 1: .* in '0 1 2 x'"),
        ("0 1 2 3\n\n10 1 nan 3\n", "a.txt, line 3: .* in '10 1 nan 3'"),
        ("0 1 inf 3\n", "a.txt, line 1: .* finite numbers"),
        ("inf 1 2 3\n", "a.txt, line 1: .* finite numbers"),
        ("0.5 1 2 3\n", "first two whole in '0.5 1 2 3'"),
        ("0 1.5 2 3\n", "first two whole in '0 1.5 2 3'"),
        ("\n", "Expected lines in 'a.txt', got none"),
        (
            "0 1 2 3\n0 2 2 3\n0.0 1.0 4 5\n",
            "pedestrian 1 once in frame 0 of 'a.txt', got lines 1 and 3",
        ),
        ("0 1 2 3\n10 1 2 3\n25 1 2 3\n", r"frames of 'a.txt'.* frame 25"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        read_scene(text, "a.txt")


def check_sample(sample, scene, history, horizon):
    """All that a sample says, told again from the scene one person at a time."""
    now = scene.frame_time.tolist().index(int(sample.frame))
    start, end = now - history + 1, now + horizon + 1
    people = scene.mask[:, now].nonzero().flatten()
    assert sample.node_id.equal(scene.node_id[people])
    centre = scene.x[people, now].mean(dim=0)
    torch.testing.assert_close(sample.centre, centre.unsqueeze(0))
    for i, p in enumerate(people.tolist()):
        seen = scene.mask[p, start:end]
        assert sample.mask[i].equal(seen[:history])
        assert sample.y_mask[i].tolist() == [bool(seen.all())] * horizon
        places = scene.x[p, start:end] - centre
        for t in range(history):
            if not seen[t]:
                assert sample.x[i, t].tolist() == [0.0] * 4
                continue
            if t > 0 and seen[t - 1]:
                change = places[t] - places[t - 1]
            elif t + 1 < history and seen[t + 1]:
                change = places[t + 1] - places[t]
            else:
                change = torch.zeros(2)
            expected = torch.cat([places[t], change])
            torch.testing.assert_close(sample.x[i, t], expected, atol=1e-5, rtol=0)
        for t in range(horizon):
            there = seen[history + t]
            expected = places[history + t] if there else torch.zeros(2)
            torch.testing.assert_close(sample.y[i, t], expected, atol=1e-5, rtol=0)
    assert sample.question_time.tolist() == [[0] * (horizon - 1) + [1]] * len(people)


@given_by(
    st.integers(0, 2**31),
    st.integers(2, 4),
    st.integers(1, 3),
    st.floats(0.6, 0.95),
)
@settings(max_examples=25, deadline=None)
def test_samples_are_those_of_a_loop(seed, history, horizon, share):
    rng = np.random.default_rng(seed)
    present = rng.random((12, 4)) < share
    # The frames of the file start and end with somebody.
    present[[0, -1], 0] = True
    present[1, 0] = True
    scene = read_scene(lines(walks(present, rng)), "a.txt")
    first, last = 2, 11
    samples = scene_samples(scene, first, last, history, horizon)
    starts = [
        start
        for start in range(first, last - history - horizon + 1)
        if scene.mask[:, start : start + history + horizon].all(dim=1).any()
    ]
    shown = [int(sample.frame) for sample in samples]
    assert shown == [30 + 10 * (start + history - 1) for start in starts]
    for sample in samples:
        check_sample(sample, scene, history, horizon)


def test_who_has_left_is_not_there_and_who_comes_is():
    # Person 1 stays, 2 leaves in the history, 3 comes in its last frame, 4 after it.
    frames = {1: range(6), 2: range(2), 3: range(2, 6), 4: range(3, 6)}
    rows = [(t, p, p + t, 0) for p, times in frames.items() for t in times]
    (sample,) = scene_samples(read_scene(lines(rows), "a.txt"), 0, 6, 3, 3)
    assert sample.node_id.tolist() == [1, 3]
    assert sample.y_mask[:, 0].tolist() == [True, False]
    assert sample.mask.tolist() == [[True] * 3, [False, False, True]]
    # Seen once: nothing is known of the velocity, though the future would tell.
    assert sample.x[1, 2].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_no_window_is_no_sample():
    rows = [(t, 1, t, 0) for t in range(6)]
    scene = read_scene(lines(rows), "a.txt")
    assert len(scene_samples(scene, 0, 6, 3, 3)) == 1
    assert scene_samples(scene, 0, 6, 4, 3) == []
    assert scene_samples(scene, 1, 6, 3, 3) == []
    # Two people, and neither is there all the time.
    rows = [(t, 1 + (t > 2), t, 0) for t in range(6)]
    assert scene_samples(read_scene(lines(rows), "a.txt"), 0, 6, 3, 3) == []


def test_velocities_around_a_gap():
    x = torch.tensor([0.0, 1.0, 3.0, 9.0, 10.0, 12.0, 20.0])
    mask = torch.tensor([1, 1, 0, 1, 1, 0, 1]).bool()
    # Nothing that was never seen is read.
    places = torch.stack([x, -x], dim=1).unsqueeze(0)
    places[:, ~mask] = math.inf
    change = velocities(places, mask.unsqueeze(0))[0, :, 0]
    assert change[mask].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
