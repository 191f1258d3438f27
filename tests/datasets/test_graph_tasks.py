import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.graph_tasks import TASKS, GraphTasks

SIZES = {"num_train": 12, "num_val": 8, "num_test": 6}


def build(root, name="shortest-path", split="train", **kwargs):
    return GraphTasks(root, name, split, **(SIZES | kwargs))


@pytest.mark.parametrize("name", TASKS)
def test_samples_are_those_of_the_generator(tmp_path, name, monkeypatch):
    made = []
    original = TASKS[name]
    monkeypatch.setitem(
        TASKS, name, lambda n, rng: made.append(original(n, rng)) or made[-1]
    )
    dataset = build(tmp_path, name, num_nodes=(8, 11))
    assert len(dataset) == len(made) == 12
    assert {sample.num_nodes for sample in dataset} == {8, 9, 10, 11}
    for sample, expected in zip(dataset, made, strict=True):
        assert torch.equal(sample.x, torch.from_numpy(expected.x))
        assert torch.equal(sample.y, torch.from_numpy(expected.y))
        assert sample.length.tolist() == [expected.length]
        assert ("edge_index" in sample) == (name != "sorting")
        if name != "sorting":
            assert sample.edge_index.tolist() == expected.edge_index.tolist()


def test_batches(tmp_path):
    batch = next(iter(DataLoader(build(tmp_path, num_nodes=8), batch_size=3)))
    assert batch.x.shape == (24, 2)
    assert batch.y.shape == (24,)
    assert batch.length.shape == (3,)
    owner = batch.batch[batch.edge_index]
    assert torch.equal(owner[0], owner[1])
    # Rows of a graph are counted from its own first one.
    numbers = next(iter(DataLoader(build(tmp_path, "sorting"), batch_size=12)))
    assert numbers.y.max() < 16


def test_every_split_size_and_seed_has_graphs_of_its_own(tmp_path):
    same = dict.fromkeys(SIZES, 20)
    variants = [
        {},
        {"split": "val"},
        {"split": "test"},
        {"seed": 1},
        {"num_nodes": (8, 17)},
    ]
    drawn = [tuple(build(tmp_path, **same, **v)._data.y.tolist()) for v in variants]
    assert len(set(drawn)) == len(variants)


def test_graphs_of_a_split_do_not_depend_on_other_splits(tmp_path):
    first = build(tmp_path / "a")
    second = build(tmp_path / "b", num_val=3, num_test=3)
    assert torch.equal(first._data.edge_index, second._data.edge_index)


def test_every_argument_that_changes_the_content_has_its_own_file(tmp_path):
    variants = [
        {},
        {"name": "sorting"},
        {"split": "val"},
        {"num_train": 13},
        {"split": "val", "num_val": 9},
        {"split": "test"},
        {"split": "test", "num_test": 7},
        {"num_nodes": 8},
        {"num_nodes": [8, 9]},
        {"seed": 1},
        {"pre_filter": bool},
    ]
    paths = {build(tmp_path, **variant).processed_paths[0] for variant in variants}
    assert len(paths) == len(variants)


def test_second_use_reads_the_same_samples(tmp_path, monkeypatch):
    first = build(tmp_path)
    monkeypatch.setattr(GraphTasks, "generate", lambda self: pytest.fail("again"))
    assert torch.equal(build(tmp_path)[7].edge_index, first[7].edge_index)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"name": "sort"}, ValueError, "Unknown name 'sort'; did you mean 'sorting'"),
        ({"split": "valid"}, ValueError, "Unknown split 'valid'; did you mean 'val'"),
        ({"num_train": 0}, ValueError, "`num_train` to be at least 1, got 0"),
        ({"num_nodes": 7}, ValueError, "`num_nodes` to be at least 8, got 7"),
        ({"num_nodes": (7, 9)}, ValueError, r"`num_nodes\[0\]` to be at least 8"),
        ({"num_nodes": (9, 8)}, ValueError, r"`num_nodes\[1\]` to be at least 9"),
        ({"num_nodes": (8, 9, 10)}, ValueError, "a number, or the smallest and the l"),
        ({"num_nodes": (8, 9.5)}, TypeError, r"`num_nodes\[1\]` to be an integer"),
        ({"seed": -1}, ValueError, "`seed` to be at least 0"),
    ],
)
def test_wrong_arguments_leave_no_folder(tmp_path, kwargs, error, message):
    with pytest.raises(error, match=message):
        build(tmp_path / "root", **kwargs)
    assert not (tmp_path / "root").exists()
