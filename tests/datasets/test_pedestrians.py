import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import Pedestrians, pedestrians
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.references import reference_of

SPLITS = ("train", "val", "test")
FILES = {"eth": "biwi_eth", "hotel": "biwi_hotel", "zara01": "crowds_zara01"}
FRAMES = {"eth": 105, "hotel": 100, "zara01": 110}
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


def walks(frames, seed):
    """Somebody comes every third frame and walks straight on for 25 frames."""
    rng = np.random.default_rng(seed)
    rows = []
    for person, start in enumerate(range(-12, frames, 3), 1):
        place, step = rng.normal(0, 4, 2), rng.normal(0, 0.4, 2)
        for t in range(max(0, start), min(frames, start + 25)):
            rows.append((10 * t, person, *(place + t * step)))
    return "".join(" ".join(map(str, row)) + "\n" for row in sorted(rows))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    (tmp_path / "raw").mkdir()
    for seed, (scene, stem) in enumerate(FILES.items()):
        text = walks(FRAMES[scene], seed)
        (tmp_path / "raw" / f"{stem}.txt").write_text(text)
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
    module = RelationalModule(
        torch.nn.Identity(), dataset.task, dataset.metric_groups()
    )
    scores = module.score_of(forecast, data)
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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "tset"}, ValueError, "did you mean 'test'"),
        ({"test_scene": "zara1"}, ValueError, "did you mean 'zara01'"),
        ({"history": 1}, ValueError, "`history` to be at least 2, got 1"),
        ({"horizon": 0}, ValueError, "`horizon` to be at least 1, got 0"),
        ({"horizon": 1.5}, TypeError, "`horizon` to be an integer"),
        ({"horizon": 90}, ValueError, r"of 8 \+ 90 frames .*smaller `history`"),
    ],
)
def test_wrong_arguments(root, arguments, error, message):
    with pytest.raises(error, match=message):
        Pedestrians(root, **arguments)


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
