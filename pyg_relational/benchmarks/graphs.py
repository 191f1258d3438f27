"""Models that learn algorithms on small graphs and are tested on ever larger ones."""

import math
import statistics
import time
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, WeightedRandomSampler
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GIN, MLP
from torch_geometric.utils import segment

from pyg_relational.benchmarks import harness, trainings
from pyg_relational.datasets.graph_tasks import GraphTasks
from pyg_relational.loader import graph_loader
from pyg_relational.models import GraphNetwork, RecurrentRelationNetwork
from pyg_relational.nn.checks import NotFiniteError
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import fully_connected_edges, ptr_to_batch
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.module import TASKS as KINDS
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.module import Task as Kind

RUNS = Path("runs/benchmark-graphs")


@dataclass(frozen=True)
class Task:
    """What a task asks.

    Args:
        title (str): Its name in the table.
        in_channels (int): Width of a node.
        out_channels (int): Number of classes, or 1 for a score.
        output (str): What is answered for: `"node"`, `"edge"`, or `"pointer"`, a score
            for each pair, with which each node chooses another.
    """

    title: str
    in_channels: int
    out_channels: int
    output: str


TASKS = {
    "shortest-path": Task("shortest path", 2, 2, "node"),
    "sorting": Task("sorting", 1, 1, "pointer"),
    "breadth-first-search": Task("breadth-first search", 1, 3, "edge"),
    "connected-components": Task("connected components", 4, 4, "node"),
}
# In the order of the table.
MODELS = {
    "relation": "one-step relation network",
    "recurrent": "recurrent relation network",
    "graph-network": "graph network (encode, process, decode)",
    "gin": "baseline: GIN, one layer repeated",
}
TRAIN_NODES = (8, 16)
# Of the graphs. The recipe was made with those of seed 0.
GRAPH_SEED = 1
# Largest and smallest number of nodes, and how many graphs are tested.
SIZES = {
    "16-32": (16, 32, 1000),
    "64": (64, 64, 200),
    "128": (128, 128, 100),
    "256": (256, 256, 50),
    "512": (512, 512, 30),
    "1000": (1000, 1000, 20),
}
# Steps of the loss: the last ones of each batch.
LAST = 4
# The loss that decides which epoch is tested.
LOSS = "val/loss_of_graphs"


@dataclass(frozen=True)
class Budget:
    """Model and training, the same for every model and task.

    Args:
        channels (int): Width of everything inside a model.
        graphs (int): Graphs to train on.
        epochs (int): Passes through them; the one with the lowest loss in validation
            is tested.
        batch_size (int): Graphs a batch.
        learning_rate (float): Of Adam; it falls to 0 in the second half.
        validation (int): Graphs to validate on.
        share (float): Of the graphs of each size that are tested.
    """

    channels: int = 32
    graphs: int = 25600
    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 1e-3
    validation: int = 500
    share: float = 1.0


QUICK = Budget(channels=8, graphs=64, epochs=2, validation=32, share=0.02)


@dataclass(frozen=True)
class Case(trainings.Case):
    """One training.

    Args:
        task (str): One of `TASKS`.
        model (str): One of `MODELS`.
        seed (int): Seed of weights, batches and steps.
        budget (Budget): Model and training.
        sizes (tuple): Names of the sizes to test.
    """

    task: str
    model: str
    seed: int
    budget: Budget
    sizes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the run's files."""
        return f"{self.task}-{self.model}-seed{self.seed}"


def steps_for(task: str, model: str, num_nodes: int) -> int:
    """Returns how often a model relates nodes, which depends on nothing but the number
    of nodes: what has to be related may be farther apart in larger graphs.

    In the plane that distance grows with the square root of the number of nodes; it is
    multiplied by 6, for a way there and back. Numbers to sort are all related to each
    other, in 4 steps. The one-step model has one step."""
    if model == "relation":
        return 1
    return 4 if task == "sorting" else math.ceil(6 * math.sqrt(num_nodes))


