"""What becomes of the energy when a learned simulator runs on for long."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.datasets import PhysicalMotion
from pyg_relational.datasets.physical_simulator import (
    FORCES,
    Array,
    Systems,
    energy,
    path_energy,
    simulate,
)
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train import configure, train
from pyg_relational.train.fit import build_data, build_module
from pyg_relational.train.run_folder import load_model, read_config

FOLDER = Path("runs/benchmark-rollout")
RECIPE = "spring-motion"
METHODS = {"model": "learned", "simulator": "simulator"}
# Frames of the table, and points of the curves.
SHOWN, POINTS = (10, 100, 1000), 200


def measure(
    run: str | None = None,
    frames: int = 1000,
    samples: int = 100,
    steps: int | None = None,
    data_root: str | None = None,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Lets a trained model of springs, and the simulator, go on from the same frames.

    The energy is that of the true springs; velocities are told from five places in a
    row, for the model and the simulator alike. Writes `rollout.json` and `rollout.png`
    to `runs/benchmark-rollout`.

    Args:
        run (str, optional): Run folder of the recipe `spring-motion`; one is trained
            by default. (default: `None`)
        frames (int): Frames to predict. (default: `1000`)
        samples (int): Test samples to start from. (default: `100`)
        steps (int, optional): Optimiser steps where a model is trained; as many as the
            recipe has by default. (default: `None`)
        data_root (str, optional): Folder of the dataset instead of the run's.
            (default: `None`)
        seed (int): Seed of the training. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: The run is not finished, or is not one of motion on springs
            without walls that starts from two frames or more, or a number is too
            small.
    """
    harness.check_at_least(10, frames=frames)
    harness.check_at_least(1, samples=samples, steps=steps)
    options = {"run": run, "frames": frames, "samples": samples, "steps": steps}
    folder = Path(run) if run is not None else _trained(steps, data_root, seed)
    config, model = read_config(folder), load_model(folder)
    _check_run(folder, config, model)
    if data_root is not None:
        config["dataset"] = {**config["dataset"], "root": data_root}
    config["accelerator"] = "cpu"
    dataset = build_data(config, build_module(config, model)).dataset("test")
    groups = _by_size(dataset, samples)
    errors = [roll_out(model, group, dataset.frame_time, frames) for group in groups]
    merged = {key: np.concatenate([e[key] for e in errors]) for key in errors[0]}
    made = harness.made_by(harness.command_line(measure, {**options, "seed": seed}))
    figures = {
        "table": _table(merged, dataset.frame_time, made["command"], made["hardware"]),
        **made,
        "samples": len(merged["model"]),
        "frame_time": dataset.frame_time,
        **_curves(merged),
    }
    return harness.write_record(FOLDER, "rollout", figures, record, draw(figures))


def roll_out(
    model: nn.Module, samples: list[Data], frame_time: float, frames: int
) -> dict[str, Array]:
    """Returns relative errors of the energy, and how far the model is from the
    truth."""
    (batch,) = DataLoader(samples, batch_size=len(samples))
    before = model.horizon
    model.horizon = frames  # type: ignore[assignment]
    try:
        with torch.no_grad():
            predicted = model.eval()(**forward_arguments(model, batch))
    finally:
        model.horizon = before
    count, start = len(samples), _start(batch, len(samples))
    steps = max(1, round(frame_time * FORCES["springs"].steps_per_time))
    true = simulate(start, frames + 1, frame_time, steps).position
    shown = batch.x[..., :2]
    # [S * N, T, 2] -> [S, N, T, 2]
    paths = {
        "model": _unflatten(torch.cat([shown, predicted[..., :2]], dim=1), count),
        "simulator": np.concatenate([_unflatten(shown[:, :-1], count), true], axis=2),
    }
    scale = energy(start)[:, None]
    first = batch.x.size(1)
    errors = {
        name: np.abs(path_energy(start, path, frame_time) - scale) / scale
        for name, path in paths.items()
    }
    distance = np.linalg.norm(paths["model"] - paths["simulator"], axis=-1).mean(1)
    # The energy of a path begins with its third frame.
    errors = {name: error[:, first - 2 :] for name, error in errors.items()}
    return {**errors, "distance": distance[:, first:-2]}


