from pathlib import Path

import pytest

from pyg_relational._checks import UsageError
from pyg_relational.train.recipe import (
    build_model,
    load_recipe,
    recipe_names,
    resolve,
    size_names,
)


def test_later_layers_win(recipe: Path) -> None:
    content = load_recipe(str(recipe))
    content["sizes"]["paper"] = {"budget": {"batch_size": 1, "max_epochs": 7}}
    content["representations"]["pixels"]["budget"] = {"batch_size": 2}
    content["representations"]["pixels"]["sizes"] = {
        "paper": {"optimizer": {"class": "Adam"}}
    }
    config = resolve(content, "paper", "pixels", "pixel-relation")
    assert config["budget"]["batch_size"] == 2
    assert config["budget"]["max_epochs"] == 7
    assert config["optimizer"]["class"] == "Adam"
    assert config["dataset"]["args"]["representation"] == "pixels"
    assert config["dataset"]["args"]["num_train"] == 64
    assert config["model"]["class"] == "PixelRelationNetwork"
    assert content["budget"]["batch_size"] == 16


def test_first_representation_and_default_model(recipe: Path) -> None:
    config = resolve(load_recipe(str(recipe)))
    assert config["representation"] == "state"
    assert config["model_name"] == "relation"
    assert config["baseline"]["class"] == "DeepSets"


@pytest.mark.parametrize("name", recipe_names())
def test_every_model_of_every_recipe_can_be_built(name: str) -> None:
    content = load_recipe(name)
    assert "laptop" in size_names(content)
    variants = content.get("representations", {None: content})
    for size in size_names(content):
        for representation, variant in variants.items():
            for model in variant["models"]:
                config = resolve(content, size, representation, model)
                network = build_model(config["model"])
                assert sum(p.numel() for p in network.parameters()) > 1000


def test_the_search_of_a_model_is_laid_over_that_of_the_recipe(recipe: Path) -> None:
    content = load_recipe(str(recipe))
    content["search"] = {"optimizer.learning_rate": {"low": 0.1, "high": 1.0}}
    own = {"model.args.dropout": {"low": 0.0, "high": 0.5}}
    content["models"]["relation"]["search"] = own
    config = resolve(content, representation="state")
    assert config["search"] == {**content["search"], **own}
    assert "search" not in config["model"]
    other = resolve(content, representation="state", model="no-pairs")
    assert other["search"] == content["search"]


def test_the_dataset_of_a_model_is_laid_over_that_of_the_recipe(recipe: Path) -> None:
    content = load_recipe(str(recipe))
    content["models"]["relation"]["dataset"] = {"args": {"num_objects": 5}}
    config = resolve(content, representation="state")
    assert config["dataset"]["args"]["num_objects"] == 5
    assert config["dataset"]["args"]["num_train"] == 64
    assert "dataset" not in config["model"]
    other = resolve(content, representation="state", model="no-pairs")
    assert other["dataset"]["args"]["num_objects"] == 3


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"size": "laptob"}, "unknown size 'laptob'; did you mean 'laptop'"),
        ({"representation": "pixel"}, "did you mean 'pixels'"),
        ({"model": "relatio"}, "did you mean 'relation'"),
    ],
)
def test_unknown_choices(recipe: Path, choice: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(load_recipe(str(recipe)), **choice)


def test_unknown_spread(recipe: Path) -> None:
    content = {**load_recipe(str(recipe)), "spread": "intervals"}
    with pytest.raises(UsageError, match="unknown spread 'intervals'; did you mean"):
        resolve(content)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'sort-of-clevr'"):
        load_recipe("sort-of-clever")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "must be a mapping"),
        ("modell: a", "unknown section 'modell'; did you mean 'model'"),
        ("model: a", "lacks the sections budget, dataset"),
    ],
)
def test_damaged_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "budget",
            "max_epoch",
            3,
            "unknown key 'max_epoch'; did you mean 'max_epochs'",
        ),
        ("dataset", "root", None, "'dataset' of recipe 'tiny' lacks root"),
    ],
)
def test_keys_of_parts(
    recipe: Path, section: str, key: str, value: object, message: str
) -> None:
    content = load_recipe(str(recipe))
    if value is None:
        del content[section][key]
    else:
        content[section][key] = value
    with pytest.raises(UsageError, match=message):
        resolve(content)


def test_part_must_be_a_mapping(recipe: Path) -> None:
    content = load_recipe(str(recipe))
    content["optimizer"] = "Adam"
    with pytest.raises(UsageError, match="must be a mapping, not 'Adam'"):
        resolve(content)
