import json
from pathlib import Path

import numpy as np
import pytest
import rollout
import torch
import yaml
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.datasets import PhysicalMotion
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train import configure, train
from pyg_relational.train.recipe import load_recipe
from pyg_relational.train.run_folder import load_model

SMALL = {"num_train": 64, "num_val": 8, "num_test": 12, "horizon": 3}


class Law(nn.Module):
    """Springs as they are, up to a factor of their stiffness."""

    def __init__(self, factor: float, frame_time: float = 0.1) -> None:
        super().__init__()
        self.horizon = 1
        self.pull = 0.1 * factor * frame_time**2

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        place, velocity = x[:, -1, :2].double(), x[:, -1, 2:4].double()
        frames = []
        for _ in range(self.horizon):
            source, target = edge_index
            change = torch.zeros_like(place)
            change.index_add_(0, target, place[source] - place[target])
            velocity = velocity + self.pull * change
            place = place + velocity
            frames.append(torch.cat([place, velocity], dim=-1))
        return torch.stack(frames, dim=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe itself, with little data and few steps."""
    folder = tmp_path_factory.mktemp("motion")
    recipe = load_recipe("spring-motion")
    args = {**recipe["dataset"]["args"], **SMALL, "num_masses": [3, 4]}
    recipe["dataset"] |= {"root": str(folder / "data"), "args": args}
    recipe["models"]["spacetime"]["args"] |= {"hidden_channels": 8, "horizon": 3}
    path = folder / "spring-motion.yaml"
    path.write_text(yaml.safe_dump(recipe))
    config = configure(str(path), command="train", baseline=False, max_steps=3)
    train(config, folder / "run")
    return folder / "run"


def samples(root: Path, **kwargs: object) -> list:
    dataset = PhysicalMotion(str(root), "test", **(SMALL | kwargs))
    return [sample for sample in dataset if sample.edge_index.numel()]


def test_the_law_itself_keeps_the_energy(tmp_path: Path) -> None:
    right = rollout.roll_out(Law(1.0), samples(tmp_path), 0.1, 300)
    wrong = rollout.roll_out(Law(1.2), samples(tmp_path), 0.1, 300)
    for errors in (right, wrong):
        assert errors["simulator"].max() < 1e-4
        assert all(values.shape == (12, 298) for values in errors.values())
    # Stepped once a frame, the same springs swing at nearly the same energy.
    assert right["model"].max() < 5e-3
    assert np.median(wrong["model"][:, -100:]) > 0.02
    assert np.median(wrong["distance"][:, -1]) > 10 * np.median(
        right["distance"][:, -1]
    )
    # The first frame after the start is all but right.
    assert right["distance"][:, 0].max() < 1e-4
    assert wrong["distance"][:, 0].max() < 1e-2


def test_errors_are_those_of_the_frames_that_follow(tmp_path: Path) -> None:
    """A model that stands still: its energy is that of the springs alone."""

    class Still(Law):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x[:, -1:, :4].repeat(1, self.horizon, 1)

    model = Still(0.0)
    given = samples(tmp_path)
    errors = rollout.roll_out(model, given, 0.1, 20)
    assert model.horizon == 1
    for row, sample in enumerate(given):
        place, velocity = sample.x[:, -1, :2], sample.velocity
        span = place[sample.edge_index[0]] - place[sample.edge_index[1]]
        potential = 0.05 * float(span.square().sum()) / 2
        total = potential + float(velocity.square().sum()) / 2
        # From the third frame on, no place of the shown frames is read.
        expected = (total - potential) / total
        np.testing.assert_allclose(errors["model"][row, 2:], expected, rtol=1e-4)
        moved = sample.y[..., :2] - place[:, None]
        distance = moved.norm(dim=-1).mean(0)
        np.testing.assert_allclose(errors["distance"][row, :3], distance, atol=1e-5)


def test_figures_of_a_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = rollout.measure(str(run), frames=40, samples=7)
    written = tmp_path / "runs/benchmark-rollout"
    assert json.loads((written / "rollout.json").read_text()) == figures
    assert (written / "rollout.png").read_bytes()[:4] == b"\x89PNG"
    assert figures["frames"] == list(range(1, 39))
    assert 1 <= figures["samples"] <= 7
    for name in ("model", "simulator"):
        curve = np.array(figures["energy_error"][name])
        assert curve.shape == (38, 3)
        assert (np.diff(curve, axis=1) >= 0).all()
    assert max(curve[:, 2]) < 1e-4
    rows = figures["table"]["rows"]
    assert [row[:2] for row in rows] == [["10", "1"], ["38", "4"]]
    median = figures["energy_error"]["model"][9][1]
    assert float(rows[0][2].split()[0]) == pytest.approx(median, rel=0.05)
    assert figures["command"].endswith(
        f"rollout.py --run {run} --frames 40 --samples 7"
    )
    assert "simulator" in table_summary(figures)


def test_predictions_are_the_model_s_own(run: Path) -> None:
    model = load_model(run)
    given = samples(run.parent / "data", num_masses=[3, 4])
    given = [s for s in given if s.x.size(0) == 3]
    errors = rollout.roll_out(model, given, 0.1, 10)
    (batch,) = DataLoader(given, batch_size=len(given))
    with torch.no_grad():
        predicted = model(**forward_arguments(model, batch))
    # The first frames of the simulator are the targets.
    distance = (
        (predicted - batch.y)[..., :2].norm(dim=-1).view(len(given), 3, 3).mean(1)
    )
    np.testing.assert_allclose(
        errors["distance"][:, :3], distance, rtol=1e-3, atol=1e-5
    )


def test_without_a_run_one_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {}

    def trained(config: dict, folder: Path, overwrite: bool) -> None:
        asked.update(config)
        raise UsageError(f"trains in {folder}, overwrite={overwrite}")

    monkeypatch.setattr(rollout, "train", trained)
    with pytest.raises(UsageError, match="benchmark-rollout/run, overwrite=True"):
        rollout.measure(steps=3, seed=5)
    assert (asked["recipe"], asked["baseline"]) == ("spring-motion", None)
    assert (asked["budget"]["max_steps"], asked["seed"]) == (3, 5)


def test_runs_of_other_tasks_are_refused(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="name a run of the recipe 'spring-motion'"):
        rollout.measure(str(finished_run))


@pytest.mark.parametrize(
    "change",
    [{"force": "gravity"}, {"box": 5.0, "centred": False}, {"history": 1}],
)
def test_runs_with_walls_or_other_forces_are_refused(run: Path, change: dict) -> None:
    model = load_model(run)
    config = {"dataset": {"class": "PhysicalMotion", "args": change}}
    with pytest.raises(UsageError, match="springs without walls, and two frames"):
        rollout._check_run(run, config, model)


@pytest.mark.parametrize("numbers", [{"frames": 9}, {"samples": 0}, {"steps": 0}])
def test_too_small_numbers_are_refused(run: Path, numbers: dict) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(numbers))} of at least"):
        rollout.measure(str(run), **numbers)
