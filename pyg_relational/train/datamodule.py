"""The one data module: the three splits of any dataset of this package."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import distributed
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational._checks import UsageError
from pyg_relational.loader import (
    PairBudgetBatchSampler,
    ResumableLoader,
    SplitBatchSampler,
    graph_loader,
)
from pyg_relational.train.processes import gather, rank, world_size

# The part of each batch that one of several processes computes, and where it is.


class SharedRandomSampler(RandomSampler):
    """Draws the same order in every process: that of the first."""

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of a new order."""
        # As RandomSampler draws it: the order is that of one process alone.
        seed = [int(torch.empty((), dtype=torch.int64).random_().item())]
        distributed.broadcast_object_list(seed)
        self.generator = torch.Generator().manual_seed(seed[0])
        yield from super().__iter__()


class TrainingLoader(ResumableLoader):
    """Keeps where each process was: the first one writes the checkpoint of all."""

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all processes."""
        return {"processes": gather(super().state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let this process continue where it was, if there was one of its number."""
        states = state.get("processes", [])
        super().load_state_dict(states[rank()] if rank() < len(states) else {})


class PartLoader:
    """Loads this process's part of each batch.

    Rows of a graph that stands in for an empty part are not marked in ``y_mask``.

    Args:
        dataset (Dataset): The graphs, the same in every process.
        batches (Sampler): Yields the batches of all processes, the same in each.
        **options: Further arguments of :func:`~pyg_relational.loader.graph_loader`.
    """

    def __init__(self, dataset: Any, batches: Any, **options: Any) -> None:
        self.parts = SplitBatchSampler(batches, rank(), world_size())
        self.loader: DataLoader = graph_loader(
            dataset, batch_sampler=self.parts, **options
        )

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def batch_sampler(self) -> SplitBatchSampler:
        """What forms the parts: Lightning tells its sampler the epoch."""
        return self.parts

    def __iter__(self) -> Iterator[Data]:
        """Yield the parts."""
        for number, batch in enumerate(self.loader):
            if self.parts.stands_in(number):
                batch.y_mask = torch.zeros(batch.y.size(0), dtype=torch.bool)
            yield batch


SPLITS = ("train", "val", "test")


class RelationalDataModule(pl.LightningDataModule):
    """Loads the splits of a dataset and batches their graphs, by slicing stored tensors
    where the dataset allows it. Of several processes each loads its part of a batch.

    Args:
        dataset_class (type): Called as ``dataset_class(root, split=..., **args)``.
        root (str): Folder of the dataset.
        args (dict[str, Any]): Further arguments of the dataset.
        batch_size (int): Graphs a batch, of all processes.
        follow_batch (list[str], optional): Attributes whose rows get a vector
            ``<name>_batch`` that assigns them to graphs. (default: ``None``)
        keep (Collection[str], optional): Attributes to batch; ``None`` batches all.
            Batching costs time for every attribute. (default: ``None``)
        augment (Sequence[BaseTransform]): Transforms of training batches.
            (default: ``()``)
        pairs (int, optional): What a training batch of all processes may cost in
            place of ``batch_size``, the ``budget`` of a
            :class:`~pyg_relational.loader.PairBudgetBatchSampler`.
            (default: ``None``)
        pair_cost (str): The method that costs it. (default: ``"sorted"``)
        seed (int): Seed of the order of such batches. (default: ``0``)

    Raises:
        UsageError: If the dataset does not take the arguments.
    """

    def __init__(
        self,
        dataset_class: type[Any],
        root: str,
        args: dict[str, Any],
        batch_size: int,
        follow_batch: list[str] | None = None,
        keep: Collection[str] | None = None,
        augment: Sequence[BaseTransform] = (),
        pairs: int | None = None,
        pair_cost: str = "sorted",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset_class = dataset_class
        self.root = root
        self.args = args
        self.batch_size = batch_size
        self.pairs = pairs
        self.pair_cost = pair_cost
        self.seed = seed
        self.follow_batch = follow_batch
        self.keep = keep
        self.augment = augment
        self.datasets: dict[str, Any] = {}
        self._training: TrainingLoader | None = None
        self._resumed: dict[str, Any] = {}

    def prepare_data(self) -> None:
        """Generate the splits once on each machine, before other processes load."""
        if world_size() > 1:
            function = None if self.trainer is None else self.trainer.state.fn
            self.setup(function and function.value)

    def setup(self, stage: str | None = None) -> None:
        """Generate or load the splits that the stage needs."""
        splits = {"fit": SPLITS[:2], "validate": ("val",), "test": ("test",)}
        for split in splits.get(stage or "", SPLITS):
            self.dataset(split)

    def dataset(self, split: str) -> Any:
        """Return one split, ``"train"``, ``"val"`` or ``"test"``; it is loaded once."""
        if split not in self.datasets:
            try:
                self.datasets[split] = self.dataset_class(
                    self.root, split=split, **self.args
                )
            except (TypeError, ValueError) as error:
                name = self.dataset_class.__name__
                raise UsageError(f"dataset {name}: {error}") from error
        return self.datasets[split]

    def train_dataloader(self) -> TrainingLoader:
        """Return shuffled batches of the training split, which a run that was
        interrupted continues."""
        self._training = TrainingLoader(self.train_loader())
        self._training.load_state_dict(self._resumed)
        self._resumed = {}
        return self._training

    def train_loader(self) -> Any:
        """Return what loads those: other orders override this."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader | PartLoader:
        """Return batches of the validation split."""
        return self._loader("val", shuffle=False)

    def test_dataloader(self) -> DataLoader | PartLoader:
        """Return batches of the test split."""
        return self._loader("test", shuffle=False)

    def state_dict(self) -> dict[str, Any]:
        """Return where the training loader is."""
        return {} if self._training is None else self._training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training loader continue there: Lightning does not tell it when
        a schedule has asked for the number of steps before."""
        self._resumed = state_dict

    def on_after_batch_transfer(self, batch: Data, dataloader_idx: int) -> Data:
        """Augment a batch if it is one to train on."""
        if self.trainer is not None and self.trainer.training:
            for transform in self.augment:
                batch = transform(batch)
        return batch

    def _loader(self, split: str, shuffle: bool) -> DataLoader | PartLoader:
        dataset = self.dataset(split)
        options: dict[str, Any] = {"follow_batch": self.follow_batch}
        if self.keep is not None:
            options["exclude_keys"] = sorted({*dataset[0].keys()} - {*self.keep})
        if shuffle and self.pairs is not None:
            return PartLoader(
                dataset, self._pair_batches(dataset, self.pairs), **options
            )
        if world_size() == 1:
            return graph_loader(
                dataset, batch_size=self.batch_size, shuffle=shuffle, **options
            )
        order = SharedRandomSampler if shuffle else SequentialSampler
        batches = BatchSampler(order(dataset), self.batch_size, drop_last=False)
        return PartLoader(dataset, batches, **options)

    def _pair_batches(self, dataset: Any, pairs: int) -> PairBudgetBatchSampler:
        try:
            return PairBudgetBatchSampler(
                dataset, pairs, self.pair_cost, shuffle=True, seed=self.seed
            )
        except ValueError as error:
            raise UsageError(f"budget.pairs: {error}") from error
