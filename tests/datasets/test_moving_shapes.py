import math

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import MovingShapes

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


def described(sample):
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
        assert sorted(described(sample)) == sorted(described(twin))
        for name in ("u", "y", "asked", "touch_frame", "node_id"):
            assert torch.equal(sample[name], twin[name])
        mixed += described(sample) != described(twin)
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


def test_samples_depend_on_the_seed_and_the_own_size_only(tmp_path):
    first = build(tmp_path / "a")
    second = build(tmp_path / "b", num_val=9, num_test=9)
    assert torch.equal(first._data.x_steps, second._data.x_steps)
    other = build(tmp_path / "b", seed=1)
    assert not torch.equal(first._data.y, other._data.y)
    assert first._data.x_steps.shape != other._data.x_steps.shape


def test_splits_share_no_sample(tmp_path):
    places = [
        {tuple(s.x[s.asked[0, 0], 0, 13:].tolist()) for s in build(tmp_path, split)}
        for split in ("train", "val", "test")
    ]
    assert not places[0] & places[1] | places[0] & places[2] | places[1] & places[2]


def test_second_use_reads_the_same_samples(tmp_path, monkeypatch):
    first = build(tmp_path)
    monkeypatch.setattr(MovingShapes, "generate", lambda self: pytest.fail("again"))
    assert torch.equal(build(tmp_path)[7].x, first[7].x)
    assert isinstance(build(tmp_path)[7], TemporalGraph)


def test_samples_are_filtered(tmp_path):
    dataset = build(tmp_path, pre_filter=lambda sample: sample.x.size(0) == 5)
    assert 0 < len(dataset) < 30
    assert {sample.x.size(0) for sample in dataset} == {5}


def test_every_argument_that_changes_the_content_has_its_own_file(tmp_path):
    variants = [
        {},
        {"split": "val"},
        {"split": "test"},
        {"num_train": 61},
        {"split": "val", "num_val": 41},
        {"split": "test", "num_test": 21},
        {"min_objects": 4},
        {"max_objects": 7},
        {"min_frames": 9},
        {"max_frames": 15},
        {"space": False},
        {"time": False},
        {"space": False, "time": False},
        {"distance": True},
        {"seed": 1},
        {"pre_filter": bool},
    ]
    paths = {build(tmp_path, **variant).processed_paths[0] for variant in variants}
    assert len(paths) == len(variants)


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


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "valid"}, ValueError, "Unknown split 'valid'; did you mean 'val'"),
        ({"num_train": 0}, ValueError, "`num_train` to be at least 1, got 0"),
        ({"min_objects": 2}, ValueError, "`min_objects` to be from 3 to 8, got 2"),
        ({"max_objects": 9}, ValueError, "`max_objects` to be from 3 to 8, got 9"),
        (
            {"min_objects": 5, "max_objects": 4},
            ValueError,
            "`max_objects` to be from 5 to 8, got 4",
        ),
        ({"min_frames": 5}, ValueError, "`min_frames` to be from 6 to 64, got 5"),
        ({"max_frames": 7}, ValueError, "`max_frames` to be from 8 to 64, got 7"),
        ({"max_frames": 65}, ValueError, "`max_frames` to be from 8 to 64, got 65"),
        ({"seed": -1}, ValueError, "`seed` to be at least 0"),
        ({"space": 1}, TypeError, "`space` to be a bool, got 1"),
        ({"distance": "yes"}, TypeError, "`distance` to be a bool, got 'yes'"),
        ({"time": None}, TypeError, "`time` to be a bool, got None"),
        ({"max_frames": 16.0}, TypeError, "`max_frames` to be an integer"),
    ],
)
def test_wrong_arguments_leave_no_folder(tmp_path, kwargs, error, message):
    with pytest.raises(error, match=message):
        build(tmp_path / "root", **kwargs)
    assert not (tmp_path / "root").exists()


def test_question_in_words(tmp_path):
    u = torch.zeros(3, 8)
    u[0, 1] = u[1, 7] = u[2, 0] = 1
    text = MovingShapes.question_text(u.flatten())
    assert text == "did green touch cyan before red?"


def test_what_the_trainer_reads():
    assert (MovingShapes.task, MovingShapes.kind) == ("classification", "graph")
    assert MovingShapes.metric_groups() == {"objects": tuple("345678")}
    assert MovingShapes.num_answers == 2
