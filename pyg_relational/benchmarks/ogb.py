"""Readouts of graph networks on OGB's molecules, with equally many parameters and OGB's
evaluator.
"""

import statistics
from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch_geometric.nn import MLP, GINEConv, MessagePassing
from torch_geometric.nn.aggr import (
    Aggregation,
    DeepSetsAggregation,
    MeanAggregation,
    Set2Set,
    SetTransformerAggregation,
    SumAggregation,
)
from torch_geometric.utils import degree, scatter
from torchmetrics import Metric

from pyg_relational.benchmarks import harness, trainings
from pyg_relational.datasets.ogb import (
    OGBMolecules,
    folder_at_hand,
    import_ogb,
    molecule_sets,
)
from pyg_relational.datasets.ogb_hiv import MolHIV
from pyg_relational.loader import graph_loader
from pyg_relational.nn.aggr import RelationAggregation, RelationAttentionAggregation
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.train.callbacks import quiet_lightning
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.fit import count_parameters
from pyg_relational.train.module import RelationalModule, Task

RUNS = Path("runs/benchmark-ogb")
BODIES = ("gin", "gcn")
# In the order of the table.
READOUTS = {
    "sum": "sum of the nodes",
    "mean": "mean of the nodes",
    "virtual-node": "virtual node in the body, mean of the nodes",
    "set2set": "Set2Set, 2 steps",
    "set-transformer": "Set Transformer",
    "relation": "MLP on all pairs of nodes, sum / number of nodes, MLP",
    "relation-attention": "MLP on all pairs of nodes, weighted by attention, MLP",
    "mlp-sum": "control: the MLP on nodes instead of pairs, sum, MLP",
}


@dataclass(frozen=True)
class Size:
    """Model and budget, the same for every readout.

    Args:
        width (int): Channels of the body with the readout `sum`; other readouts have
            the width with as many parameters in all.
        heads (int): Attention heads of the readouts that have them.
        layers (int): Layers of the body.
        dropout (float): Dropout after every layer.
        epochs (int): Epochs; the one that validates best is tested.
        batch_size (int): Graphs a batch.
        learning_rate (float): Constant learning rate of Adam.
    """

    width: int
    heads: int = 4
    layers: int = 5
    dropout: float = 0.5
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3


SIZES = {
    "laptop": Size(width=64, heads=2, dropout=0.1, epochs=60),
    "paper": Size(width=300),
}
QUICK = Size(width=32, heads=1, layers=2, epochs=2)


@dataclass(frozen=True)
class Case(trainings.Case):
    """One training.

    Args:
        dataset (str): Name of the set of molecules.
        body (str): `"gin"` or `"gcn"`.
        readout (str): One of `READOUTS`.
        seed (int): Seed of weights, dropout and batches.
        size (Size): Model and budget.
    """

    dataset: str
    body: str
    readout: str
    seed: int
    size: Size

    @property
    def name(self) -> str:
        """Name of the run's files."""
        return f"{self.readout}-seed{self.seed}"


def choose_size(size: str, epochs: int | None, quick: bool) -> Size:
    """Returns the size of a name, with another number of epochs where one is given."""
    chosen = QUICK if quick else SIZES[size]
    harness.check_at_least(1, epochs=epochs)
    return chosen if epochs is None else replace(chosen, epochs=epochs)


@dataclass(frozen=True)
class Published:
    """A published result.

    Args:
        mean (float): Mean over ten seeds; shares in percent.
        spread (float, optional): Standard deviation. (default: `None`)
        read (bool): Whether it was read in a public source, not quoted from memory.
            (default: `False`)
    """

    mean: float
    spread: float | None = None
    read: bool = False


# Hu et al. 2020 (arXiv 2005.00687) and OGB's leaderboard; all of them take the mean of
# the nodes, bodies are 300 wide whatever the readout.
SOURCE = "Hu et al. 2020, arXiv 2005.00687"
PUBLISHED: dict[tuple[str, str, str], Published] = {
    ("ogbg-molhiv", "gin", "virtual-node"): Published(77.07, 1.49, read=True),
    ("ogbg-molhiv", "gin", "mean"): Published(75.58, 1.40),
    ("ogbg-molhiv", "gcn", "mean"): Published(76.06, 0.97),
    ("ogbg-molesol", "gin", "virtual-node"): Published(0.998),
    ("ogbg-molesol", "gin", "mean"): Published(1.173),
    ("ogbg-molesol", "gcn", "mean"): Published(1.114),
}


