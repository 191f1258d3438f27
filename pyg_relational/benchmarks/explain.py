"""Is the explanation right? Sort-of-CLEVR knows which pair decides an answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import harness
from pyg_relational.explain import attention_matrix, pair_attribution
from pyg_relational.explain.attribution import SumsPairs, pooled
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train.recipe import dataset_class
from pyg_relational.train.run_folder import load_model, read_config

FOLDER = Path("runs/benchmark-explain")
CONTROL = "random weights"
_BATCH = 16

# For each pair of a question, in the order of its matrix, how much it counts.
Scores = list[Tensor]
Curves = dict[str, Tensor]


def run(
    runs: str,
    split: str = "test",
    scenes: int = 200,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Compares explanations of trained models with the pairs that decide the answers.

    For every question about the nearest or the furthest object, the true pair is the
    asked object with that one. AUROC is the probability that the true pair scores
    higher than another pair of the scene (the size of a score counts, not its sign;
    order within a pair is ignored, objects with themselves are left out); 0.5 is
    chance. Deletion takes pairs out of the model's sum,
    the most important first, and insertion puts them in; the figure is the mean
    probability of the answer given with all pairs, over all steps: low is good for
    deletion, high for insertion.

    Args:
        runs (str): Run folders of Sort-of-CLEVR models that sum over pairs, separated
            by commas.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"test"`)
        scenes (int): Scenes at most. (default: `200`)
        seed (int): Seed of the random weights and orders. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in `explain.json`.

    Raises:
        UsageError: A run is not finished, or its model or dataset knows no pairs.
    """
    harness.check_at_least(1, scenes=scenes)
    figures: dict[str, list[dict[str, float]]] = {}
    curves: dict[str, list[Curves]] = {}
    name = ""
    for folder in map(Path, runs.split(",")):
        model, data = load_model(folder), _scenes(folder, split, scenes)
        if not isinstance(model, SumsPairs):
            raise UsageError(
                f"'{folder}' holds a {type(model).__name__}, which does not sum over "
                f"pairs; train --model relation or attention"
            )
        name = type(model).__name__
        torch.manual_seed(seed)
        for kind in ("trained", CONTROL):
            if kind == CONTROL:
                reset = model.reset_parameters
                assert callable(reset)
                reset()
            for key, (result, curve) in _explain(model, data, seed).items():
                figures.setdefault(f"{kind}: {key}", []).append(result)
                curves.setdefault(f"{kind}: {key}", []).append(curve)
    options = {"runs": runs, "split": split, "scenes": scenes, "seed": seed}
    command = harness.command_line(run, options)
    content = {
        "table": _table(figures, name, runs, split, command),
        **harness.made_by(command),
        "figures": figures,
        "seed": seed,
    }
    return harness.write_record(FOLDER, "explain", content, record, _draw(curves))


def auroc(scores: Tensor, pair: Tensor) -> float:
    r"""The share of other pairs that score below the true one; ties count half."""
    n = scores.size(0)
    both = scores + scores.t()
    first, second = torch.triu_indices(n, n, offset=1)
    other = both[first, second]
    true = both[pair[0], pair[1]]
    below = (other < true).double() + 0.5 * (other == true).double()
    # The true pair itself ties with itself.
    return float((below.sum() - 0.5) / (other.numel() - 1))


def _scenes(folder: Path, split: str, scenes: int) -> list[Data]:
    spec = read_config(folder)["dataset"]
    dataset = dataset_class(spec["class"])(spec["root"], split=split, **spec["args"])
    data = [dataset[i] for i in range(min(scenes, len(dataset)))]
    if "pair" not in data[0] or "x" not in data[0]:
        raise UsageError(
            f"'{folder}' was trained on {spec['class']} scenes that do not say which "
            f"objects decide; use Sort-of-CLEVR with --representation state"
        )
    return data


