"""Limits on what is read from JSON and YAML."""

from pathlib import Path

import pytest

from pyg_relational._checks import MOST, UsageError
from pyg_relational._files import MAX_BYTES, parse_yaml, read_json, read_yaml
from pyg_relational.cli import main
from pyg_relational.train.recipe import load_recipe, recipe_names

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_references_are_followed_within_reason() -> None:
    assert parse_yaml("a: &a [1]\nb: [*a, *a]", "it") == {"a": [1], "b": [[1], [1]]}
    with pytest.raises(UsageError, match="it has more than 100,000 entries"):
        parse_yaml(BOMB, "it")
    with pytest.raises(UsageError, match="a reference names what it is part of"):
        parse_yaml("&a [*a]", "it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['true']", "could not determine a constr"),
        ("[" * 5000, "recursion"),
        ("!!bool perhaps", "not valid YAML: "),
        ("2020-99-99", "month must be in 1..12"),
    ],
)
def test_what_yaml_refuses(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(
        UsageError, match=rf"(?s)a\.yaml' is not valid YAML.*{message}|{message}"
    ):
        read_yaml(tmp_path / "a.yaml")


def test_json_that_is_too_deep_or_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="is not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match="is larger than"):
        read_json(tmp_path / "a.json")


def test_messages_have_a_limit() -> None:
    assert len(str(UsageError("a" * 10**6))) == MOST + 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [1]", "'model' of recipe .* must be a name, not"),
        ("budget: 3", "'budget' of recipe .* must be a mapping, not '3'"),
        ("sizes: {laptop: 3}", "'laptop' must be a mapping of sections"),
        ("sizes: {laptop: {budget: 3}}", "'sizes.laptop.budget' of recipe"),
        ("models: {a: {class: A, args: 3}}", "'args' must be a mapping, not '3'"),
        ("models: {1: {}}", "a key that is no text"),
        ("published: a", "'published' of recipe .* must be a list"),
    ],
)
def test_sections_of_another_kind(tmp_path: Path, text: str, message: str) -> None:
    sections = ("name", "description", "dataset", "model", "optimizer", "budget")
    empty = {"name": "a", "description": "a", "model": "a"}
    name = text.partition(":")[0]
    lines = [f"{x}: {empty.get(x, '{}')}" for x in sections if x != name]
    (tmp_path / "a.yaml").write_text("\n".join([*lines, text]))
    with pytest.raises(UsageError, match=message):
        load_recipe(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("name", recipe_names())
def test_our_recipes_are_fine(name: str) -> None:
    assert load_recipe(name)["name"] == name


def test_a_hostile_configuration_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(BOMB)
    for option in (
        ["--config", f"{tmp_path / 'a.yaml'}"],
        [f"--config={tmp_path / 'a.yaml'}"],
    ):
        assert main(["train", "babi", *option]) == 2
        assert "more than 100,000 entries" in capsys.readouterr().err
