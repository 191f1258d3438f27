"""What a run of the benchmark is: its body, readout and budget."""

from dataclasses import dataclass, replace

from pyg_relational.train.errors import UsageError

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
class Case:
    """One training run.

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
    """Returns the size of a name, with another number of epochs where one is given.

    Args:
        size (str): `"laptop"` or `"paper"`.
        epochs (int, optional): Epochs instead of those of the size.
        quick (bool): Take the smallest size instead.

    Raises:
        UsageError: The number of epochs is smaller than 1.
    """
    chosen = QUICK if quick else SIZES[size]
    if epochs is None:
        return chosen
    if epochs < 1:
        raise UsageError(f"expected --epochs of at least 1, got {epochs}")
    return replace(chosen, epochs=epochs)


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