def _explain(
    model: nn.Module, scenes: list[Data], seed: int
) -> dict[str, tuple[dict[str, float], Curves]]:
    """AUROC and curves of each kind of explanation of one model."""
    generator = torch.Generator().manual_seed(seed)
    kinds: dict[str, Callable[[Batch], Scores]] = {
        "removal, all probabilities": lambda batch: pair_attribution(
            model, batch, "distribution", "removal"
        ),
        "removal, the answer": lambda batch: pair_attribution(
            model, batch, method="removal"
        ),
        "integrated gradients, the answer": lambda batch: pair_attribution(
            model, batch, method="integrated_gradients"
        ),
        "random order": lambda batch: [
            torch.rand(count, count, generator=generator)
            for count in batch.ptr.diff()[batch.u_batch].tolist()
        ],
    }
    if any("attention" in name for name, _ in model.named_modules()):
        kinds = {"attention": lambda batch: _attention(model, batch), **kinds}
    results = {}
    for kind, explain in kinds.items():
        areas, deletion, insertion = [], [], []
        for batch in _batches(scenes):
            scores = explain(batch)
            pairs = batch.pair
            asked = (pairs[:, 1] >= 0).nonzero().flatten().tolist()
            # A pair that speaks against the answer has moved it too.
            areas += [auroc(scores[q].abs(), pairs[q]) for q in asked]
            for q, (out, into) in enumerate(_curves(model, batch, scores)):
                if pairs[q, 1] >= 0:
                    deletion.append(out)
                    insertion.append(into)
        curve = {
            "deletion": torch.stack(deletion).mean(0),
            "insertion": torch.stack(insertion).mean(0),
        }
        figures = {"auroc": mean(areas), "questions": float(len(areas))}
        figures |= {key: float(value.mean()) for key, value in curve.items()}
        results[kind] = figures, curve
    return results


def _batches(scenes: list[Data]) -> Iterator[Batch]:
    for start in range(0, len(scenes), _BATCH):
        part = scenes[start : start + _BATCH]
        yield Batch.from_data_list(part, follow_batch=["u"])


def _attention(model: nn.Module, batch: Batch) -> Scores:
    (matrices,) = attention_matrix(model, batch).values()
    # The mean over heads, [K, n, n] -> [n, n]
    return [matrix.mean(0) for matrix in matrices]


@torch.no_grad()
def _curves(
    model: nn.Module, batch: Batch, scores: Scores
) -> Iterator[tuple[Tensor, Tensor]]:
    """The probability of the model's answer as pairs are taken out, and put in."""
    assert isinstance(model, SumsPairs)
    pairs = model.pair_messages(**forward_arguments(model, batch))
    total = pooled(pairs)
    answer = model.readout(total).argmax(-1)
    source, target = pairs.edge_index
    for q, matrix in enumerate(scores):
        mine = pairs.owner == q
        place = target[mine] - pairs.ptr[q], source[mine] - pairs.ptr[q]
        order = matrix[place].argsort(descending=True, stable=True)
        inserted = pairs.message[mine][order].cumsum(0)
        inserted = torch.cat([torch.zeros_like(inserted[:1]), inserted])
        steps = torch.stack([total[q] - inserted, inserted])
        probability = model.readout(steps).softmax(-1)[..., answer[q]]
        yield probability[0], probability[1]


def _table(
    figures: dict[str, list[dict[str, float]]],
    name: str,
    runs: str,
    split: str,
    command: str,
) -> dict[str, Any]:
    count = len(runs.split(","))
    questions = int(next(iter(figures.values()))[0]["questions"])
    over = f"mean ± standard deviation over {count} runs; " if count > 1 else ""
    return {
        "columns": ["explanation", "AUROC of the true pair", "deletion", "insertion"],
        "rows": [
            [label, *(_spread([x[key] for x in results]) for key in KEYS)]
            for label, results in figures.items()
        ],
        "caption": (
            f"{name}, {questions:,} questions about the nearest or furthest object of "
            f"the {split} split, {over}`{command}`"
        ),
    }


KEYS = ("auroc", "deletion", "insertion")


def _spread(values: list[float]) -> str:
    text = f"{mean(values):.3f}"
    return f"{text} ± {stdev(values):.3f}" if len(values) > 1 else text


def _draw(curves: dict[str, list[Curves]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), KEYS[1:], strict=True):
        for label, runs in curves.items():
            if label.startswith(CONTROL):
                continue
            curve = torch.stack([x[key] for x in runs]).mean(0)
            share = torch.linspace(0, 100, curve.numel())
            axes.plot(share, curve, label=label.removeprefix("trained: "))
        verb = "taken out" if key == "deletion" else "put in"
        axes.set_xlabel(f"pairs {verb}, most important first, %")
        axes.set_ylabel("probability of the answer")
        axes.set_title(key)
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
    # The corner that curves of insertion leave free.
    axes.legend(loc="lower right")
    return figure
