from itertools import permutations

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.physical_simulator import Systems, simulate
from pyg_relational.datasets.physical_systems import (
    PhysicalConnections,
    PhysicalMotion,
    PhysicalSystemCount,
)
from pyg_relational.transforms import FrameDifferences

ALL = (PhysicalConnections, PhysicalSystemCount, PhysicalMotion)
SIZES = {"num_train": 30, "num_val": 20, "num_test": 10}
SMALL = {
    PhysicalConnections: {"num_frames": 20},
    PhysicalSystemCount: {"num_masses": 6, "num_frames": 8},
    PhysicalMotion: {"num_frames": 16, "history": 3, "horizon": 5},
}


def build(cls, root, split="train", **kwargs):
    return cls(root, split, **(SIZES | SMALL[cls] | kwargs))


def pulls(sample, frame_time=0.1):
    """The mean acceleration of each mass within each frame, `[N, T - 1, 2]`."""
    velocity = sample.x[..., 2:4].double() / frame_time
    return velocity.diff(dim=1) / frame_time


def test_springs_are_what_moves_the_masses(tmp_path):
    dataset = build(PhysicalConnections, tmp_path)
    answers = []
    for sample in dataset:
        assert isinstance(sample, TemporalGraph)
        assert sample.x.shape == (5, 20, 4)
        assert sample.mask.all()
        pairs = sample.edge_label_index.T.tolist()
        assert sorted(pairs) == sorted(map(list, permutations(range(5), 2)))
        label = dict(zip(map(tuple, pairs), sample.y.tolist(), strict=True))
        assert all(label[i, j] == label[j, i] for i, j in pairs)
        assert torch.equal(sample.question_connection, sample.y)
        answers += sample.y.tolist()
        # The force is that of springs of stiffness 0.1, at the middle of the frame.
        middle = (sample.x[:, 1:, :2] + sample.x[:, :-1, :2]).double() / 2
        for i in range(5):
            force = sum(
                0.1 * label[i, j] * (middle[j] - middle[i]) for j in range(5) if j != i
            )
            assert (force - pulls(sample)[i]).abs().max() < 2e-3
    assert 0.4 < np.mean(answers) < 0.6


def test_unlike_charges_are_connected(tmp_path):
    seen = set()
    for sample in build(PhysicalConnections, tmp_path, force="charges", num_masses=2):
        # Of two charges alone: do they move towards each other?
        distance = sample.x[0, :, :2] - sample.x[1, :, :2]
        pull = (pulls(sample)[0] - pulls(sample)[1]) * distance[:-1]
        connected = float(pull.sum(dim=1).median()) < 0
        assert sample.y.tolist() == [connected, connected]
        seen.add(connected)
    assert len(seen) == 2


def test_velocities_are_changes_of_position_per_frame(tmp_path):
    for frame_time in (0.1, 0.2):
        for sample in build(PhysicalConnections, tmp_path, frame_time=frame_time):
            position, velocity = sample.x.split(2, dim=-1)
            around = (position[:, 2:] - position[:, :-2]) / 2
            error = (around - velocity[:, 1:-1]).abs().max()
            assert error < 0.2 * frame_time**3
            speed = velocity[:, 0].norm(dim=1)
            torch.testing.assert_close(speed, torch.full((5,), 0.5 * frame_time))


@pytest.mark.parametrize("cls", [PhysicalConnections, PhysicalSystemCount])
def test_differences_are_those_of_the_transform(tmp_path, cls):
    plain = build(cls, tmp_path)
    scale = [20.0, 20.0, 1000.0, 1000.0]
    transform = FrameDifferences(scale)
    for sample, own in zip(build(cls, tmp_path, differences=True), plain, strict=True):
        # Velocities hardly change: single precision leaves four digits.
        torch.testing.assert_close(sample.x, transform(own).x, rtol=0, atol=2e-4)
        # Of the order of 1.
        assert 0.3 < sample.x[:, :-1, 4:].std() < 3
        assert (sample.x[:, -1, 4:] == 0).all()


