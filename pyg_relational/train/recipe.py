"""Recipes: YAML files that name dataset, models, optimiser and budget."""

import copy
from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.files import parse_yaml, read_text
from pyg_relational.train.recipe_structure import check_part, check_structure
from pyg_relational.train.search_space import check_search

RECIPES = Path(__file__).parent / "recipes"
SECTIONS = {
    "name",
    "description",
    "dataset",
    "model",
    "models",
    "baseline",
    "optimizer",
    "budget",
    "published",
    "references",
    "representations",
    "search",
    "solved_above",
    "spread",
    "sizes",
}
SPREADS = ("deviation", "interval")
# Keys of the resolved parts: required, then optional.
PARTS = {
    "dataset": ({"class", "root", "args"}, {"follow_batch", "augment"}),
    "model": ({"class", "args"}, {"max_epochs", "dataset", "search"}),
    "baseline": ({"class", "args"}, {"max_epochs", "dataset", "search"}),
    "optimizer": (
        {"class", "learning_rate", "weight_decay", "warmup_steps"},
        {"betas", "gradient_clip"},
    ),
    "budget": (
        {"max_epochs", "batch_size", "validate_every", "patience"},
        {"max_steps", "max_minutes", "pairs", "pair_cost", "save_minutes"},
    ),
}
REQUIRED = {"name", "description", "dataset", "model", "optimizer", "budget"}


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(recipe: str) -> dict[str, Any]:
    """Read a recipe by name, or from a file of one's own.

    Args:
        recipe (str): A name from :func:`recipe_names`, or a path to a ``.yaml`` file.

    Returns:
        dict: The sections of the file as they stand.

    Raises:
        UsageError: If there is no such recipe, or the file is not a recipe.
    """
    path = Path(recipe) if recipe.endswith(".yaml") else RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        hint = nearest_names(recipe, recipe_names())
        raise UsageError(f"unknown recipe '{recipe}'; {hint}")
    content = parse_yaml(read_text(path), f"recipe '{path}'")
    if not isinstance(content, dict):
        raise UsageError(f"recipe '{path}' must be a mapping of sections")
    for section in sorted(map(str, set(content) - SECTIONS)):
        hint = nearest_names(section, SECTIONS)
        raise UsageError(f"recipe '{path}' has an unknown section '{section}'; {hint}")
    if missing := sorted(REQUIRED - set(content)):
        raise UsageError(f"recipe '{path}' lacks the sections {', '.join(missing)}")
    check_structure(path, content)
    check_search(path, content)
    return content


def size_names(recipe: dict[str, Any]) -> list[str]:
    """Return the names of the sizes that a recipe offers, in its order."""
    variants = recipe.get("representations", {}).values()
    blocks = [recipe.get("sizes", {}), *(v.get("sizes", {}) for v in variants)]
    return list(dict.fromkeys(name for block in blocks for name in block))


def resolve(
    recipe: dict[str, Any],
    size: str = "laptop",
    representation: str | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Merge a recipe with one size and one representation, and choose the model.

    Later wins: the recipe, its size, the representation, the representation's size.

    Args:
        recipe (dict): What :func:`load_recipe` returned.
        size (str): A key of ``sizes``. (default: ``"laptop"``)
        representation (str, optional): A key of ``representations``; ``None`` takes
            the first. (default: ``None``)
        model (str, optional): A key of ``models``; ``None`` takes the recipe's own.
            (default: ``None``)

    Returns:
        dict: ``recipe, size, representation, dataset, model_name, model,
        baseline_name, baseline, optimizer, budget, published, references,
        solved_above, spread, search``. The part ``dataset`` of a model is laid over the
        recipe's, that of the baseline over both.

    Raises:
        UsageError: If one of the names is not in the recipe, or a part of it lacks a
            key or has an unknown one.
    """
    variants = recipe.get("representations", {})
    if representation is None and variants:
        representation = next(iter(variants))
    variant = (
        {}
        if representation is None
        else _pick(variants, representation, "representation")
    )
    sizes = {**recipe.get("sizes", {}), **variant.get("sizes", {})}
    _pick(sizes, size, "size")

    merged = copy.deepcopy(recipe)
    for layer in (
        recipe.get("sizes", {}).get(size),
        variant,
        variant.get("sizes", {}).get(size),
    ):
        merged = merge(merged, layer or {})
    models = merged.get("models", {})
    model_name = model or merged["model"]
    baseline_name = merged.get("baseline")
    chosen = copy.deepcopy(_pick(models, model_name, "model"))
    # What a model reads differently, such as words instead of sentences.
    override, search = {}, {}
    if isinstance(chosen, dict):
        override, search = chosen.pop("dataset", {}), chosen.pop("search", {})
    config = {
        "recipe": merged["name"],
        "size": size,
        "representation": representation,
        "dataset": merge(merged["dataset"], override),
        "model_name": model_name,
        "model": chosen,
        "baseline_name": baseline_name,
        "baseline": baseline_name and _pick(models, baseline_name, "baseline"),
        "optimizer": merged["optimizer"],
        "budget": merged["budget"],
        "published": merged.get("published", []),
        "references": merged.get("references", []),
        "solved_above": merged.get("solved_above", {}),
        # What tables show behind a mean over seeds.
        "spread": merged.get("spread", SPREADS[0]),
        # Options of all models, and those of the model itself.
        "search": {**merged.get("search", {}), **search},
    }
    _pick(dict.fromkeys(SPREADS), config["spread"], "spread")
    for part, (required, optional) in PARTS.items():
        if config[part] is not None:
            _check_keys(config["recipe"], part, config[part], required, optional)
    return config


def _pick(options: dict[str, Any], name: str, what: str) -> Any:
    if name not in options:
        raise UsageError(f"unknown {what} '{name}'; {nearest_names(name, options)}")
    return options[name]


def _check_keys(
    recipe: str, part: str, content: Any, required: set[str], optional: set[str]
) -> None:
    where = f"'{part}' of recipe '{recipe}'"
    if not isinstance(content, dict):
        raise UsageError(f"{where} must be a mapping, not {content!r}")
    known = required | optional
    for key in sorted(map(str, set(content) - known)):
        raise UsageError(
            f"{where} has an unknown key '{key}'; {nearest_names(key, known)}"
        )
    if missing := sorted(required - set(content)):
        raise UsageError(f"{where} lacks {', '.join(missing)}")
    check_part(where, content)


def merge(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with another laid over it, down to the innermost mappings."""
    merged = dict(base)
    for key, value in update.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged
