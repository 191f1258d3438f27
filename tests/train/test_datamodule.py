from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from loader import check_same_batch
from torch_geometric.loader import DataLoader

from pyg_relational._checks import UsageError
from pyg_relational.datasets import SortOfCLEVR, Sudoku
from pyg_relational.loader import StoredLoader
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.transforms import PermuteColours

SIZES = {"num_train": 64, "num_val": 16, "num_test": 16, "num_objects": 3}


def test_batches_hold_what_is_kept(data_root: Path) -> None:
    data = RelationalDataModule(
        SortOfCLEVR, str(data_root), SIZES, 16, ["u"], keep={"x", "u", "y"}
    )
    data.setup("fit")
    assert set(data.datasets) == {"train", "val"}
    (batch,) = data.val_dataloader()
    assert set(batch.keys()) == {"x", "u", "y", "batch", "ptr", "u_batch", "u_ptr"}
    assert batch.u_batch.bincount().tolist() == [20] * 16


def test_only_training_is_shuffled(data_root: Path) -> None:
    data = RelationalDataModule(SortOfCLEVR, str(data_root), SIZES, 64)
    (first,), (second,) = data.train_dataloader(), data.train_dataloader()
    assert not first.x.equal(second.x)
    assert first.x.sum().isclose(second.x.sum())
    (first,), (second,) = data.test_dataloader(), data.test_dataloader()
    assert first.x.equal(second.x)


def test_wrong_arguments_name_the_dataset(data_root: Path) -> None:
    data = RelationalDataModule(SortOfCLEVR, str(data_root), {"num_trains": 1}, 16)
    with pytest.raises(UsageError, match=r"dataset SortOfCLEVR: .*num_trains"):
        data.setup("fit")


def test_only_training_batches_are_augmented(data_root: Path) -> None:
    data = RelationalDataModule(
        SortOfCLEVR, str(data_root), SIZES, 16, ["u"], augment=[PermuteColours()]
    )
    (batch,) = data.val_dataloader()
    for training in (False, True):
        data.trainer = Mock(training=training)
        seen = data.on_after_batch_transfer(batch.clone(), 0)
        assert seen.x.equal(batch.x) != training


def test_batches_are_sliced_as_pyg_forms_them(data_root: Path) -> None:
    data = RelationalDataModule(
        SortOfCLEVR, str(data_root), SIZES, 24, ["u"], keep={"x", "u", "y"}
    )
    loader = data.train_dataloader()
    assert type(loader.loader) is StoredLoader
    dataset = data.dataset("train")
    left_out = sorted({*dataset[0].keys()} - {"x", "u", "y"})
    theirs = DataLoader(dataset, 24, True, ["u"], left_out)
    torch.manual_seed(5)
    found = [*loader]
    torch.manual_seed(5)
    for batch, expected in zip(found, theirs, strict=True):
        check_same_batch(batch, expected)


def test_graphs_that_a_dataset_makes_itself_are_left_to_pyg(tmp_path: Path) -> None:
    args = {"size": 4, "num_train": 400, "num_val": 8, "num_test": 8}
    data = RelationalDataModule(Sudoku, str(tmp_path), args, 8)
    loader = data.val_dataloader()
    assert type(loader) is DataLoader
    (batch,) = loader
    assert batch.num_nodes == 8 * 16
