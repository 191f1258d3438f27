import pytest

from pyg_relational.datasets import SortOfCLEVR
from pyg_relational.train.errors import UsageError
from pyg_relational.train.registry import build_model, dataset_class, model_class


def test_only_own_classes() -> None:
    assert dataset_class("SortOfCLEVR") is SortOfCLEVR
    with pytest.raises(
        UsageError, match=r"only name classes of pyg_relational\.models"
    ):
        model_class("os.system")
    with pytest.raises(UsageError, match="did you mean 'RelationNetwork'"):
        model_class("RelationNetworks")
    with pytest.raises(UsageError, match="not 'DeepSets'"):
        dataset_class("DeepSets")


def test_wrong_arguments_name_the_model() -> None:
    with pytest.raises(UsageError, match=r"model DeepSets: .*'colour'"):
        build_model({"class": "DeepSets", "args": {"colour": 1}})
