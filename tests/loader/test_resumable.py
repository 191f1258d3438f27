import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from pyg_relational.loader import (
    PairBudgetBatchSampler,
    ResumableLoader,
    graph_loader,
    in_memory,
)

Batches = list[tuple[list[int], float]]


class Drawn:
    """Numbers that are partly drawn when they are read, by three libraries."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> list[float]:
        return [index, torch.rand(()).item(), np.random.rand(), random.random()]


def drawn() -> ResumableLoader:
    return ResumableLoader(DataLoader(Drawn(), batch_size=4, shuffle=True))


def graphs() -> ResumableLoader:
    data = [Data(x=torch.full((n % 3 + 1, 2), n)) for n in range(23)]
    return ResumableLoader(graph_loader(in_memory(data), batch_size=4, shuffle=True))


def used(batch: Any) -> Any:
    """A batch, and numbers that its step draws."""
    content = batch.to_dict() if isinstance(batch, Data) else batch
    step = (torch.rand(()).item(), np.random.rand(), random.random())
    return repr((content, step))


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def epochs(loader: ResumableLoader, number: int) -> Iterator[Any]:
    for _ in range(number):
        for batch in loader:
            yield used(batch)


@pytest.mark.parametrize("make", [drawn, graphs])
@pytest.mark.parametrize("after", [1, 3, 6, 7, 12])
def test_what_was_left_comes(make: Callable[[], ResumableLoader], after: int) -> None:
    seed(5)
    whole = [*epochs(make(), 3)]
    seed(5)
    loader = make()
    running = epochs(loader, 3)
    before = [next(running) for _ in range(after)]
    state = through_a_file(loader.state_dict())
    seed(6)
    other = make()
    other.load_state_dict(state)
    assert before + [*epochs(other, 3)][: len(whole) - after] == whole


def test_batches_are_those_of_the_loader() -> None:
    seed(5)
    expected = [*drawn().loader]
    seed(5)
    assert repr([*drawn()]) == repr(expected)


def test_before_the_first_epoch() -> None:
    loader, fresh = drawn(), drawn()
    assert loader.state_dict() == {}
    fresh.load_state_dict(loader.state_dict())
    seed(5)
    expected = repr([*drawn()])
    seed(5)
    assert repr([*fresh]) == expected


def test_other_batches_are_refused() -> None:
    loader = drawn()
    assert len([*loader]) == len(loader) == 6
    short = ResumableLoader(DataLoader(Drawn(), batch_size=8))
    with pytest.raises(ValueError, match=r"'position' of 'state' must be at most 3.*6"):
        short.load_state_dict(loader.state_dict())


def test_the_epoch_reaches_the_sampler() -> None:
    data = [Data(x=torch.full((n % 3 + 1, 2), n)) for n in range(23)]
    sampler = PairBudgetBatchSampler(in_memory(data), budget=20, shuffle=True)
    loader = ResumableLoader(graph_loader(in_memory(data), batch_sampler=sampler))
    loader.batch_sampler.sampler.set_epoch(2)
    assert sampler.epoch == 2
