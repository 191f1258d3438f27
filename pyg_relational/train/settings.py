"""Single options of a resolved configuration, by name: ``optimizer.learning_rate``."""

import copy
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.recipe import PARTS
from pyg_relational.train.registry import dataset_class, model_class

# A dataset's split and its transforms belong to the training code; models have no
# arguments of these names.
_RESERVED = {
    "self",
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


def apply_settings(
    config: dict[str, Any], settings: dict[str, Any], where: str = "--set"
) -> dict[str, Any]:
    """Return a copy of a configuration with some options set.

    Args:
        config (dict): What :func:`~pyg_relational.train.recipe.resolve` returned.
        settings (dict): Values of options by name, such as ``{"budget.batch_size": 8,
            "model.args.dropout": 0.1}``.
        where (str): Where the settings come from, for messages. (default: ``"--set"``)

    Raises:
        UsageError: If there is no such option or a value is not one of its kind.
    """
    check_settings(config, ((key, [settings[key]]) for key in settings), where)
    config = copy.deepcopy(config)
    for key, value in settings.items():
        *parents, name = key.split(".")
        target = config
        for parent in parents:
            target = target[parent]
        target[name] = copy.deepcopy(value)
    if "budget.max_epochs" in settings:
        # A model's own number of epochs would hide the one that was asked for.
        for part in ("model", "baseline"):
            if f"{part}.max_epochs" not in settings:
                (config[part] or {}).pop("max_epochs", None)
    return config


def check_settings(
    config: dict[str, Any], values: Iterable[tuple[str, list[Any]]], where: str
) -> None:
    """Check that options exist and that each may take some values.

    Args:
        config (dict): What :func:`~pyg_relational.train.recipe.resolve` returned.
        values (Iterable): Names of options, each with the values it shall take.
        where (str): Where they come from, for messages.

    Raises:
        UsageError: As :func:`apply_settings`.
    """
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
    model within a model; ``args.*`` stands for any further ones.

    Args:
        config (dict): What :func:`~pyg_relational.train.recipe.resolve` returned.
    """
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
    # Of the constructor itself: a class may have a metaclass with another signature.
    constructor: Any = find(spec["class"]).__init__
    names = set()
    for name, parameter in inspect.signature(constructor).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            names.add("args.*")
        elif name not in _RESERVED and parameter.kind is not parameter.VAR_POSITIONAL:
            names.add(f"args.{name}")
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
