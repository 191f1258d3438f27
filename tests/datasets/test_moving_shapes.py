import math

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import MovingShapes
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


SIZES = {"num_train": 60, "num_val": 40, "num_test": 20}


def build(root, split="train", **kwargs):
    return MovingShapes(root, split, **(SIZES | kwargs))


def frames_of_touches(sample):
    """The frames in which A touches B, and C, read off the rows one by one."""
    x = sample.x.double().tolist()
    colours = sample.u.view(3, 8).argmax(1).tolist()
    rows = [[row for row in range(len(x)) if x[row][0][c] == 1] for c in colours]
    (a,), (b,), (c,) = rows
    frames = range(len(x[0]))
    return [
        [t for t in frames if math.dist(x[a][t][13:], x[other][t][13:]) < 0.3]
        for other in (b, c)
    ]


def described_frames(sample):
    """Each frame as a tuple: what is where."""
    return [
        (tuple(sample.x[:, t].flatten().tolist()), tuple(sample.mask[:, t].tolist()))
        for t in range(sample.x.size(1))
    ]


def test_answers_equal_the_definition(tmp_path):
    dataset = build(tmp_path, num_train=200)
    for sample in dataset:
        b, c = frames_of_touches(sample)
        assert sample.touch_frame.tolist() == [[b[0], c[0]]]
        assert sample.y.tolist() == [int(b[0] < c[0])]
        # One run of frames each, not at the same time.
        for frames in (b, c):
            assert frames == list(range(frames[0], frames[-1] + 1))
        assert not set(b) & set(c)


def test_backwards_the_answer_is_the_other_one(tmp_path):
    for sample in build(tmp_path):
        back = sample.clone()
        back.x = sample.x.flip(1)
        b, c = frames_of_touches(back)
        assert int(b[0] < c[0]) == 1 - int(sample.y)


@pytest.mark.parametrize("count", [61, 60])
def test_half_of_the_answers_are_yes(tmp_path, count):
    y = build(tmp_path, num_train=count)._data.y
    assert int(y.sum()) == count // 2
    assert 10 < int(y[:30].sum()) < 20  # in no order


def test_samples_are_of_all_sizes(tmp_path):
    dataset = build(tmp_path, num_train=600)
    sizes = {tuple(sample.x.shape) for sample in dataset}
    assert {n for n, *_ in sizes} == set(range(3, 9))
    assert {t for _, t, _ in sizes} == set(range(8, 17))
    assert {f for *_, f in sizes} == {15}


def test_what_is_in_a_sample(tmp_path):
    touched = absent = 0
    for sample in build(tmp_path):
        assert isinstance(sample, TemporalGraph)
        x, mask = sample.x, sample.mask
        n = x.size(0)
        assert sample.question_objects.tolist() == [n - 3]
        assert not x[~mask].any()
        seen = mask.any(1)
        # Colour and shape stay, colours are ascending and as in node_id.
        assert sample.node_id.tolist() == sorted(set(sample.node_id.tolist()))
        for row in range(n):
            assert (x[row][mask[row]][:, :13] == x[row][mask[row]][0, :13]).all()
            assert x[row][mask[row]][0, :8].argmax() == sample.node_id[row]
            assert x[row][mask[row]][0, 8:10].sum() == 1
        a, b, c = sample.asked[0].tolist()
        assert mask[[a, b, c]].all()
        assert torch.equal(sample.u.view(3, 8), x[[a, b, c], 0, :8])
        assert torch.equal(x[[a, b, c], 0, 10:13], torch.eye(3))
        others = [row for row in range(n) if row not in (a, b, c)]
        assert not x[others, :, 10:13].any()
        assert x[..., 13:].abs().max() <= 1
        assert seen.all()
        absent += int((~mask).any(1).sum())
        apart = (x[a, :, 13:] - x[others, :, 13:]).norm(dim=-1)
        touched += int(((apart < 0.3) & mask[others]).any(1).sum())
    assert touched > 20  # A touches bystanders too
    assert absent > 20


def test_frames_in_random_order_are_the_same_frames(tmp_path):
    mixed = 0
    for sample, twin in zip(build(tmp_path), build(tmp_path, time=False), strict=True):
        assert sorted(described_frames(sample)) == sorted(described_frames(twin))
        for name in ("u", "y", "asked", "touch_frame", "node_id"):
            assert torch.equal(sample[name], twin[name])
        mixed += described_frames(sample) != described_frames(twin)
    assert mixed == 60


def test_without_space_all_but_the_place_is_the_same(tmp_path):
    agree, rows = 0, []
    pairs = zip(
        build(tmp_path, num_train=400),
        build(tmp_path, num_train=400, space=False),
        strict=True,
    )
    for sample, twin in pairs:
        assert torch.equal(sample.x[..., :13], twin.x[..., :13])
        assert torch.equal(sample.mask, twin.mask)
        for name in ("u", "y", "asked", "touch_frame"):
            assert torch.equal(sample[name], twin[name])
        assert not torch.isclose(sample.x[..., 13:], twin.x[..., 13:])[twin.mask].any()
        b, c = frames_of_touches(twin)
        if b and c and b[0] != c[0]:
            agree += int(b[0] < c[0]) == int(twin.y)
            rows.append(twin)
    # Touches happen as well, and say nothing.
    assert len(rows) > 60
    assert abs(agree / len(rows) - 0.5) < 2 / math.sqrt(len(rows))


