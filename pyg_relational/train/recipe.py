"""Recipes: YAML files that name dataset, models, optimiser and budget.

A recipe is laid together of layers (the recipe, its size, its representation), may be
changed option by option, names classes that are looked up in this package or in modules
that the user allows, and may say in its section ``search`` what `tune` tries. Torch is
imported once a class is looked up: the command line lists recipes without it.
"""

import copy
import importlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_relational._checks import UsageError, argument_names, nearest_names
from pyg_relational._files import parse_yaml, read_text

if TYPE_CHECKING:
    from optuna.trial import Trial
    from torch import nn
    from torch_geometric.transforms import BaseTransform

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
NAMES = {"name", "description", "model", "baseline", "spread"}
MAPPINGS = {
    "budget",
    "dataset",
    "models",
    "optimizer",
    "representations",
    "search",
    "sizes",
    "solved_above",
}
LISTS = {"published", "references"}
KINDS: tuple[tuple[set[str], type, str], ...] = (
    (NAMES, str, "a name"),
    (MAPPINGS, dict, "a mapping"),
    (LISTS, list, "a list"),
)
# Their entries are laid over the recipe, so they look like it.
LAYERS = ("sizes", "representations")
# A dataset's split and its transforms belong to the training code; models have no
# arguments of these names.
_RESERVED = {
    "root",
    "split",
    "transform",
    "pre_transform",
    "pre_filter",
    "force_reload",
}
# Chosen by --model and --data-root, so that names and records are true.
_ELSEWHERE = {
    "dataset.class",
    "dataset.root",
    "model.class",
    "model.dataset",
    "model.search",
    "baseline.class",
    "baseline.dataset",
    "baseline.search",
}
# The least value of whole numbers; other numbers may not be negative.
_WHOLE = {
    "model.max_epochs": 1,
    "baseline.max_epochs": 1,
    "optimizer.warmup_steps": 0,
    "budget.max_epochs": 1,
    "budget.batch_size": 1,
    "budget.validate_every": 1,
    "budget.patience": 0,
    "budget.max_steps": 1,
    "budget.pairs": 1,
}
_NUMBERS = {
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "budget.max_minutes",
    "budget.save_minutes",
}
_MAY_BE_NONE = {"budget.max_steps", "budget.max_minutes", "budget.pairs"}
SEARCH_KEYS = {"low", "high", "log", "step", "choices"}
# Modules whose classes recipes and saved models may name, too.
_allowed: set[str] = set()


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(recipe: str) -> dict[str, Any]:
    """Read a recipe by name, or from a file of one's own."""
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

    Later wins: the recipe, its size, the representation, the representation's size."""
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


