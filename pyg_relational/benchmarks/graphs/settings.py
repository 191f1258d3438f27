"""What a run of the benchmark is: its task, model, budget and sizes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pyg_relational.train.errors import UsageError, nearest_names


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
class Case:
    """One training run.

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

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be the same for two runs to be the same, as in JSON."""
        return {**asdict(self), "sizes": list(self.sizes)}


def steps_for(task: str, model: str, num_nodes: int) -> int:
    """Returns how often a model relates nodes, which depends on nothing but the number
    of nodes: what has to be related may be farther apart in larger graphs.

    In the plane that distance grows with the square root of the number of nodes; it is
    multiplied by 6, for a way there and back. Numbers to sort are all related to each
    other, in 4 steps. The one-step model has one step.

    Args:
        task (str): One of `TASKS`.
        model (str): One of `MODELS`.
        num_nodes (int): Nodes of the largest graph of a kind.
    """
    if model == "relation":
        return 1
    return 4 if task == "sorting" else math.ceil(6 * math.sqrt(num_nodes))


def step_range(task: str, model: str) -> tuple[int, int]:
    """Returns the smallest and the largest number of steps in training, from which one
    is drawn for each batch: an answer shall last, not appear in a certain step.

    Args:
        task (str): One of `TASKS`.
        model (str): One of `MODELS`.
    """
    usual = steps_for(task, model, TRAIN_NODES[1])
    return math.ceil(2 * usual / 3), max(1, 7 * usual // 6)


def choose_names(
    option: str, names: Sequence[str] | None, known: Sequence[str]
) -> tuple[str, ...]:
    """Returns the names, each once and in the order of the known ones; all by default.

    Args:
        option (str): What they are names of.
        names (list, optional): The names asked for.
        known (list): All there are.

    Raises:
        UsageError: A name is unknown.
    """
    for name in names or ():
        if name not in known:
            hint = nearest_names(name, known)
            raise UsageError(f"unknown {option} '{name}'; {hint}")
    return tuple(name for name in known if names is None or name in names)


def choose_budget(epochs: int | None, quick: bool) -> Budget:
    """Returns the budget, with another number of epochs where one is given.

    Args:
        epochs (int, optional): Epochs instead of the usual ones.
        quick (bool): Take the smallest budget instead.

    Raises:
        UsageError: The number of epochs is smaller than 1.
    """
    chosen = QUICK if quick else Budget()
    if epochs is None:
        return chosen
    if epochs < 1:
        raise UsageError(f"expected --epochs of at least 1, got {epochs}")
    return replace(chosen, epochs=epochs)
