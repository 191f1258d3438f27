from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from pyg_relational import models
from pyg_relational._checks import UsageError
from pyg_relational.train import configure, read_config
from pyg_relational.train.recipe import (
    apply_settings,
    check_settings,
    known_options,
    load_recipe,
    read_space,
    recipe_names,
    resolve,
)
from pyg_relational.train.run_folder import prepare


@pytest.fixture
def config(recipe: Path) -> dict[str, Any]:
    return resolve(load_recipe(str(recipe)))


def test_sets_options_of_every_part(config: dict[str, Any]) -> None:
    before = yaml.safe_dump(config)
    settings = {
        "optimizer.learning_rate": 0.5,
        "budget.max_steps": 3,
        "dataset.args.num_train": 7,
        # Not in the recipe, but arguments of the constructors.
        "dataset.args.seed": 4,
        "model.args.dropout": 0.25,
        "model.args.relation_channels": [5, 6],
        "baseline.args.dropout": 0.75,
    }
    result = apply_settings(config, settings)
    assert result["optimizer"]["learning_rate"] == 0.5
    assert result["optimizer"]["class"] == "AdamW"
    assert result["budget"]["max_steps"] == 3
    assert result["dataset"]["args"]["num_train"] == 7
    assert result["dataset"]["args"]["seed"] == 4
    assert result["dataset"]["args"]["num_val"] == 16
    assert result["model"]["args"]["dropout"] == 0.25
    assert result["model"]["args"]["relation_channels"] == [5, 6]
    assert result["baseline"]["args"]["dropout"] == 0.75
    assert yaml.safe_dump(config) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer.lerning_rate": 1}, "did you mean 'optimizer.learning_rate'"),
        (
            {"model.args.droput": 0.1},
            "unknown option 'model.args.droput'; did you mean",
        ),
        ({"model.args": {}}, "unknown option 'model.args'"),
        ({"model": {}}, "unknown option 'model'"),
        ({"dataset.args.num_trian": 1}, "did you mean 'dataset.args.num_train'"),
        ({"dataset.args.split": "test"}, "unknown option 'dataset.args.split'"),
        ({"dataset.root": "x"}, "unknown option 'dataset.root'"),
        ({"model.class": "DeepSets"}, "unknown option 'model.class'"),
        ({"budgett.batch_size": 1}, "did you mean 'budget.batch_size'"),
        ({"budget.batch_size": 0}, "a whole number of at least 1, not 0"),
        ({"budget.batch_size": 2.5}, "a whole number of at least 1, not 2.5"),
        ({"budget.max_epochs": None}, "a whole number of at least 1, not None"),
        ({"budget.max_epochs": True}, "a whole number of at least 1, not True"),
        ({"optimizer.learning_rate": "1e-3"}, "must be a number of at least 0"),
        ({"optimizer.weight_decay": -0.1}, "must be a number of at least 0"),
        ({"optimizer.learning_rate": float("nan")}, "must be a number of at least 0"),
    ],
)
def test_bad_settings(
    config: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        apply_settings(config, settings)
    assert str(error.value).startswith("--set: ")


def test_arguments_of_a_model_within_a_model(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module, **others: int) -> None: ...

    monkeypatch.setattr(models, "Wrapper", Wrapper, raising=False)
    inner = config["model"]
    config["model"] = {"class": "Wrapper", "args": {"inner": inner}}
    settings = {"model.args.inner.args.dropout": 0.5, "model.args.others": 3}
    result = apply_settings(config, settings)["model"]["args"]
    assert result["inner"]["args"]["dropout"] == 0.5
    assert result["others"] == 3
    with pytest.raises(UsageError, match=r"unknown option .*droput"):
        apply_settings(config, {"model.args.inner.args.droput": 0.5})


@pytest.mark.parametrize("name", recipe_names())
def test_search_spaces_of_the_package_name_options(name: str) -> None:
    config = resolve(load_recipe(name))
    space = read_space(config["search"], name)
    check_settings(config, ((key, space[key].examples()) for key in space), name)


def test_no_limit_is_a_value(config: dict[str, Any]) -> None:
    result = apply_settings(config, {"budget.max_minutes": None})
    assert result["budget"]["max_minutes"] is None


def test_epochs_that_are_set_replace_those_of_the_model(config: dict[str, Any]) -> None:
    config["model"]["max_epochs"] = 9
    config["baseline"]["max_epochs"] = 9
    result = apply_settings(config, {"budget.max_epochs": 3})
    assert "max_epochs" not in result["model"]
    assert "max_epochs" not in result["baseline"]
    both = {"budget.max_epochs": 3, "model.max_epochs": 2}
    assert apply_settings(config, both)["model"]["max_epochs"] == 2


def test_a_recipe_without_a_baseline(recipe: Path) -> None:
    config = resolve({**load_recipe(str(recipe)), "baseline": None})
    assert "baseline.args.dropout" not in known_options(config)
    assert "model.args.dropout" in known_options(config)
    with pytest.raises(UsageError, match=r"unknown option .baseline"):
        apply_settings(config, {"baseline.args.dropout": 0.1})


def test_arguments_win_over_settings(recipe: Path) -> None:
    settings = {"optimizer.learning_rate": 0.5, "budget.batch_size": 3}
    config = configure(str(recipe), command="c", learning_rate=0.25, settings=settings)
    assert config["optimizer"]["learning_rate"] == 0.25
    assert config["budget"]["batch_size"] == 3
    # It is of studies: a run's configuration does not hold it.
    prepare(recipe.parent / "run", config, resume=False, overwrite=False)
    assert "search" not in read_config(recipe.parent / "run")
