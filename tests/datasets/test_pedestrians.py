import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import Pedestrians, pedestrians
from pyg_relational.datasets.pedestrians import read_scene, scene_samples, velocities
from pyg_relational.train.module import score_of, task_of
from pyg_relational.train.references import reference_of
from tests.datasets.small_files import FRAMES, write_pedestrians

SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    write_pedestrians(tmp_path / "raw")
    return tmp_path


def test_a_sample(root):
    dataset = Pedestrians(root)
    assert str(dataset).startswith("Pedestrians(")
    sample = dataset[0]
    assert isinstance(sample, TemporalGraph)
    people = sample.num_nodes
    assert people > 1
    assert sample.x.shape == (people, 8, 4)
    assert sample.y.shape == (people, 12, 2)
    assert sample.y_mask.shape == sample.question_time.shape == (people, 12)
    assert sample.scene.tolist() == [Pedestrians.SCENES.index("eth")]
    # Around the mean of the people in the last observed frame.
    assert sample.x[:, -1, :2].mean(dim=0).abs().max() < 1e-5
    assert sample.mask[:, -1].all()
    short = Pedestrians(root, history=3, horizon=2)
    assert short[0].x.shape[1:] == (3, 4)
    assert short[0].y.shape[1:] == (2, 2)
    assert len(short) > len(dataset)


@pytest.mark.parametrize("test_scene", FRAMES)
def test_no_window_crosses_the_border(root, test_scene):
    splits = {name: Pedestrians(root, name, test_scene) for name in SPLITS}
    number = Pedestrians.SCENES.index
    for name, dataset in splits.items():
        scenes = set(dataset._data.scene.tolist())
        others = {number(scene) for scene in FRAMES if scene != test_scene}
        assert scenes == ({number(test_scene)} if name == "test" else others)
    for scene, frames in FRAMES.items():
        for name in SPLITS:
            data = splits[name]._data
            # Frames are numbered 0, 10, 20; 7 are observed before this one.
            now = data.frame[data.scene == number(scene)] // 10
            first, last = now - 7, now + 12
            if len(now) == 0:
                assert (name == "test") != (scene == test_scene)
            elif name == "test":
                assert (int(first.min()), int(last.max())) == (0, frames - 1)
            elif name == "train":
                assert int(last.max()) == int(0.8 * frames) - 1
            else:
                assert int(first.min()) >= int(0.8 * frames)


def test_constant_velocity_is_right_about_straight_walks(root):
    dataset = Pedestrians(root, "test")
    forecast = reference_of("constant-velocity")(None, None, dataset)
    data = dataset._data
    assert (forecast - data.y)[data.y_mask].abs().max() < 1e-3
    batch = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    torch.testing.assert_close(dataset.constant_velocity(batch), forecast)
    # One metre to the side at the end of the forecast is the final error.
    forecast[:, -1, 0] += 1.0
    groups = dataset.metric_groups()
    scores = score_of(task_of(dataset.task), groups, forecast, data)
    assert scores["time"] == {
        "before the end": pytest.approx(0, abs=1e-3),
        "final": pytest.approx(1, abs=1e-3),
    }
    assert scores["all"]["all"] == pytest.approx(1 / 12, abs=1e-3)


def test_files(root, monkeypatch):
    count = len(Pedestrians(root))
    assert (root / "processed" / "train-hotel-history8-horizon12-v1.pt").is_file()
    # Files of either ending are read, wherever they are.
    shared = root / "shared"
    (shared / "eth_ucy").mkdir(parents=True)
    source = root / "raw" / "biwi_eth.txt"
    target = shared / "eth_ucy" / "biwi_eth.txt.gz"
    target.write_bytes(gzip.compress(source.read_bytes()))
    source.unlink()
    monkeypatch.setattr(pedestrians, "URL", (root / "absent").as_uri())
    with pytest.raises(OSError, match=r"absent/eth/test/biwi_eth.txt to .*by hand"):
        Pedestrians(root, force_reload=True)
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(shared))
    assert len(Pedestrians(root, force_reload=True)) == count


def test_a_fetched_file_is_checked(root, monkeypatch):
    folder = root / "source" / "zara1" / "test"
    folder.mkdir(parents=True)
    (root / "raw" / "crowds_zara01.txt").rename(folder / "crowds_zara01.txt")
    monkeypatch.setattr(pedestrians, "URL", (root / "source").as_uri())
    with pytest.raises(
        ValueError, match=r"crowds_zara01.txt' to have the SHA-256 1147"
    ):
        Pedestrians(root)


def test_a_wrong_line_names_its_file(root):
    path = root / "raw" / "crowds_zara01.txt"
    path.write_text(path.read_text() + "5000 1 2\n")
    count = len(path.read_text().splitlines())
    with pytest.raises(ValueError, match=f"crowds_zara01.txt, line {count}: "):
        Pedestrians(root)
    # It is not read for the test split.
    assert len(Pedestrians(root, "test")) > 0


def test_windows_that_do_not_fit_are_an_error(root):
    with pytest.raises(ValueError, match=r"of 8 \+ 90 frames .*smaller `history`"):
        Pedestrians(root, horizon=90)


@pytest.mark.skipif(
    not (SHARED / "eth_ucy" / "biwi_eth.txt.gz").is_file(),
    reason="the files of eth_ucy are not at hand",
)
def test_the_usual_test_scene(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    test = Pedestrians(tmp_path, "test", "eth")
    data = test._data
    # As many trajectories as others score in this scene.
    assert int(data.y_mask[:, 0].sum()) == 364
    error = (reference_of("constant-velocity")(None, None, test) - data.y).norm(dim=-1)
    error = error[data.y_mask].view(-1, 12)
    assert float(error.mean()) == pytest.approx(1.075, abs=1e-3)
    assert float(error[:, -1].mean()) == pytest.approx(2.282, abs=1e-3)


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
