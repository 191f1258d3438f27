"""Training, evaluation and recording of whole runs, as the command line offers them."""

import copy
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from pyg_relational._checks import UsageError
from pyg_relational._files import write_json
from pyg_relational.data import TemporalGraph
from pyg_relational.train import plots as pictures
from pyg_relational.train import plots as score_axes
from pyg_relational.train import plots as temporal_pictures
from pyg_relational.train.datamodule import SPLITS
from pyg_relational.train.fit import FitResult, build_data, build_module, fit, test
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.processes import processes, rank
from pyg_relational.train.recipe import apply_settings, load_recipe, merge, resolve
from pyg_relational.train.references import reference_of
from pyg_relational.train.registry import build_model
from pyg_relational.train.results import collect, read_results, with_solved
from pyg_relational.train.run_folder import load_model, occupied, read_config, versions


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
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UsageError("--accelerator gpu: torch finds no GPU; use --accelerator cpu")
    config = resolve(load_recipe(recipe), size, representation, model)
    del config["search"]
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
        for part in ("model", "baseline"):
            (config[part] or {}).pop("max_epochs", None)
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


def train(
    config: dict[str, Any], folder: Path, resume: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Train the model and its baseline, and write the whole run folder.

    ``results.json`` is written last: a folder that has it is complete. Of the processes
    that ``torchrun`` started the first writes it."""
    with processes(config["accelerator"]), ExitStack() as stack:
        if config["baseline"] is not None:
            # Before an hour of training: its arguments may be wrong.
            build_model(config["baseline"])
        references = {}
        if rank() == 0:
            # Likewise: a package may be missing.
            references = _reference_scores(config)
            stack.enter_context(occupied(folder))
        return _train(config, folder, resume, overwrite, references)


def _train(
    config: dict[str, Any],
    folder: Path,
    resume: bool,
    overwrite: bool,
    references: dict[str, dict[str, dict[str, float]]],
) -> dict[str, Any]:
    ours = fit(config, folder, resume, overwrite)
    metric, groups = ours.module.task.metric, ours.module.groups
    curves = {config["model_name"]: ours.curve}
    baseline = None
    if config["baseline"] is not None:
        other = _baseline_config(config)
        baseline = fit(other, folder / "baseline", resume, overwrite)
    if rank() > 0:
        return {}
    if baseline is not None:
        write_json(
            folder / "baseline" / "results.json",
            collect(other, _figures(baseline), None, metric, {}),
        )
        curves[config["baseline_name"]] = baseline.curve
    first = next(iter(groups.values()), ())
    pictures.learning_curve(folder / "learning-curve.png", curves, metric, first)
    _draw(folder, config, ours.module, ours.data.dataset("test"))
    other_figures = None if baseline is None else _figures(baseline)
    results = collect(config, _figures(ours), other_figures, metric, references)
    score_axes.draw_run(folder, results)
    write_json(folder / "results.json", results)
    return results


def evaluate(folder: Path, data_root: str | None = None) -> dict[str, Any]:
    """Test the saved model of a run again, and draw its pictures of test samples."""
    config, model = read_config(folder), load_model(folder)
    recorded = read_results(folder)
    if data_root is not None:
        config["dataset"] = {**config["dataset"], "root": data_root}
    if not torch.cuda.is_available():
        config["accelerator"] = "cpu"
    module = build_module(config, model)
    data = build_data(config, module)
    with processes(config["accelerator"]):
        scores = test(config, module, data)
        if rank() > 0:
            return {}
        _draw(folder, config, module, data.dataset("test"))
    scores = with_solved(scores, config.get("solved_above", {}))
    results = copy.deepcopy(recorded)
    for grouping, values in scores.items():
        for name, value in values.items():
            results["test"][grouping][name]["ours"] = value
    return results


def _draw(
    folder: Path, config: dict[str, Any], module: RelationalModule, dataset: Any
) -> None:
    """Pictures of what the model makes of test samples, where they can be drawn."""
    follow = config["dataset"].get("follow_batch", [])
    if hasattr(dataset, "scene_image"):
        pictures.scenes(folder / "scenes.png", module, dataset, follow)
    if isinstance(dataset[0], TemporalGraph):
        temporal_pictures.draw(folder, module, dataset, follow)


def _baseline_config(config: dict[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "model_name": config["baseline_name"],
        "model": {k: v for k, v in config["baseline"].items() if k != "dataset"},
        "dataset": merge(config["dataset"], config["baseline"].get("dataset", {})),
        "baseline_name": None,
        "baseline": None,
    }


def _reference_scores(
    config: dict[str, Any],
) -> dict[str, dict[str, dict[str, float]]]:
    """Test scores of the methods without a network that the recipe names."""
    methods = {name: reference_of(name) for name in config["references"]}
    if not methods:
        return {}
    module = build_module(config, build_model(config["model"]))
    data = build_data(config, module)
    splits = [data.dataset(split) for split in SPLITS]
    return {
        name: module.score_of(method(*splits), splits[-1]._data)
        for name, method in methods.items()
    }


def _figures(result: FitResult) -> dict[str, Any]:
    return {"scores": result.scores, "training": result.training}