# Shares are shown in percent.
SHOWN = {"rmse": ("RMSE", 1, 3), "rocauc": ("ROC-AUC", 100, 2), "ap": ("AP", 100, 2)}
COLUMNS = ("readout", "width", "parameters", "validation", "test", "published")


def table(
    dataset: str,
    body: str,
    size: Size,
    rows: list[dict[str, Any]],
    metric: str,
    note: str,
) -> dict[str, Any]:
    """Returns the table of a run."""
    name, scale, digits = SHOWN[metric]
    body_rows = []
    for row in rows:
        known = PUBLISHED.get((dataset, body, row["readout"]))
        body_rows.append(
            [
                f"{row['readout']}: {READOUTS[row['readout']]}",
                str(row["channels"]),
                f"{row['parameters']:,}",
                *(spread(row[key], scale, digits) for key in ("validation", "test")),
                "-" if known is None else _published(known, digits),
            ]
        )
    better = "lower" if metric == "rmse" else "higher"
    number = rows[0]["seeds"]
    over = "of one seed" if number == 1 else f"and deviation over {number} seeds"
    caption = (
        f"{dataset}, {body.upper()} body, {name} of OGB's evaluator ({better} is "
        f"better), mean {over}, epoch of the best validation; {size.layers} layers, "
        f"dropout {size.dropout}, {size.epochs} epochs, batches of {size.batch_size}. "
        f"The width is the one with as many parameters as `sum` has with {size.width}. "
        f"{note}"
    )
    if any((dataset, body, row["readout"]) in PUBLISHED for row in rows):
        caption += (
            f" Published: {SOURCE}, width 300 whatever the readout, 5 layers, dropout "
            "0.5, 100 epochs, 10 seeds; (m): quoted from memory."
        )
    return {
        "columns": [*COLUMNS[:3], *(f"{c} {name}" for c in COLUMNS[3:5]), COLUMNS[5]],
        "rows": body_rows,
        "caption": caption,
    }


def spread(value: dict[str, float | None], scale: float, digits: int) -> str:
    """Returns a mean with its standard deviation, where there is one."""
    mean, deviation = value["mean"], value["deviation"]
    assert mean is not None
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"


