from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._checks import argument_names
from pyg_relational.datasets import NthFarthest, SortOfCLEVROnDisk, StoredDataset
from pyg_relational.datasets.base import collate_ragged, collate_stacked, split_size
from pyg_relational.datasets.downloads import RawFile

COUNTS = [3, 1, 4]


class Numbers(StoredDataset):
    """Three graphs of 3, 1 and 4 nodes."""

    def _name(self):
        return "numbers"

    def generate(self):
        self.extras = {"made": len(COUNTS)}
        return collate_ragged(*ragged())


class Fetched(Numbers):
    """The same, after two files were fetched."""

    def __init__(self, root, source, **kwargs):
        self.source = source
        super().__init__(root, **kwargs)

    @property
    def raw_files(self):
        return tuple(
            RawFile(path.name, path.as_uri(), folder="sub")
            for path in sorted(self.source.iterdir())
        )


def ragged():
    rows = {"x": torch.arange(8.0)[:, None], "y": torch.tensor([5, 6, 7])}
    return rows, {"x": torch.tensor(COUNTS), "y": torch.ones(3, dtype=torch.long)}


def first_is_small(data):
    return bool(data.x[0] < 4)


def double(data):
    data.x = 2 * data.x
    return data


def test_ragged_samples_are_cut_apart_again(tmp_path):
    dataset = Numbers(tmp_path)
    assert [sample.num_nodes for sample in dataset] == COUNTS
    assert dataset[1].x.tolist() == [[3.0]]
    assert dataset[2].x.flatten().tolist() == [4, 5, 6, 7]
    assert dataset[2].y.tolist() == [7]


def test_stacked_samples_equal_pygs_collation(tmp_path):
    tensors = {
        "x": torch.rand(5, 3, 2),
        "y": torch.arange(5)[:, None],
        "edge_index": torch.randint(3, (5, 2, 4)),
        "edge_attr": torch.rand(5, 4, 1),
    }
    samples = [Data(**{k: v[i] for k, v in tensors.items()}) for i in range(5)]
    expected, expected_slices = InMemoryDataset.collate(samples)
    data, slices = collate_stacked(tensors)
    assert {*data.keys()} == {*expected.keys()}
    for name in tensors:
        assert torch.equal(data[name], expected[name])
        assert torch.equal(slices[name], expected_slices[name])


def test_number_of_nodes_without_x(tmp_path):
    data, slices = collate_ragged(
        {"y": torch.arange(3)},
        {"y": torch.ones(3, dtype=torch.long)},
        num_nodes=torch.tensor(COUNTS),
    )
    dataset = Numbers(tmp_path)
    dataset._data, dataset.slices, dataset._data_list = data, slices, None
    assert [sample.num_nodes for sample in dataset] == COUNTS
    assert data.num_nodes == 8


def test_filter_and_transform_have_a_file_of_their_own(tmp_path):
    plain = Numbers(tmp_path)
    kept = Numbers(tmp_path, pre_filter=first_is_small)
    doubled = Numbers(tmp_path, pre_transform=double, pre_filter=first_is_small)
    names = {d.processed_file_names for d in (plain, kept, doubled)}
    assert len(names) == 3
    assert "numbers-v1.pt" in names
    assert [sample.num_nodes for sample in kept] == [3, 1]
    assert doubled[1].x.tolist() == [[6.0]]
    with pytest.raises(ValueError, match="`pre_filter` to keep a sample"):
        Numbers(tmp_path, pre_filter=lambda data: False)


def test_name_is_the_same_in_every_run(tmp_path):
    # The `repr` of a local function has its address.
    functions = [lambda data, i=i: data for i in range(3)]
    assert len({repr(function) for function in functions}) == 3
    sets = [Numbers(tmp_path, pre_transform=function) for function in functions]
    assert len({dataset.processed_file_names for dataset in sets}) == 1


def test_what_is_stored_beside_the_samples(tmp_path, monkeypatch):
    assert Numbers(tmp_path).extras == {"made": 3}
    monkeypatch.setattr(Numbers, "generate", lambda self: pytest.fail("again"))
    assert Numbers(tmp_path).extras == {"made": 3}


def test_files_are_fetched_that_are_missing(tmp_path, monkeypatch):
    source, root = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    for name in ("a.txt", "b.txt"):
        (source / name).write_text(name)
    shared = tmp_path / "shared" / "sub"
    shared.mkdir(parents=True)
    (shared / "a.txt").write_text("own")
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(shared.parent))
    dataset = Fetched(root, source)
    assert dataset.raw_file_names == ["a.txt", "b.txt"]
    paths = [shared / "a.txt", root / "raw" / "b.txt"]
    assert [*map(Path, dataset.raw_paths)] == paths
    assert [path.read_text() for path in paths] == ["own", "b.txt"]
    # Stored samples need no files.
    for path in paths:
        path.unlink()
    assert len(Fetched(root, source)) == 3
    assert not any(path.exists() for path in paths)


def test_size_of_a_split():
    assert [split_size(split, 3, 4, 5) for split in ("train", "val", "test")] == [
        3,
        4,
        5,
    ]
    with pytest.raises(ValueError, match=r"'split' .*'tets'.*; did you mean 'test'"):
        split_size("tets", 3, 4, 5)
    with pytest.raises(ValueError, match="`num_test` to be at least 1"):
        split_size("train", 3, 4, 0)


def test_a_base_is_no_dataset(tmp_path):
    with pytest.raises(TypeError, match="StoredDataset"):
        StoredDataset(tmp_path)


def test_arguments_that_are_passed_on_are_known():
    names, others = argument_names(NthFarthest)
    assert names[:3] == ["root", "split", "num_vectors"]
    assert {"num_train", "num_val", "num_test", "seed"} < {*names}
    assert names[-4:] == ["transform", "pre_transform", "pre_filter", "force_reload"]
    assert not others
    assert "make" not in argument_names(SortOfCLEVROnDisk)[0]
    assert argument_names(type("Own", (dict,), {})) == ([], True)