def draw(figures: dict[str, Any]) -> Any:
    """Return a picture of the error of the energy: median and quartiles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    ax = figure.subplots()
    for name, label in METHODS.items():
        low, median, high = zip(*figures["energy_error"][name], strict=True)
        (line,) = ax.plot(figures["frames"], median, label=label)
        ax.fill_between(figures["frames"], low, high, color=line.get_color(), alpha=0.2)
    ax.set(xlabel="frames", ylabel="relative error of the energy", yscale="log")
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


def _trained(steps: int | None, data_root: str | None, seed: int) -> Path:
    folder = FOLDER / "run"
    config = configure(
        RECIPE,
        command=f"pyg-relational train {RECIPE} --no-baseline",
        max_steps=steps,
        data_root=data_root,
        baseline=False,
        seed=seed,
    )
    train(config, folder, overwrite=True)
    return folder


def _check_run(folder: Path, config: dict[str, Any], model: nn.Module) -> None:
    spec = config["dataset"]
    args = spec["args"]
    of_springs = (
        spec["class"] == PhysicalMotion.__name__
        and args.get("force", "springs") == "springs"
        and args.get("box") is None
        and args.get("history", 2) > 1
        and hasattr(model, "horizon")
    )
    if not of_springs:
        raise UsageError(
            f"'{folder}' holds a {type(model).__name__} for {spec['class']} with "
            f"{args}; name a run of the recipe '{RECIPE}': springs without walls, and "
            "two frames or more to start from"
        )


def _by_size(dataset: PhysicalMotion, samples: int) -> list[list[Data]]:
    """The first samples that have a spring, those of the same size together."""
    groups: dict[int, list[Data]] = {}
    for sample in dataset[:samples]:
        # Without any spring, there may be no energy that an error is relative to.
        if sample.edge_index.numel():
            groups.setdefault(sample.x.size(0), []).append(sample)
    return list(groups.values())


def _start(batch: Data, count: int) -> Systems:
    """The last frame that is shown."""
    masses = batch.x.size(0) // count
    source, target = batch.edge_index
    coupling = np.zeros((count, masses, masses))
    sample, first = (source // masses).numpy(), (source % masses).numpy()
    coupling[sample, first, (target % masses).numpy()] = FORCES["springs"].strength
    return Systems(
        _unflatten(batch.x[:, -1, :2], count),
        _unflatten(batch.velocity, count),
        coupling,
        np.ones((count, masses)),
    )


def _unflatten(values: Tensor, count: int) -> Array:
    return values.double().unflatten(0, (count, -1)).numpy()


def _curves(errors: dict[str, Array]) -> dict[str, Any]:
    """Quartiles over samples at some frames."""
    length = errors["model"].shape[1]
    index = np.unique(np.linspace(0, length - 1, POINTS).round().astype(int))

    def quartiles(values: Array) -> list[list[float]]:
        points = np.quantile(values[:, index], [0.25, 0.5, 0.75], axis=0).T
        return [[float(f"{value:.4g}") for value in point] for point in points]

    return {
        "frames": (index + 1).tolist(),
        "energy_error": {name: quartiles(errors[name]) for name in METHODS},
        "distance": quartiles(errors["distance"]),
    }


def _table(
    errors: dict[str, Array], frame_time: float, command: str, kind: dict[str, Any]
) -> dict[str, Any]:
    length = errors["model"].shape[1]
    shown = [frame for frame in SHOWN if frame <= length]
    shown = [*shown, length] if length not in SHOWN[: len(shown)] else shown
    rows = []
    for frame in shown:
        cells = [
            np.quantile(errors[n][:, frame - 1], [0.25, 0.5, 0.75]) for n in errors
        ]
        text = [f"{m:.2g} [{low:.2g} to {high:.2g}]" for low, m, high in cells]
        rows.append([f"{frame:,}", f"{frame * frame_time:,.0f}", *text])
    return {
        "columns": ["frames", "time", "energy, learned", "simulator", "distance"],
        "rows": rows,
        "caption": (
            "Relative error of the energy, and mean distance of a mass from the "
            f"simulator's, median [quartiles] over {len(errors['model'])} test "
            f"samples; {kind['processor']}. `{command}`"
        ),
    }


if __name__ == "__main__":
    harness.main(measure)