def configure(
    recipe: str,
    *,
    command: str,
    size: str = "laptop",
    representation: str | None = None,
    model: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    max_steps: int | None = None,
    data_root: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    baseline: bool = True,
    accelerator: str = "auto",
    precision: str = "32-true",
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Resolve a recipe and apply what was asked for on top of it."""
    config = resolve(load_recipe(recipe), size, representation, model)
    # Late: a misspelt recipe is answered at once.
    import torch

    from pyg_relational.train.run_folder import versions

    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UsageError("--accelerator gpu: torch finds no GPU; use --accelerator cpu")
    config = apply_settings(config, settings or {})
    overrides = {
        ("budget", "max_epochs"): epochs,
        ("budget", "max_steps"): max_steps,
        ("budget", "batch_size"): batch_size,
        ("dataset", "root"): data_root,
        ("optimizer", "learning_rate"): learning_rate,
    }
    for (section, key), value in overrides.items():
        if value is not None:
            config[section] = {**config[section], key: value}
    if epochs is not None:
        _forget_epochs(config, ())
    if not baseline or config["baseline_name"] == config["model_name"]:
        config["baseline_name"] = config["baseline"] = None
    if not torch.cuda.is_available() and accelerator == "auto":
        accelerator = "cpu"
    return {
        **config,
        "seed": seed,
        "accelerator": accelerator,
        "precision": precision,
        "command": command,
        "versions": versions(),
    }


def merge(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with another laid over it, down to the innermost mappings."""
    merged = dict(base)
    for key, value in update.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def check_structure(path: Path, content: dict[str, Any], place: str = "") -> None:
    """Check that every section is of its kind: a name, a mapping or a list."""
    for name, value in content.items():
        where = f"'{place}{name}' of recipe '{path}'"
        for names, kind, text in KINDS:
            # An empty part, or no baseline.
            empty = value is None and (name == "baseline" or place)
            if name in names and not isinstance(value, kind) and not empty:
                raise UsageError(f"{where} must be {text}, not {str(value)[:80]!r}")
        if not isinstance(value, dict):
            continue
        if not all(isinstance(key, str) for key in value):
            raise UsageError(f"{where} has a key that is no text: {list(value)[:9]}")
        if name == "models":
            for key, spec in value.items():
                _check_model(f"'{place}models.{key}' of recipe '{path}'", spec)
        if name in LAYERS:
            for key, layer in value.items():
                if layer is not None and not isinstance(layer, dict):
                    raise UsageError(f"{where}: '{key}' must be a mapping of sections")
                check_structure(path, layer or {}, f"{place}{name}.{key}.")


def check_part(where: str, part: dict[str, Any]) -> None:
    """Check what a description of a model or dataset, or a piece of one, holds.

    Args:
        where (str): What is checked, for messages.
        part (dict): The description.

    Raises:
        UsageError: If a value is not of its kind; it is named.
    """
    kinds = {"class": str, "args": dict, "dataset": dict, "search": dict, "root": str}
    for key, kind in kinds.items():
        if key in part and not isinstance(part[key], kind):
            raise UsageError(
                f"{where}: '{key}' must be a {'text' if kind is str else 'mapping'}, "
                f"not {str(part[key])[:80]!r}"
            )


def _check_model(where: str, spec: Any) -> None:
    """A layer may name a part of a model's description only."""
    if not isinstance(spec, dict):
        raise UsageError(f"{where} must be a mapping with class and args, not {spec!r}")
    check_part(where, spec)


def apply_settings(
    config: dict[str, Any], settings: dict[str, Any], where: str = "--set"
) -> dict[str, Any]:
    """Return a copy of a configuration with some options set."""
    config = copy.deepcopy(config)
    if not settings:
        return config
    check_settings(config, ((key, [settings[key]]) for key in settings), where)
    for key, value in settings.items():
        *parents, name = key.split(".")
        target = config
        for parent in parents:
            target = target[parent]
        target[name] = copy.deepcopy(value)
    if "budget.max_epochs" in settings:
        _forget_epochs(config, settings)
    return config


def _forget_epochs(config: dict[str, Any], kept: Iterable[str]) -> None:
    """A model's own number of epochs would hide the one that was asked for."""
    for part in ("model", "baseline"):
        if f"{part}.max_epochs" not in kept:
            (config[part] or {}).pop("max_epochs", None)


def check_settings(
    config: dict[str, Any], values: Iterable[tuple[str, list[Any]]], where: str
) -> None:
    """Check that options exist and that each may take some values."""
    known = known_options(config)
    for key, examples in values:
        anything = f"{key.rpartition('.')[0]}.*"
        if key not in known and anything not in known:
            hint = nearest_names(key, known)
            raise UsageError(f"{where}: unknown option '{key}'; {hint}")
        for value in examples:
            _check_value(key, value, where)


def known_options(config: dict[str, Any]) -> set[str]:
    """Return the names of all options of a configuration.

    The arguments of models and datasets are those of their constructors, also of a
    model within a model; ``args.*`` stands for any further ones."""
    known = set()
    for part, (required, optional) in PARTS.items():
        if config[part] is None:
            continue
        for name in required | optional:
            if name == "args":
                find = dataset_class if part == "dataset" else model_class
                known |= {f"{part}.{key}" for key in _arguments(find, config[part])}
            else:
                known.add(f"{part}.{name}")
    return known - _ELSEWHERE


def _arguments(find: Callable[[str], type[Any]], spec: dict[str, Any]) -> set[str]:
    arguments, others = argument_names(find(spec["class"]))
    names = {f"args.{name}" for name in arguments if name not in _RESERVED}
    if others:
        names.add("args.*")
    for name in arguments:
        inner = spec["args"].get(name)
        if isinstance(inner, dict) and set(inner) == {"class", "args"}:
            names |= {f"args.{name}.{key}" for key in _arguments(find, inner)}
    return names


def _check_value(key: str, value: Any, where: str) -> None:
    if value is None and key in _MAY_BE_NONE:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key in _WHOLE and not (
        number and isinstance(value, int) and value >= _WHOLE[key]
    ):
        least = _WHOLE[key]
        raise UsageError(
            f"{where}: {key} must be a whole number of at least {least}, not {value!r}"
        )
    if key in _NUMBERS and not (number and math.isfinite(value) and value >= 0):
        raise UsageError(
            f"{where}: {key} must be a number of at least 0, not {value!r}"
        )


def allow(module: str) -> None:
    """Let recipes and saved models name the classes of a module, as
    ``"module.Class"``, for as long as this process runs. It is imported when one is
    named, which runs its code: allow what you trust."""
    _allowed.add(module)


def allowed_modules() -> list[str]:
    """Return what :func:`allow` was called with, for a process that shall have it
    too."""
    return sorted(_allowed)


@contextmanager
def allowing(modules: Iterable[str]) -> Iterator[None]:
    """As :func:`allow`, for as long as the context lasts."""
    added = set(modules) - _allowed
    _allowed.update(added)
    try:
        yield
    finally:
        _allowed.difference_update(added)


def model_class(name: str) -> "type[nn.Module]":
    """Return the model of :mod:`pyg_relational.models` with this class name."""
    from torch import nn

    return _class("pyg_relational.models", name, nn.Module)


def dataset_class(name: str) -> type[Any]:
    """Return the dataset of :mod:`pyg_relational.datasets` with this class name."""
    from torch.utils.data import Dataset

    return _class("pyg_relational.datasets", name, Dataset)


def transform_class(name: str) -> "type[BaseTransform]":
    """Return the transform of :mod:`pyg_relational.transforms` with this class name."""
    from torch_geometric.transforms import BaseTransform

    return _class("pyg_relational.transforms", name, BaseTransform)


def build_model(spec: dict[str, Any]) -> "nn.Module":
    """Construct the model that a recipe describes."""
    model = model_class(spec["class"])
    try:
        return model(
            **{
                name: build_model(value) if _is_spec(value) else value
                for name, value in spec["args"].items()
            }
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        names, is_open = argument_names(model)
        for name in spec["args"]:
            if name not in names and not is_open:
                raise UsageError(
                    f"model {spec['class']} takes no argument '{name}'; "
                    f"{nearest_names(name, names)}"
                ) from error
        raise UsageError(f"model {spec['class']}: {error}") from error


def _is_spec(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"class", "args"}


def _class(module: str, name: str, kind: type) -> type[Any]:
    place, _, plain = str(name).rpartition(".")
    if place in _allowed:
        found = getattr(importlib.import_module(place), plain, None)
        if isinstance(found, type) and issubclass(found, kind):
            return found
        raise UsageError(f"'{place}' has no {kind.__name__} named '{plain}'")
    classes = {
        key: value
        for key, value in vars(importlib.import_module(module)).items()
        if isinstance(value, type) and issubclass(value, kind)
    }
    if name not in classes:
        hint = f". Classes of '{place}' need --allow {place}" if place else ""
        raise UsageError(
            f"a recipe may only name classes of {module}, not '{name}'; "
            f"{nearest_names(name, classes)}{hint}"
        )
    return classes[name]


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if both are whole.

    Args:
        low (int or float): The smallest value.
        high (int or float): The largest value.
        log (bool): If set, the logarithm of the value is uniform. (default: ``False``)
        step (int or float, optional): Distance of the values. (default: ``None``)
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def examples(self) -> list[Any]:
        """Return values that must be legal if all of them are to be."""
        return [self.low, self.high]

    def suggest(self, trial: "Trial", key: str) -> Any:
        """Return the value that a trial takes for an option."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(key, self.low, self.high, step=step, log=self.log)
        return trial.suggest_float(
            key, self.low, self.high, step=self.step, log=self.log
        )

    def decode(self, stored: Any) -> Any:
        """Return the value that a study stored."""
        return stored


@dataclass(frozen=True)
class Choices:
    """One of some values, which need not be numbers.

    Args:
        choices (tuple): The values: numbers, strings, booleans, ``None``, lists.
    """

    choices: tuple[Any, ...]

    def examples(self) -> list[Any]:
        """Return values that must be legal if all of them are to be."""
        return list(self.choices)

    def suggest(self, trial: "Trial", key: str) -> Any:
        """Return the value that a trial takes for an option."""
        # As JSON: a study stores no lists.
        texts = [json.dumps(choice) for choice in self.choices]
        return self.decode(trial.suggest_categorical(key, texts))

    def decode(self, stored: Any) -> Any:
        """Return the value that a study stored."""
        return json.loads(stored)


Distribution = Range | Choices


def check_search(path: Path, content: dict[str, Any]) -> None:
    """Check every section ``search`` of a recipe's file."""
    for place, block in _blocks(content):
        if "search" in block:
            read_space(block["search"], f"'{place}search' of recipe '{path}'")


def read_space(search: Any, where: str) -> dict[str, Distribution]:
    """Return the distribution of each option of a section ``search``."""
    if not isinstance(search, dict):
        raise UsageError(
            f"{where} must be a mapping of options to distributions, not {search!r}"
        )
    return {str(key): _read(value, f"{where}: {key}") for key, value in search.items()}


def short(value: Any) -> str:
    """Return a value as a person reads it: floats with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _blocks(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", content
    for section in ("sizes", "representations", "models"):
        blocks = content.get(section)
        for name, block in blocks.items() if isinstance(blocks, dict) else ():
            if isinstance(block, dict):
                inner = _blocks(block) if section != "models" else [("", block)]
                for place, part in inner:
                    yield f"{section}.{name}.{place}", part


def _read(value: Any, where: str) -> Distribution:
    if not isinstance(value, dict):
        raise UsageError(
            f"{where} must be {{low: ..., high: ...}} or {{choices: [...]}}, "
            f"not {value!r}"
        )
    for key in sorted(map(str, set(value) - SEARCH_KEYS)):
        raise UsageError(
            f"{where} has an unknown key '{key}'; {nearest_names(key, SEARCH_KEYS)}"
        )
    if "choices" in value:
        return _read_choices(value, where)
    if missing := sorted({"low", "high"} - set(value)):
        raise UsageError(f"{where} lacks {', '.join(missing)}")
    return _read_range(value, where)


def _read_choices(value: dict[str, Any], where: str) -> Choices:
    choices = value["choices"]
    if len(value) > 1:
        others = ", ".join(sorted(set(value) - {"choices"}))
        raise UsageError(f"{where} has choices, which exclude {others}; keep either")
    if not isinstance(choices, list) or not choices:
        raise UsageError(
            f"{where}: choices must be a list of values with at least one, "
            f"not {choices!r}"
        )
    texts = [json.dumps(choice, default=str) for choice in choices]
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"{where}: choices hold {text} twice; keep one")
    # Dates and the like become what a command line would have said.
    return Choices(tuple(json.loads(text) for text in texts))


def _read_range(value: dict[str, Any], where: str) -> Range:
    for key in ("low", "high", *(["step"] if value.get("step") is not None else [])):
        _check_number(value[key], f"{where}: {key}")
    low, high = value["low"], value["high"]
    log, step = value.get("log", False), value.get("step")
    if not isinstance(log, bool):
        raise UsageError(f"{where}: log must be true or false, not {log!r}")
    if low > high:
        raise UsageError(f"{where}: low {low} is above high {high}; exchange them")
    if log and low <= 0:
        raise UsageError(f"{where}: log needs a low above 0, not {low}")
    if step is None:
        return Range(low, high, log)
    if log:
        raise UsageError(f"{where}: log and step exclude each other; keep either")
    whole = isinstance(low, int) and isinstance(high, int)
    if step <= 0 or (whole and not isinstance(step, int)):
        kind = "whole number" if whole else "number"
        raise UsageError(f"{where}: step must be a {kind} above 0, not {step}")
    # As decimals: 0.3 is three steps of 0.1, in binary it is not.
    steps = (Fraction(str(high)) - Fraction(str(low))) / Fraction(str(step))
    if steps.denominator != 1:
        raise UsageError(
            f"{where}: high {high} is no whole number of steps of {step} above {low}"
        )
    return Range(low, high, log, step)


def _check_number(value: Any, where: str) -> None:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value):
        hint = ""
        if isinstance(value, str):
            hint = " (YAML reads 1e-4 as text: write 1.0e-4)"
        raise UsageError(f"{where} must be a number, not {value!r}{hint}")