def test_distances_are_the_edges(tmp_path):
    plain, dataset = build(tmp_path), build(tmp_path, distance=True)
    assert "edge_index" not in plain[0]
    for sample, without in zip(dataset, plain, strict=True):
        assert torch.equal(sample.x, without.x)
        assert torch.equal(sample.mask, without.mask)
        assert torch.equal(sample.y, without.y)
        n, frames, _ = sample.x.shape
        expected = {}
        for t in range(frames):
            there = [i for i in range(n) if sample.mask[i, t]]
            for i in there:
                for j in there:
                    if i != j:
                        apart = sample.x[i, t, 13:] - sample.x[j, t, 13:]
                        expected[i, j, t] = float(apart.norm()) / 0.3
        edges = [*sample.edge_index.tolist(), sample.edge_time.tolist()]
        found = dict(zip(zip(*edges, strict=True), sample.edge_attr, strict=True))
        assert found.keys() == expected.keys()
        for edge, distance in expected.items():
            assert found[edge].tolist() == [pytest.approx(distance, abs=1e-5)]


def test_distances_are_those_of_the_ablations(tmp_path):
    """They show no more than the positions do."""
    for changed in ({"space": False}, {"time": False}):
        for sample in build(tmp_path, distance=True, num_train=20, **changed):
            source, target = sample.edge_index
            apart = sample.x[source, sample.edge_time, 13:]
            apart = apart - sample.x[target, sample.edge_time, 13:]
            shown = sample.edge_attr[:, 0] * 0.3
            assert torch.allclose(apart.norm(dim=1), shown, atol=1e-5)


def rules(sample):
    """What rules that see a part of the sample would answer."""
    a, b, c = sample.asked[0].tolist()
    place = sample.x[..., 13:]
    to_b, to_c = ((place[a] - place[other]).norm(dim=-1) for other in (b, c))
    half = to_b.numel() // 2
    early = to_b[:half].mean() - to_c[:half].mean()
    late = to_b[-half:].mean() - to_c[-half:].mean()
    first, last = to_b[0] - to_c[0], to_b[-1] - to_c[-1]
    return {
        "mean distance": to_b.mean() < to_c.mean(),
        "smallest distance": to_b.min() < to_c.min(),
        "first frame": first < 0,
        "last frame": last > 0,
        "first and last frame": first < last,
        "halves": early < late,
    }


def test_rules_that_see_a_part(tmp_path):
    """The card of the dataset states these shares, of more samples."""
    dataset = build(tmp_path, num_train=1000)
    right = {}
    for sample in dataset:
        for rule, answer in rules(sample).items():
            right[rule] = right.get(rule, 0) + (int(answer) == int(sample.y))
    share = {rule: count / 1000 for rule, count in right.items()}
    for rule in ("mean distance", "smallest distance", "first frame", "last frame"):
        assert abs(share[rule] - 0.5) < 0.05, rule
    assert share["first and last frame"] < 0.65
    assert 0.6 < share["halves"] < 0.85


def test_batches(tmp_path):
    dataset = build(tmp_path)
    batch = next(iter(DataLoader(dataset, batch_size=5)))
    nodes = sum(sample.x.size(0) for sample in dataset[:5])
    frames = max(sample.x.size(1) for sample in dataset[:5])
    assert batch.x.shape == (nodes, frames, 15)
    assert batch.u.shape == (5, 24)
    assert batch.y.shape == batch.question_objects.shape == (5,)
    for one, other in zip(batch.to_data_list(), dataset[:5], strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.asked, other.asked)


def test_splits_share_no_sample(tmp_path):
    places = [
        {tuple(s.x[s.asked[0, 0], 0, 13:].tolist()) for s in build(tmp_path, split)}
        for split in ("train", "val", "test")
    ]
    assert not places[0] & places[1] | places[0] & places[2] | places[1] & places[2]


def test_samples_are_filtered(tmp_path):
    dataset = build(tmp_path, pre_filter=lambda sample: sample.x.size(0) == 5)
    assert 0 < len(dataset) < 30
    assert {sample.x.size(0) for sample in dataset} == {5}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"min_frames": 6, "max_frames": 6},
        {"min_frames": 30, "max_frames": 30},
        {"min_objects": 8},
        {"max_objects": 3},
    ],
)
def test_limits(tmp_path, kwargs):
    dataset = build(tmp_path, num_train=12, **kwargs)
    for sample in dataset:
        n, t, _ = sample.x.shape
        assert kwargs.get("min_objects", 3) <= n <= kwargs.get("max_objects", 8)
        assert kwargs.get("min_frames", 8) <= t <= kwargs.get("max_frames", 16)


def test_question_in_words(tmp_path):
    u = torch.zeros(3, 8)
    u[0, 1] = u[1, 7] = u[2, 0] = 1
    text = MovingShapes.question_text(u.flatten())
    assert text == "did green touch cyan before red?"


def test_what_the_trainer_reads():
    assert (MovingShapes.task, MovingShapes.kind) == ("classification", "graph")
    assert MovingShapes.metric_groups() == {"objects": tuple("345678")}
    assert MovingShapes.num_answers == 2
