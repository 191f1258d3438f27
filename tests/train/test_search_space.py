from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational._checks import UsageError
from pyg_relational.train.recipe import (
    Choices,
    Range,
    load_recipe,
    read_space,
    recipe_names,
    resolve,
)


def edited(recipe: Path, **sections: Any) -> Path:
    content = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**content, **sections}, sort_keys=False))
    return recipe


SPACE = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "budget.batch_size": {"low": 16, "high": 64, "step": 16},
    "model.args.dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
    "model.args.relation_channels": {"choices": [[4], [8, 8], []]},
    "model.args.plain_last": {"choices": [True, None, "auto", 1, 1.5]},
}


def test_reads_ranges_and_choices() -> None:
    space = read_space(SPACE, "here")
    assert list(space) == list(SPACE)
    assert space["optimizer.learning_rate"] == Range(1e-4, 1e-2, log=True)
    assert space["budget.batch_size"] == Range(16, 64, step=16)
    assert space["model.args.relation_channels"] == Choices(([4], [8, 8], []))


@given(st.integers(0, 2**32 - 1))
def test_every_value_is_one_of_the_space(seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    space = read_space(SPACE, "here")
    values = {key: space[key].suggest(trial, key) for key in space}
    assert 1e-4 <= values["optimizer.learning_rate"] <= 1e-2
    assert values["budget.batch_size"] in (16, 32, 48, 64)
    assert type(values["budget.batch_size"]) is int
    assert values["model.args.dropout"] in (0.0, 0.1, 0.2, pytest.approx(0.3))
    for key in ("model.args.relation_channels", "model.args.plain_last"):
        assert values[key] in SPACE[key]["choices"]
        assert type(values[key]) in {type(v) for v in SPACE[key]["choices"]}
    stored = trial.params
    assert {key: space[key].decode(stored[key]) for key in space} == values


BAD: list[tuple[Any, str]] = [
    ([1], "must be a mapping of options"),
    ({"a": 3}, r"here: a must be \{low: ..., high: ...\} or"),
    ({"a": {"low": 1, "hihg": 2}}, "here: a has an unknown key 'hihg'; did you mean"),
    ({"a": {"low": 1}}, "here: a lacks high"),
    ({"a": {}}, "here: a lacks high, low"),
    ({"a": {"low": 2, "high": 1}}, "low 2 is above high 1"),
    ({"a": {"low": 0, "high": 1, "log": True}}, "log needs a low above 0, not 0"),
    ({"a": {"low": "1e-4", "high": 1}}, r"write 1.0e-4"),
    ({"a": {"low": 0, "high": float("inf")}}, "high must be a number, not inf"),
    ({"a": {"low": True, "high": 2}}, "low must be a number, not True"),
    ({"a": {"low": 1, "high": 2, "log": "yes"}}, "log must be true or false"),
    ({"a": {"low": 1, "high": 5, "step": 1, "log": True}}, "log and step exclude"),
    ({"a": {"low": 1, "high": 5, "step": 0.5}}, "step must be a whole number above"),
    ({"a": {"low": 0.0, "high": 1.0, "step": 0}}, "step must be a number above 0"),
    ({"a": {"low": 16, "high": 65, "step": 16}}, "high 65 is no whole number of steps"),
    ({"a": {"choices": []}}, "must be a list of values with at least one"),
    ({"a": {"choices": "abc"}}, "must be a list of values"),
    ({"a": {"choices": [[1], [1]]}}, r"choices hold \[1\] twice"),
    ({"a": {"choices": [1], "low": 0}}, "choices, which exclude low"),
]


@pytest.mark.parametrize(("search", "message"), BAD)
def test_bad_space(search: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_space(search, "here")


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"search": {"a.b": {"low": 1}}}, "'search'"),
        (
            {"sizes": {"laptop": {"search": {"a.b": {"low": 1}}}}},
            "'sizes.laptop.search'",
        ),
        (
            {"representations": {"state": {"search": {"a.b": {"low": 1}}}}},
            "'representations.state.search'",
        ),
        (
            {
                "representations": {
                    "state": {"sizes": {"paper": {"search": {"a.b": {"low": 1}}}}}
                }
            },
            "'representations.state.sizes.paper.search'",
        ),
    ],
)
def test_a_recipe_is_checked_when_it_is_read(
    recipe: Path, sections: dict[str, Any], place: str
) -> None:
    path = edited(recipe, **sections)
    with pytest.raises(UsageError) as error:
        load_recipe(str(path))
    assert str(error.value) == f"{place} of recipe '{path}': a.b lacks high"


def test_a_representation_adds_to_the_space(recipe: Path) -> None:
    path = edited(
        recipe,
        search={"budget.batch_size": {"low": 8, "high": 16}},
        representations={"state": {"search": {"budget.patience": {"choices": [1, 2]}}}},
    )
    content = load_recipe(str(path))
    assert list(read_space(resolve(content)["search"], "here")) == [
        "budget.batch_size",
        "budget.patience",
    ]


def test_recipes_without_a_space_have_an_empty_one(recipe: Path) -> None:
    assert resolve(load_recipe(str(recipe)))["search"] == {}


def test_a_recipe_of_the_package_has_a_space() -> None:
    spaces = {name: resolve(load_recipe(name))["search"] for name in recipe_names()}
    assert spaces["sort-of-clevr"]