def test_flat_rows_hold_the_same(tmp_path):
    flat = build(PhysicalConnections, tmp_path, layout="flat", differences=True)
    temporal = build(PhysicalConnections, tmp_path, differences=True)
    for sample, other in zip(flat, temporal, strict=True):
        assert not isinstance(sample, TemporalGraph)
        assert torch.equal(sample.x, other.x.flatten(1))
        assert torch.equal(sample.edge_index, other.edge_label_index)
        assert torch.equal(sample.edge_label_index, other.edge_label_index)
        assert torch.equal(sample.y, other.y)
    batch = next(iter(DataLoader(flat, batch_size=4)))
    assert batch.edge_index.max() == 19
    assert torch.equal(batch.edge_index, batch.edge_label_index)


def test_flat_rows_of_systems(tmp_path):
    flat = build(PhysicalSystemCount, tmp_path, layout="flat")
    for sample, other in zip(flat, build(PhysicalSystemCount, tmp_path), strict=True):
        assert not isinstance(sample, TemporalGraph)
        assert torch.equal(sample.x, other.x.flatten(1))
        assert torch.equal(sample.y, other.y)


def test_systems_hang_together_by_their_pulls(tmp_path):
    dataset = build(PhysicalSystemCount, tmp_path, num_train=60)
    seen = set()
    for sample in dataset:
        # Least squares for the springs, from the motion alone.
        x = sample.x.double()
        middle = (x[:, 1:, :2] + x[:, :-1, :2]) / 2
        graph = nx.empty_graph(6)
        for i in range(6):
            others = [j for j in range(6) if j != i]
            # [T, 2, N - 1] -> [2 T, N - 1]
            spans = torch.stack([middle[j] - middle[i] for j in others], -1).flatten(
                0, 1
            )
            stiffness = torch.linalg.lstsq(spans, pulls(sample)[i].reshape(-1, 1))
            for j, k in zip(others, stiffness.solution[:, 0].tolist(), strict=True):
                assert k == pytest.approx(0, abs=0.02) or k == pytest.approx(
                    0.1, abs=0.02
                )
                graph.add_edges_from([(i, j)] * (k > 0.05))
        count = nx.number_connected_components(graph)
        assert sample.y.tolist() == sample.question_systems.tolist() == [count - 1]
        seen.add(count)
    assert seen == {1, 2, 3, 4, 5, 6}


def test_motion_goes_on_as_the_simulator_says(tmp_path):
    for sample in build(PhysicalMotion, tmp_path):
        assert sample.x.shape == (5, 3, 4)
        assert sample.y.shape == (5, 5, 4)
        joined = torch.zeros(5, 5)
        joined[sample.edge_index[0], sample.edge_index[1]] = 0.1
        start = Systems(
            sample.x[None, :, -1, :2].double().numpy(),
            sample.velocity[None].double().numpy(),
            joined[None].double().numpy(),
            np.ones((1, 5)),
        )
        frames = torch.from_numpy(simulate(start, 6).position[0])
        torch.testing.assert_close(
            sample.y[..., :2].double(), frames[:, 1:], rtol=0, atol=1e-5
        )
        # A velocity is exactly the last step.
        path = torch.cat([sample.x[..., :2], sample.y[..., :2]], dim=1)
        steps = torch.cat([sample.x[..., 2:], sample.y[..., 2:]], dim=1)
        torch.testing.assert_close(path.diff(dim=1), steps[:, 1:], rtol=0, atol=1e-6)
        group = sample.question_target
        assert group.shape == sample.y.shape
        assert (group == torch.tensor([0, 0, 1, 1])).all()


def test_windows_start_anywhere(tmp_path):
    whole = build(PhysicalMotion, tmp_path, num_train=300, centred=False)
    # The speed is 0.5 in the start alone; frame 0 is never shown, it has no step.
    speed = torch.stack([s.x[:, 0, 2:].norm(dim=1).mean() for s in whole]) / 0.1
    assert speed.std() > 0.02
    tight = build(PhysicalMotion, tmp_path, num_train=300, num_frames=9, centred=False)
    first = torch.cat([s.x[:, 0, 2:].norm(dim=1) for s in tight]) / 0.1
    assert (first - 0.5).abs().max() < 0.05


