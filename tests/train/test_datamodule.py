from pathlib import Path
from unittest.mock import Mock

import pytest

from pyg_relational.datasets import SortOfCLEVR
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.errors import UsageError
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
