"""Recipes whose training batches are filled by the cost of pairs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_relational._checks import UsageError
from pyg_relational.loader import in_memory, pair_costs
from pyg_relational.train import configure, train
from pyg_relational.train.datamodule import RelationalDataModule


def ragged(root: str, split: str) -> Any:
    sizes = torch.randint(1, 12, (40,), generator=torch.Generator().manual_seed(1))
    graphs = [Data(x=torch.full((int(n), 1), k)) for k, n in enumerate(sizes)]
    return in_memory(graphs)


def test_batches_cost_what_they_may() -> None:
    data = RelationalDataModule(ragged, "", {}, 8, pairs=300, pair_cost="dense")
    costs = pair_costs(data.dataset("train"), "dense")
    loader = data.train_dataloader()
    seen, spent = [], []
    for batch in loader:
        graphs = batch.x[batch.ptr[:-1], 0].long()
        seen += graphs.tolist()
        spent.append(int(costs[graphs].sum()))
    assert sorted(seen) == [*range(40)]
    assert max(spent) <= 300 < sum(sorted(spent)[:2])
    assert len(loader) == len(spent)
    # What is scored comes in batches of graphs.
    assert [batch.num_graphs for batch in data.val_dataloader()] == [8] * 5
    loader.batch_sampler.sampler.set_epoch(1)
    again = [int(g) for batch in loader for g in batch.x[batch.ptr[:-1], 0]]
    assert again != seen
    assert sorted(again) == sorted(seen)


def test_a_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"budget.pairs": 60, "budget.pair_cost": "dense"}
    config = configure(str(recipe), command="c", baseline=False, settings=settings)
    results = train(config, recipe.parent / "run")
    # Six scenes of nine pairs a batch, 64 in all.
    assert results["training"]["steps"] == 2 * 11


def test_unknown_cost(recipe: Path) -> None:
    settings = {"budget.pairs": 60, "budget.pair_cost": "guessed"}
    config = configure(str(recipe), command="c", baseline=False, settings=settings)
    with pytest.raises(UsageError, match=r"budget\.pairs: 'cost' must be .*guessed"):
        train(config, recipe.parent / "run")
    with pytest.raises(UsageError, match=r"budget\.pairs must be a whole number of at"):
        configure(str(recipe), command="c", settings={"budget.pairs": 0})
