import pytest

from pyg_relational._checks import UsageError
from pyg_relational.datasets import SortOfCLEVR
from pyg_relational.train import recipe as recipes
from pyg_relational.train.recipe import (
    allow,
    build_model,
    dataset_class,
    model_class,
)


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
    with pytest.raises(UsageError, match=r"model DeepSets takes no argument 'colour'"):
        build_model({"class": "DeepSets", "args": {"colour": 1}})


def test_others_only_where_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "_allowed", set())
    with pytest.raises(UsageError, match=r"'torch\.nn' need --allow torch\.nn"):
        model_class("torch.nn.Linear")
    allow("torch.nn")
    spec = {"class": "torch.nn.Linear", "args": {"in_features": 2, "out_features": 3}}
    assert build_model(spec).out_features == 3
    for name in ("torch.nn.functional.relu", "torch.nn.init.ones_"):
        with pytest.raises(UsageError, match="only name classes"):
            model_class(name)
    with pytest.raises(
        UsageError, match=r"'torch\.nn' has no Module named 'Parameter'"
    ):
        model_class("torch.nn.Parameter")