def draw(figures: dict[str, Any]) -> Any:
    """Return a picture of the test score of every readout with its standard deviation
    over seeds, the seeds as small dots and published figures beside them."""
    from matplotlib.figure import Figure

    name, scale, _ = SHOWN[figures["metric"]]
    rows = figures["rows"]
    figure = Figure(figsize=(7.5, 1.2 + 0.45 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(rows):
        seeds = [
            scale * run["test"]
            for run in figures["runs"]
            if run["settings"]["readout"] == row["readout"]
        ]
        ax.plot(seeds, [place] * len(seeds), ".", color="#9ecae1", zorder=1)
        ax.errorbar(
            scale * row["test"]["mean"],
            place,
            xerr=scale * (row["test"]["deviation"] or 0.0),
            fmt="o",
            color="#d62728" if row["readout"].startswith("relation") else "#1f77b4",
            capsize=4,
        )
        key = (figures["dataset"], figures["body"], row["readout"])
        known = PUBLISHED.get(key)
        if known is not None:
            ax.errorbar(
                known.mean, place, xerr=known.spread, fmt="D", color="grey", alpha=0.6
            )
    ax.set_yticks(range(len(rows)), [row["readout"] for row in rows])
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    ax.set_xlabel(f"test {name}, mean and standard deviation over seeds (◇ published)")
    ax.set_title(f"{figures['dataset']}, {figures['body'].upper()} body")
    return figure


def _published(known: Published, digits: int) -> str:
    text = f"{known.mean:.{digits}f}"
    if known.spread is not None:
        text += f" ± {known.spread:.{digits}f}"
    return text if known.read else f"{text} (m)"


class BondGCNConv(MessagePassing):
    r"""Graph convolution with the bonds in its messages.

    .. math::
        \mathbf{h}_i = \sum_{j \in \mathcal{N}(i)} \frac{1}{\sqrt{d_i d_j}}
        \mathrm{ReLU}(\mathbf{W} \mathbf{x}_j + \mathbf{e}_{ji}) + \frac{1}{d_i}
        \mathrm{ReLU}(\mathbf{W} \mathbf{x}_i + \mathbf{r})

    with :math:`d` the number of neighbours plus one.

    Args:
        channels (int): The width of nodes and bonds.

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)`, bonds :math:`(E, F)`
        - **output:** :math:`(N, F)`
    """

    def __init__(self, channels: int) -> None:
        super().__init__(aggr="add")
        self.lin = nn.Linear(channels, channels)
        self.root = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        r"""Runs the forward pass."""
        x = self.lin(x)
        count = degree(edge_index[0], x.size(0), x.dtype) + 1
        norm = count.rsqrt()
        norm = norm[edge_index[0]] * norm[edge_index[1]]
        out = self.propagate(edge_index, x=x, edge_attr=edge_attr, norm=norm)
        return out + (x + self.root).relu() / count.unsqueeze(1)

    def message(self, x_j: Tensor, edge_attr: Tensor, norm: Tensor) -> Tensor:
        return norm.unsqueeze(1) * (x_j + edge_attr).relu()


class MoleculeBody(nn.Module):
    r"""Embeds atoms, then convolves: each layer embeds the bonds anew and is followed
    by batch normalisation, ReLU (not the last) and dropout.

    Args:
        kind (str): :obj:`"gin"` or :obj:`"gcn"`.
        channels (int): The width of a node.
        layers (int): The number of layers.
        dropout (float): Dropout after every layer.
        virtual_node (bool): Between two layers each graph's nodes are summed into a
            vector, which an MLP changes and all its nodes are given.
            (default: :obj:`False`)

    Shapes:
        - **input:** atoms :math:`(N, 9)`, edges :math:`(2, E)`, bonds :math:`(E, 3)`,
          graph of each atom :math:`(N)`
        - **output:** :math:`(N, F)`
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        layers: int,
        dropout: float,
        virtual_node: bool = False,
    ) -> None:
        super().__init__()
        encoders = import_ogb("ogb.graphproppred.mol_encoder")
        self.dropout = dropout
        self.atoms = encoders.AtomEncoder(channels)
        self.bonds = nn.ModuleList(
            encoders.BondEncoder(channels) for _ in range(layers)
        )
        self.convs = nn.ModuleList(_conv(kind, channels) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(layers))
        self.start: nn.Parameter | None = None
        self.updates = nn.ModuleList()
        if virtual_node:
            self.start = nn.Parameter(torch.zeros(channels))
            self.updates.extend(
                _mlp(channels, nn.BatchNorm1d(channels), nn.ReLU())
                for _ in range(layers - 1)
            )

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        batch: Tensor,
        batch_size: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        h = self.atoms(x)
        shared = None if self.start is None else self.start.expand(batch_size, -1)
        last = len(self.convs) - 1
        for number, conv in enumerate(self.convs):
            if shared is not None:
                h = h + shared[batch]
            before, bonds = h, self.bonds[number](edge_attr)
            h = self.norms[number](conv(before, edge_index, bonds))
            if number < last:
                h = h.relu()
            h = functional.dropout(h, self.dropout, self.training)
            if shared is not None and number < last:
                met = scatter(before, batch, 0, batch_size, "sum") + shared
                shared = self.updates[number](met)
                shared = functional.dropout(shared, self.dropout, self.training)
        return h


def _conv(kind: str, channels: int) -> nn.Module:
    if kind == "gcn":
        return BondGCNConv(channels)
    return GINEConv(_mlp(channels), train_eps=True)


def _mlp(channels: int, *more: nn.Module) -> nn.Module:
    hidden = 2 * channels
    layers = [nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, channels), *more)


# How far the number of parameters may be from that of the readout `sum`.
TOLERANCE = 0.05


class MoleculeModel(nn.Module):
    r"""A graph network with a readout.

    The body's vectors of a molecule's atoms become one by the readout, and the answers
    by a linear layer; of `relation`, `relation-attention` and `mlp-sum` by an MLP with
    one hidden layer, the outer function of relation networks.

    Args:
        body (str): :obj:`"gin"` or :obj:`"gcn"`.
        readout (str): One of :obj:`READOUTS`.
        channels (int): The width of all layers.
        num_tasks (int): The number of answers.
        size (Size): Layers and dropout.

    Shapes:
        - **input:** as for :class:`MoleculeBody`
        - **output:** :math:`(B, T)`
    """

    def __init__(
        self, body: str, readout: str, channels: int, num_tasks: int, size: Size
    ) -> None:
        super().__init__()
        self.body = MoleculeBody(
            body, channels, size.layers, size.dropout, readout == "virtual-node"
        )
        self.readout = build_readout(readout, channels, size.heads)
        if readout in ("relation", "relation-attention", "mlp-sum"):
            widths = [channels, channels, num_tasks]
            self.head: nn.Module = MLP(widths, norm=None)
        else:
            width = 2 * channels if readout == "set2set" else channels
            self.head = nn.Linear(width, num_tasks)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        batch: Tensor,
        batch_size: int,
    ) -> Tensor:
        r"""Runs the forward pass."""
        h = self.body(x, edge_index, edge_attr, batch, batch_size)
        return self.head(self.readout(h, index=batch, dim_size=batch_size))


class RelationPerNode(Aggregation):
    r"""Sums a relation over all pairs of a set, divided by the number of its nodes.

    .. math::
        \mathbf{x}^{\prime}_s = \frac{1}{|s|} \sum_{i, j \in s}
        g(\mathbf{x}_i, \mathbf{x}_j)

    Divided so that a relation that does not look at one end is a sum over nodes: the
    control `mlp-sum` is that case. The plain sum grows with the square of the size.

    Args:
        nn (PairwiseMLP): The relation :math:`g`.

    Shapes:
        - **input:** nodes :math:`(N, F)`, set of each node :math:`(N)`
        - **output:** :math:`(B, F_{out})`
    """

    def __init__(self, nn: PairwiseMLP) -> None:
        super().__init__()
        self.relation = RelationAggregation(nn, aggr="mean")

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass."""
        assert index is not None
        # Over |s| squared pairs, so that this is the sum divided by |s|.
        mean = self.relation(x, index, dim_size=dim_size)
        return mean * degree(index, dim_size, mean.dtype).unsqueeze(1)


def build_readout(name: str, channels: int, heads: int) -> Aggregation:
    """Returns the readout of a name."""
    if name == "sum":
        return SumAggregation()
    if name in ("mean", "virtual-node"):
        return MeanAggregation()
    if name == "set2set":
        return Set2Set(channels, processing_steps=2)
    if name == "set-transformer":
        return SetTransformerAggregation(channels, heads=heads)
    if name == "mlp-sum":
        return DeepSetsAggregation(MLP([channels, channels, channels], norm=None))
    if name == "relation":
        nn = PairwiseMLP(channels, [channels, channels], plain_last=True)
        return RelationPerNode(nn)
    assert name == "relation-attention"
    nn = PairwiseMLP(channels, [channels, channels], plain_last=True)
    return RelationAttentionAggregation(channels, channels // heads, heads, nn=nn)


@cache
def matched_width(body: str, readout: str, num_tasks: int, size: Size) -> int:
    """Returns the width with which a model has as many parameters as with `sum`.

    The rule: all layers of body, readout and head have one width; it is that of the
    size for `sum`, and else the one whose number of parameters is nearest, among
    multiples of the number of heads where a readout has heads."""
    wanted = _parameters(body, "sum", size.width, num_tasks, size)
    step = size.heads if readout in ("set-transformer", "relation-attention") else 1
    widths = range(step, size.width + step, step)

    def count(width: int) -> int:
        return _parameters(body, readout, width, num_tasks, size)

    above = bisect_left(widths, wanted, key=count)
    near = widths[max(0, above - 1) : above + 1]
    best = min(near, key=lambda width: abs(count(width) - wanted))
    if abs(count(best) - wanted) > TOLERANCE * wanted:
        raise RuntimeError(
            f"No width gives {readout!r} within {TOLERANCE:.0%} of {wanted:,} "
            f"parameters; the nearest, {best}, has {count(best):,}."
        )
    return best


@cache
def _parameters(body: str, readout: str, width: int, num_tasks: int, size: Size) -> int:
    with torch.device("meta"):
        return count_parameters(MoleculeModel(body, readout, width, num_tasks, size))


@dataclass(frozen=True)
class MoleculeTask(Task):
    """The labels that are there, with the loss of OGB's examples.

    Args:
        metric (str): The metric of OGB's evaluator.
        mode (str): Which way is better.
        classes (bool): Whether a label is 0 or 1, not a number.
    """

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the labels."""
        known = ~y.isnan()
        answers, labels = output[known], y[known].to(output.dtype)
        if self.classes:
            return functional.binary_cross_entropy_with_logits(answers, labels)
        return functional.mse_loss(answers, labels)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return what the evaluator reads, labels and answers, `[2, B, T]`."""
        return torch.stack([y, output.detach().float()])


class Evaluator(Metric):
    """OGB's evaluator of a whole split.

    Args:
        dataset (str): Name of the set, as the evaluator knows it.
        metric (str): The metric of the evaluator.
    """

    full_state_update = False
    rows: list[Tensor]

    def __init__(self, dataset: str, metric: str) -> None:
        super().__init__()
        self.metric = metric
        self.evaluator = import_ogb("ogb.graphproppred").Evaluator(dataset)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, rows: Tensor, indices: dict[str, Tensor]) -> None:
        """Add the labels of a batch and the answers to it."""
        self.rows.append(rows.cpu())

    def compute(self) -> dict[str, dict[str, float]]:
        """Return the score."""
        y, out = torch.cat(self.rows, dim=1)
        score = self.evaluator.eval({"y_true": y, "y_pred": out})
        return {"all": {"all": float(score[self.metric])}}


def build_module(
    model: nn.Module, dataset: str, task_type: str, metric: str, learning_rate: float
) -> RelationalModule:
    """Returns what trains a model: by Adam with a constant learning rate, scored by
    OGB's evaluator."""
    mode: Literal["min", "max"] = "min" if metric == "rmse" else "max"
    module = RelationalModule(
        model,
        MoleculeTask(metric, mode, classes=task_type != "regression"),
        optimizer="Adam",
        learning_rate=learning_rate,
        schedule=lambda step, total_steps: 1.0,
        fused=False,
    )
    module.score = Evaluator(dataset, metric)
    return module


class MoleculeDataModule(RelationalDataModule):
    """The splits of a set, without a last training batch of a single molecule: batch
    normalisation cannot learn from one row."""

    def train_loader(self) -> DataLoader:
        """Return shuffled batches of the training split."""
        split = self.dataset("train")
        alone = len(split) % self.batch_size == 1
        return graph_loader(split, self.batch_size, shuffle=True, drop_last=alone)


def load_data(dataset: str, root: str, batch_size: int) -> MoleculeDataModule:
    """Returns the splits of a set of molecules.

    `ogbg-molhiv` is rebuilt from its SMILES where OGB's own folder is not at hand."""
    if dataset == MolHIV.name and folder_at_hand(dataset, root) is None:
        folder = str(Path(root, "molhiv"))
        data = MoleculeDataModule(MolHIV, folder, {}, batch_size)
    else:
        data = MoleculeDataModule(OGBMolecules, root, {"name": dataset}, batch_size)
    data.setup()
    return data


def run_case(
    case: Case, data: MoleculeDataModule, folder: Path, accelerator: str
) -> dict[str, Any]:
    """Train a model, from where it was killed if it was, and test it."""
    pl.seed_everything(case.seed, workers=True, verbose=False)
    split = data.dataset("train")
    channels = matched_width(case.body, case.readout, split.num_tasks, case.size)
    module = build_module(
        MoleculeModel(case.body, case.readout, channels, split.num_tasks, case.size),
        case.dataset,
        split.task_type,
        split.eval_metric,
        case.size.learning_rate,
    )
    curve, name = trainings.KeptCurve(), f"val/{split.eval_metric}"
    monitor, epochs = (name, module.task.mode), case.size.epochs
    fitted = trainings.train(
        case, module, data, folder, epochs, curve, monitor, name, accelerator
    )
    with quiet_lightning():
        fitted.trainer.test(module, data, verbose=False)
    best = (min if module.task.mode == "min" else max)(curve.points)
    figures = {
        "metric": split.eval_metric,
        "validation": best,
        "test": module.scores["all"]["all"],
        "best_epoch": curve.points.index(best) + 1,
        "channels": channels,
        "curve": curve.points,
        "data": type(split).__name__,
    }
    return trainings.finish(case, folder, fitted, figures)


def run(
    dataset: str = "ogbg-molesol",
    readouts: list[str] | None = None,
    seeds: int = 3,
    body: Literal["gin", "gcn"] = "gin",
    size: Literal["laptop", "paper"] = "laptop",
    epochs: int | None = None,
    root: str = "datasets/ogb",
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    threads: int | None = None,
    quick: bool = False,
    record: bool = False,
) -> dict[str, Any]:
    """Compares readouts of graph networks on a set of OGB's molecules, with equally
    many parameters, the epoch that validates best, and OGB's evaluator.

    Every finished run is kept in `runs/benchmark-ogb/<dataset>-<body>-<size>`: the
    same command goes on where it was stopped, and further readouts or seeds add to it.
    The figures of all are written there as `<dataset>-<body>-<size>.json` and `.png`.

    Args:
        dataset (str): Name of the set. (default: `"ogbg-molesol"`)
        readouts (list[str], optional): Readouts; all by default. (default: `None`)
        seeds (int): Number of seeds, from 0 on. (default: `3`)
        body (str): `"gin"` or `"gcn"`. (default: `"gin"`)
        size (str): `"laptop"` (narrow, few epochs) or `"paper"`, as OGB's examples.
            (default: `"laptop"`)
        epochs (int, optional): Epochs instead of those of the size. (default: `None`)
        root (str): Folder of the sets. (default: `"datasets/ogb"`)
        accelerator (str): Where to compute. (default: `"auto"`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        quick (bool): A tiny model, two epochs. (default: `False`)
        record (bool): Write the figures to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A name is unknown, a number is too small, or data are missing or
            damaged.
    """
    chosen = choose_size(size, epochs, quick)
    trainings.choose("dataset", [dataset], molecule_sets())
    names = trainings.choose("readout", readouts, READOUTS)
    harness.check_at_least(1, seeds=seeds, threads=threads)
    label: str = "quick" if quick else size
    if epochs is not None:
        label += f"-{epochs}epochs"
    name = f"{dataset}-{body}-{label}"
    folder = RUNS / name
    cases = [
        Case(dataset, body, readout, seed, chosen)
        for readout in names
        for seed in range(seeds)
    ]
    # Read when a training needs them.
    load = cache(lambda: load_data(dataset, root, chosen.batch_size))
    with harness.threads(threads):
        runs = trainings.run_all(
            cases,
            folder,
            lambda case: run_case(case, load(), folder, accelerator),
            _said,
        )
    kind = runs[-1]["hardware"]
    options = {"dataset": dataset, "readouts": names, "seeds": seeds, "body": body}
    options |= {"size": size, "epochs": epochs, "quick": quick}
    command = harness.command_line(
        run, options, every=("dataset", "seeds", "body", "size")
    )
    rows = [_row(readout, runs) for readout in names]
    note = f"{harness.place(kind)}. `{command}`"
    figures = {
        "table": table(dataset, body, chosen, rows, runs[0]["metric"], note),
        **harness.made_by(command),
        "hardware": kind,
        "dataset": dataset,
        "body": body,
        "size": asdict(chosen),
        "metric": runs[0]["metric"],
        "rows": rows,
        "runs": runs,
    }
    return harness.write_record(folder, name, figures, record, draw(figures))


def _said(figures: dict[str, Any]) -> str:
    shown = ", ".join(f"{key} {figures[key]:.4f}" for key in ("validation", "test"))
    return f"{figures['metric']} {shown}"


def _row(readout: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    own = [run for run in runs if run["settings"]["readout"] == readout]
    return {
        "readout": readout,
        "seeds": len(own),
        "parameters": own[0]["parameters"],
        "channels": own[0]["channels"],
        "seconds": statistics.mean(run["seconds"] for run in own),
        **{
            split: harness.over_seeds([run[split] for run in own])
            for split in ("validation", "test")
        },
    }
