import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational._checks import check_int
from pyg_relational.datasets.base import (
    collate_ragged,
    collate_stacked,
    load_stored,
    stored_content,
    stored_name,
)

COUNTS = [3, 1, 4]


class Numbers(InMemoryDataset):
    """Three graphs of 3, 1 and 4 nodes."""

    def __init__(self, root, transform=None, pre_transform=None, pre_filter=None):
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate)

    @property
    def processed_file_names(self):
        return stored_name(self, "numbers-v1")

    def _generate(self):
        return stored_content(self, *collate_ragged(*ragged()))


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


@pytest.mark.parametrize("value", [True, 2.0, "2", None])
def test_wrong_type_of_a_number(value):
    with pytest.raises(TypeError, match="`size` to be an integer"):
        check_int("size", value, 0)


def test_limits_are_included():
    assert check_int("size", 2, 2, 4) == 2
    assert check_int("size", 4, 2, 4) == 4
    with pytest.raises(ValueError, match="`size` to be from 2 to 4, got 5"):
        check_int("size", 5, 2, 4)
    with pytest.raises(ValueError, match="`size` to be at least 2, got 1"):
        check_int("size", 1, 2)