def step_range(task: str, model: str) -> tuple[int, int]:
    """Returns the smallest and the largest number of steps in training, from which one
    is drawn for each batch: an answer shall last, not appear in a certain step."""
    usual = steps_for(task, model, TRAIN_NODES[1])
    return math.ceil(2 * usual / 3), max(1, 7 * usual // 6)


def choose_budget(epochs: int | None, quick: bool) -> Budget:
    """Returns the budget, with another number of epochs where one is given."""
    harness.check_at_least(1, epochs=epochs)
    chosen = QUICK if quick else Budget()
    return chosen if epochs is None else replace(chosen, epochs=epochs)


COLOURS = {
    "relation": "#ff7f0e",
    "recurrent": "#d62728",
    "graph-network": "#1f77b4",
    "gin": "grey",
}


def table(budget: Budget, rows: list[dict[str, Any]], note: str) -> dict[str, Any]:
    """Returns the table of a run."""
    sizes = list(rows[0]["test"])
    body = [
        [
            f"{TASKS[row['task']].title}: {MODELS[row['model']]}",
            f"{row['parameters']:,}",
            _percent(row["validation"]),
            *(
                f"{_percent(row['test'][size]['solved'])} "
                f"({_percent(row['test'][size]['right'], deviation=False)})"
                for size in sizes
            ),
        ]
        for row in rows
    ]
    low, high = TRAIN_NODES
    number = rows[0]["seeds"]
    over = "one seed" if number == 1 else f"mean and deviation over {number} seeds"
    graphs = ", ".join(str(rows[0]["test"][size]["graphs"]) for size in sizes)
    caption = (
        f"Per cent of graphs in which every answer is right, and of answers that are "
        f"right, by number of nodes; {over}. Trained on {budget.graphs:,} graphs of "
        f"{low} to {high} nodes, width {budget.channels}, {budget.epochs} epochs, "
        f"batches of {budget.batch_size}, Adam {budget.learning_rate:g}; the epoch "
        f"with the lowest loss on {budget.validation} more graphs of {low} to {high} "
        f"nodes is tested, on {graphs} graphs. Steps are 6 times the square root "
        f"of the largest number of nodes (sorting: 4, one-step: 1). A graph on which "
        f"states overflow is not solved. {note}"
    )
    validation = f"{low}-{high} (validation)"
    return {
        "columns": ["task: model", "parameters", validation, *sizes],
        "rows": body,
        "caption": caption,
    }


def draw(rows: list[dict[str, Any]]) -> Any:
    """Return a picture of the share of solved graphs against the number of nodes, with
    its standard deviation over seeds, and dotted the share of right answers."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(4.2 * len(tasks), 4.2), layout="constrained")
    grid = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for ax, task in zip(grid, tasks, strict=True):
        for row in rows:
            if row["task"] == task:
                _curve(ax, row)
        ax.axvspan(*TRAIN_NODES, color="grey", alpha=0.15, label="trained")
        ax.set(title=TASKS[task].title, xscale="log", xlabel="nodes", ylim=(-3, 103))
        ticks = [TRAIN_NODES[1], *(SIZES[size][1] for size in rows[0]["test"])]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.grid(alpha=0.3)
    grid[0].set_ylabel("graphs solved (dotted: answers right), %")
    grid[0].legend(fontsize=8)
    return figure


def _curve(ax: Any, row: dict[str, Any]) -> None:
    colour = COLOURS[row["model"]]
    nodes = [TRAIN_NODES[1], *(SIZES[size][1] for size in row["test"])]
    solved = [row["validation"], *(test["solved"] for test in row["test"].values())]
    ax.errorbar(
        nodes,
        [100 * value["mean"] for value in solved],
        yerr=[100 * (value["deviation"] or 0.0) for value in solved],
        color=colour,
        marker="o",
        markersize=4,
        capsize=3,
        label=row["model"],
    )
    right = [100 * test["right"]["mean"] for test in row["test"].values()]
    ax.plot(nodes[1:], right, ":", color=colour, linewidth=1)


def _percent(value: dict[str, float | None], deviation: bool = True) -> str:
    mean, spread = value["mean"], value["deviation"]
    assert mean is not None
    text = f"{100 * mean:.1f}"
    return text if spread is None or not deviation else f"{text} ± {100 * spread:.1f}"


class Choice(Kind):
    """Each node chooses another by the scores of all pairs, which are sorted by target:
    the cross-entropy of the choice; one among equal scores is wrong."""

    def read(self, output: Tensor, data: Data) -> Tensor:
        """Return cross-entropy and whether the choice is right, `[N, L, 2]`."""
        scores = output.squeeze(-1)
        sizes = data.ptr.diff()[data.batch]
        # Where the pairs of each target begin, and which of them is the answer.
        ptr = functional.pad(sizes.cumsum(0), (1, 0))
        chosen = ptr[:-1] + data.y
        owner = ptr_to_batch(ptr, scores.size(0))
        shift = segment(scores.detach(), ptr, "max")
        total = segment((scores - shift[owner]).exp(), ptr, "sum").log() + shift
        best = scores.detach()[chosen].index_select(0, owner)
        right = segment((scores >= best).to(scores.dtype), ptr, "sum") == 1
        return torch.stack([total - scores[chosen], right.to(scores.dtype)], dim=-1)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return output[..., 0].contiguous().mean()

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return 1 for each choice of the last step that is right, else 0."""
        return output[:, -1, 1]


KIND = {
    "node": KINDS["classification"],
    "edge": KINDS["classification"],
    "pointer": Choice("accuracy", "max", classes=True),
}


class Judged(NamedTuple):
    """Which answers are right.

    Args:
        right (torch.Tensor): `[N]` or `[E]`, true where an answer is right.
        solved (torch.Tensor): `[B]`, true where all answers of a graph are.
    """

    right: Tensor
    solved: Tensor


def judge(task: str, out: Tensor, batch: Batch) -> Judged:
    """Returns which answers of the last step are right."""
    asked = TASKS[task].output
    right = KIND[asked].score(KIND[asked].read(out, batch), batch.y) == 1
    owner = batch.batch[batch.edge_index[1]] if asked == "edge" else batch.batch
    wrong = torch.zeros(batch.num_graphs, dtype=torch.long)
    return Judged(right, wrong.index_add(0, owner, (~right).long()) == 0)


def build_model(task: str, model: str, channels: int) -> nn.Module:
    """Returns a model, called as `model(x, edge_index, batch=batch, steps=steps,
    last=last)`; it answers for nodes or edges in each of the last steps.

    The one-step relation network is the recurrent one that is never asked for more
    than one step. Ours take the largest message, which does not grow with the number of
    neighbours."""
    asked = TASKS[task]
    ends = asked.in_channels, asked.out_channels
    output = "node" if asked.output == "node" else "edge"
    if model == "gin":
        return RepeatedGIN(*ends, channels, output)
    if model == "graph-network":
        return GraphNetwork(
            *ends, channels, readout_channels=[channels], output=output, aggr="max"
        )
    return RecurrentRelationNetwork(
        *ends,
        channels,
        [channels, channels],
        [channels],
        [channels],
        output=output,
        cell="gru",
        aggr="max",
    )


class RepeatedGIN(nn.Module):
    r"""The graph isomorphism network of `"How Powerful are Graph Neural Networks?"
    <https://arxiv.org/abs/1810.00826>`_ (Xu et al., 2019) with one layer for all steps,
    which reads the embedded nodes again in each.

    .. math::
        \mathbf{h}^{(t)}_i = \mathrm{ReLU} \Big( \mathrm{LayerNorm} \Big(
        \mathrm{MLP} \Big( \mathbf{p}_i + \sum_{j \in \mathcal{N}(i)} \mathbf{p}_j \Big)
        \Big) \Big), \quad \mathbf{p}_i = \mathbf{z}_i \, \Vert \,
        \mathbf{h}^{(t - 1)}_i

    As published its depth is fixed, and with it how far a node sees; and its states
    would grow without bound, were they not normalised.

    Args:
        in_channels (int): The width of a node.
        out_channels (int): The width of an answer.
        channels (int): The width of a state.
        output (str): :obj:`"node"` or :obj:`"edge"`, from both ends.

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)` (all pairs without
          them), graph of each node :math:`(N)`
        - **output:** :math:`(N, L, F_{out})` or :math:`(E, L, F_{out})` for the
          :math:`L` last steps
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: int, output: str
    ) -> None:
        super().__init__()
        self.output = output
        self.encoder = MLP([in_channels, channels, channels], norm=None)
        self.gin = GIN(2 * channels, channels, num_layers=1, train_eps=True)
        self.norm = nn.LayerNorm(channels)
        ends = 2 if output == "edge" else 1
        self.head = MLP([ends * channels, channels, out_channels], norm=None)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        *,
        batch: Tensor,
        steps: int,
        last: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        if edge_index is None:
            edge_index = fully_connected_edges(
                ptr=set_ptr(batch, x.size(0), None, x.device)
            )
        z = self.encoder(x)
        h, answers = torch.zeros_like(z), []
        for step in range(steps):
            h = self.norm(self.gin(torch.cat([z, h], dim=-1), edge_index)).relu()
            if step >= steps - last:
                rows = h
                if self.output == "edge":
                    rows = torch.cat([h[edge_index[1]], h[edge_index[0]]], dim=-1)
                answers.append(self.head(rows))
        return torch.stack(answers, dim=1)


# Lengths with a smaller share of the graphs are drawn as if they had this one, so that
# few graphs are not drawn all the time.
RARE = 0.005


class DrawnSteps(nn.Module):
    """Runs a model as often as a random number says in training, of which the last
    steps are answered, and else :attr:`steps` times, of which the last is.

    Args:
        case (Case): What is trained.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.model = build_model(case.task, case.model, case.budget.channels)
        self.range = step_range(case.task, case.model)
        self.steps = steps_for(case.task, case.model, TRAIN_NODES[1])

    def forward(
        self, x: Tensor, edge_index: Tensor | None = None, *, batch: Tensor
    ) -> Tensor:
        """Runs the forward pass."""
        steps, last = self.steps, 1
        if self.training:
            low, high = self.range
            steps = int(torch.randint(low, high + 1, ()))
            last = min(LAST, steps)
        return self.model(x, edge_index, batch=batch, steps=steps, last=last)


class GraphCurve(trainings.KeptCurve):
    """Logs the loss in validation so that every graph counts the same, however many
    answers it has, and keeps it with the share of graphs that are solved."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[tuple[float, int]] = []
        self.loss = math.nan

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, *args: Any
    ) -> None:
        """Keep the loss of a batch."""
        self.losses.append((float(outputs), batch.num_graphs))

    def on_validation_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Log the loss."""
        graphs = sum(number for _, number in self.losses)
        self.loss = sum(value * number for value, number in self.losses) / graphs
        self.losses = []
        pl_module.log(LOSS, self.loss)

    def point(self, module: RelationalModule) -> dict[str, float]:
        """Return loss and share of solved graphs."""
        return {"loss": self.loss, "solved": module.scores["sets"]["solved"]}


def decay(step: int, total_steps: float) -> float:
    """Returns the factor of the learning rate, which falls to 0 in the second half."""
    return min(1.0, (step + 1) / 100, 2 * (1 - step / total_steps))


class EvenLengths(RelationalDataModule):
    """Graphs of which long ways are trained as often as short ones: few small graphs
    have long ones. Validation takes graphs as they come."""

    def on_after_batch_transfer(self, batch: Data, dataloader_idx: int) -> Data:
        """Name the edges that are answered for."""
        if TASKS[self.args["name"]].output == "edge":
            batch.edge_label_index = batch.edge_index
        return super().on_after_batch_transfer(batch, dataloader_idx)

    def train_loader(self) -> DataLoader:
        """Return batches of the training split, drawn with replacement."""
        split = self.dataset("train")
        weights = even_weights(torch.cat([graph.length for graph in split]))
        sampler = WeightedRandomSampler(weights.tolist(), len(split))
        return graph_loader(split, self.batch_size, sampler=sampler)


def even_weights(length: Tensor) -> Tensor:
    """Returns with which weight each graph is drawn, so that all lengths are drawn
    equally often."""
    share = length.bincount() / length.numel()
    return 1 / share.clamp_min(RARE)[length]


# Nodes, or pairs where all are related, of a test batch.
ROWS, PAIRS = 4096, 200_000


def load_data(task: str, root: str, budget: Budget) -> RelationalDataModule:
    """Returns the graphs to train and to validate on."""
    args = {"name": task, "num_nodes": TRAIN_NODES, "seed": GRAPH_SEED}
    numbers = {"num_train": budget.graphs, "num_val": budget.validation}
    data = EvenLengths(GraphTasks, root, args | numbers, budget.batch_size)
    data.setup("fit")
    return data


def run_case(
    case: Case, data: RelationalDataModule, folder: Path, root: str
) -> dict[str, Any]:
    """Trains a model, from where it was killed if it was, and tests it on all sizes."""
    pl.seed_everything(case.seed, workers=True, verbose=False)
    model = DrawnSteps(case)
    module = RelationalModule(
        model,
        KIND[TASKS[case.task].output],
        {"sets": ("solved",)},
        optimizer="Adam",
        learning_rate=case.budget.learning_rate,
        schedule=decay,
        fused=False,
    )
    curve, epochs = GraphCurve(), case.budget.epochs
    fitted = trainings.train(
        case,
        module,
        data,
        folder,
        epochs,
        curve,
        monitor=(LOSS, "min"),
        shown="val/accuracy/solved",
        gradient_clip=1.0,
    )
    losses = [point["loss"] for point in curve.points]
    chosen = losses.index(min(losses))
    figures = {
        "validation": curve.points[chosen],
        "best_epoch": chosen + 1,
        "test": {size: evaluate(case, model, size, root) for size in case.sizes},
        "curve": curve.points,
    }
    return trainings.finish(case, folder, fitted, figures)


def evaluate(case: Case, model: DrawnSteps, size: str, root: str) -> dict[str, float]:
    """Returns the shares of graphs that are solved and of answers that are right."""
    low, high, number = SIZES[size]
    number = max(1, round(case.budget.share * number))
    dataset = GraphTasks(
        root, case.task, "test", (low, high), num_test=number, seed=GRAPH_SEED
    )
    rows = ROWS // high if case.task != "sorting" else PAIRS // high**2
    model.steps = steps_for(case.task, case.model, high)
    solved, right = [], []
    start = time.perf_counter()
    model.eval()
    with torch.no_grad():
        for batch in graph_loader(dataset, batch_size=max(1, rows)):
            judged = judge_answers(case.task, model, batch)
            solved.append(judged.solved)
            right.append(judged.right)
    return {
        "graphs": number,
        "steps": model.steps,
        "solved": torch.cat(solved).double().mean().item(),
        "right": torch.cat(right).double().mean().item(),
        "seconds": round(time.perf_counter() - start, 1),
    }


def judge_answers(task: str, model: nn.Module, batch: Batch) -> Judged:
    """Returns which answers are right; of a graph on which the states of the model grow
    until they overflow, none is."""
    try:
        out = model(batch.x, batch.get("edge_index"), batch=batch.batch)
    except NotFiniteError:
        if batch.num_graphs == 1:
            right = torch.zeros(batch.y.numel(), dtype=torch.bool)
            return Judged(right, torch.zeros(1, dtype=torch.bool))
        graphs = [Batch.from_data_list([graph]) for graph in batch.to_data_list()]
        single = [judge_answers(task, model, graph) for graph in graphs]
        return Judged(*(torch.cat(parts) for parts in zip(*single, strict=True)))
    return judge(task, out, batch)


def run(
    tasks: list[str] | None = None,
    models: list[str] | None = None,
    sizes: list[str] | None = None,
    seeds: int = 1,
    epochs: int | None = None,
    root: str = "datasets/graph-tasks",
    threads: int | None = None,
    quick: bool = False,
    record: bool = False,
) -> dict[str, Any]:
    """Trains models on graphs of 8 to 16 nodes and tests them on ever larger ones: the
    share of graphs in which every answer is right.

    All models have the same width, batches and epochs, and a number of steps that
    depends on the number of nodes alone. The epoch with the lowest loss on further
    graphs of 8 to 16 nodes is tested; larger graphs decide nothing.

    Every finished run is kept in `runs/benchmark-graphs`: the same command goes on
    where it was stopped, and further tasks, models or seeds add to it.

    Args:
        tasks (list[str], optional): Tasks; all by default. (default: `None`)
        models (list[str], optional): Models; all by default. (default: `None`)
        sizes (list[str], optional): Nodes of the graphs to test on; all sizes by
            default. (default: `None`)
        seeds (int): Number of seeds, from 0 on. (default: `1`)
        epochs (int, optional): Epochs instead of the usual ones. (default: `None`)
        root (str): Folder of the graphs. (default: `"datasets/graph-tasks"`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        quick (bool): Tiny models, few graphs, two epochs. (default: `False`)
        record (bool): Write the figures to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A name is unknown, or a number is too small.
    """
    budget = choose_budget(epochs, quick)
    known: dict[str, Any] = {"task": TASKS, "model": MODELS, "size": SIZES}
    asked = {"task": tasks, "model": models, "size": sizes}
    chosen = {
        f"{option}s": tuple(
            sorted(
                trainings.choose(option, names, known[option]),
                key=[*known[option]].index,
            )
        )
        for option, names in asked.items()
    }
    harness.check_at_least(1, seeds=seeds, threads=threads)
    pairs = [(task, model) for task in chosen["tasks"] for model in chosen["models"]]
    cases = [
        Case(task, model, seed, budget, chosen["sizes"])
        for task, model in pairs
        for seed in range(seeds)
    ]
    label = "-quick" * quick + ("" if epochs is None else f"-{epochs}epochs")
    folder = RUNS / f"graphs{label}"
    # Read when a training needs them.
    load = cache(partial(load_data, root=root, budget=budget))
    with harness.threads(threads):
        runs = trainings.run_all(
            cases,
            folder,
            lambda case: run_case(case, load(case.task), folder, root),
            _said,
        )
        command = harness.command_line(
            run,
            {**chosen, "seeds": seeds, "epochs": epochs, "quick": quick},
            every=("seeds",),
        )
        made = harness.made_by(command)
    rows = [_row(task, model, runs) for task, model in pairs]
    note = f"{harness.place(made['hardware'])}. `{command}`"
    figures = {"table": table(budget, rows, note), **made, "rows": rows, "runs": runs}
    name = "-".join(["graphs", *(t for t in chosen["tasks"] if tasks is not None)])
    return harness.write_record(folder, f"{name}{label}", figures, record, draw(rows))


def _said(figures: dict[str, Any]) -> str:
    solved = ", ".join(
        f"{size} {test['solved']:.1%}" for size, test in figures["test"].items()
    )
    return f"solved in validation {figures['validation']['solved']:.1%}, {solved}"


def _row(task: str, model: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    own = [
        run
        for run in runs
        if (run["settings"]["task"], run["settings"]["model"]) == (task, model)
    ]
    tested = {
        size: {
            "graphs": first["graphs"],
            "steps": first["steps"],
            **{
                key: harness.over_seeds([run["test"][size][key] for run in own])
                for key in ("solved", "right")
            },
        }
        for size, first in own[0]["test"].items()
    }
    return {
        "task": task,
        "model": model,
        "seeds": len(own),
        "parameters": own[0]["parameters"],
        "seconds": statistics.mean(run["seconds"] for run in own),
        "validation": harness.over_seeds([run["validation"]["solved"] for run in own]),
        "test": tested,
    }