def test_centres_of_mass_rest_at_the_origin(tmp_path):
    for sample in build(PhysicalMotion, tmp_path):
        graph = nx.empty_graph(5)
        graph.add_edges_from(sample.edge_index.T.tolist())
        path = torch.cat([sample.x, sample.y], dim=1)
        for system in nx.connected_components(graph):
            assert path[list(system)].mean(dim=0).abs().max() < 1e-6


@pytest.mark.parametrize("force", ["charges", "gravity"])
def test_motion_knows_charges_and_masses(tmp_path, force):
    for sample in build(PhysicalMotion, tmp_path, force=force, num_train=3):
        assert sample.x.shape == (5, 3, 5)
        source = sample.x[..., 4]
        assert (source == source[:, :1]).all()
        assert "edge_index" not in sample
        source = source[:, 0].double().numpy()
        mass = source if force == "gravity" else np.ones(5)
        factor = 0.3 if force == "gravity" else -1.0
        start = Systems(
            sample.x[None, :, -1, :2].double().numpy(),
            sample.velocity[None].double().numpy(),
            (factor * np.outer(source, source) * ~np.eye(5, dtype=bool))[None],
            mass[None],
            {"gravity": 0.3, "charges": 0.2}[force],
        )
        frames = torch.from_numpy(simulate(start, 6, 0.1, 100).position[0])
        torch.testing.assert_close(
            sample.y[..., :2].double(), frames[:, 1:], rtol=0, atol=1e-4
        )


def test_masses_at_constant_velocity_go_straight_on(tmp_path):
    dataset = build(PhysicalMotion, tmp_path, force="gravity")
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    forecast = dataset.constant_velocity(batch)
    assert forecast.shape == batch.y.shape
    for n in range(15):
        x, v = batch.x[n, -1, :2], batch.x[n, -1, 2:4]
        for k in range(5):
            torch.testing.assert_close(forecast[n, k, :2], x + (k + 1) * v)
            torch.testing.assert_close(forecast[n, k, 2:], v)


@pytest.mark.parametrize("cls", ALL)
def test_numbers_of_masses_differ(tmp_path, cls):
    dataset = build(cls, tmp_path, num_masses=[3, 5])
    sizes = [sample.x.size(0) for sample in dataset]
    assert set(sizes) == {3, 4, 5}
    assert sizes != sorted(sizes)
    for sample in dataset:
        n = sample.x.size(0)
        assert sample.node_id.tolist() == list(range(n))
        if cls is PhysicalConnections:
            pairs = sample.edge_label_index.T.tolist()
            assert sorted(pairs) == sorted(map(list, permutations(range(n), 2)))
            assert len(sample.y) == n * (n - 1)
        if cls is PhysicalSystemCount:
            assert int(sample.y) < n
        if cls is PhysicalMotion:
            assert (sample.edge_index < n).all()
            assert len(sample.y) == n
    batch = next(iter(DataLoader(dataset, batch_size=30)))
    assert batch.num_graphs == 30
    for i, sample in enumerate(batch.to_data_list()):
        for name in dataset[i].to_dict():
            assert torch.equal(sample[name], dataset[i][name])


def test_splits_share_no_sample(tmp_path):
    same = dict.fromkeys(SIZES, 20)
    rows = {
        tuple(sample.x[0, 0].tolist())
        for split in ("train", "val", "test")
        for sample in build(PhysicalConnections, tmp_path, split, **same)
    }
    assert len(rows) == 60


def test_walls(tmp_path):
    box = build(PhysicalConnections, tmp_path, box=0.6, num_frames=40)._data.x_steps
    assert box[:, :2].abs().max() <= 0.6
    free = build(PhysicalConnections, tmp_path, box=None, num_frames=40)._data.x_steps
    assert free[:, :2].abs().max() > 1


def test_what_the_trainer_reads(tmp_path):
    assert [cls.task for cls in ALL] == ["classification"] * 2 + ["forecast"]
    assert [cls.kind for cls in ALL] == ["pair", "graph", "node"]
    for cls in ALL:
        sample = build(cls, tmp_path)[0]
        for name, groups in cls.metric_groups().items():
            if name != "sets":
                question = sample[f"question_{name}"]
                assert question.shape == sample.y.shape
                assert question.max() < len(groups)
