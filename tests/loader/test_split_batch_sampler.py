import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loader import check_same_batch
from torch.utils.data import BatchSampler, SequentialSampler
from torch_geometric.data import Data

from pyg_relational.loader import PairBudgetBatchSampler, SplitBatchSampler, in_memory
from pyg_relational.loader.stored import StoredLoader


@given(
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, 9),
)
def test_parts_make_up_each_batch(graphs: int, size: int, processes: int) -> None:
    batches = BatchSampler(SequentialSampler(range(graphs)), size, drop_last=False)
    samplers = [SplitBatchSampler(batches, n, processes) for n in range(processes)]
    parts = [[*sampler] for sampler in samplers]
    assert {len(sampler) for sampler in samplers} == {len(batches)}
    for number, batch in enumerate(batches):
        found = []
        for sampler, mine in zip(samplers, parts, strict=True):
            part = mine[number]
            assert part
            if sampler.stands_in(number):
                assert part == batch[:1]
                assert len(batch) < processes
            else:
                found.append(part)
        assert [graph for part in found for graph in part] == batch
        sizes = [*map(len, found)]
        assert max(sizes) - min(sizes) <= 1


def test_stand_ins_are_those_of_the_epoch() -> None:
    batches = [[[0], [1, 2]], [[1, 2], [0]]]

    class Reordered:
        def __iter__(self):
            return iter(batches.pop(0))

    sampler = SplitBatchSampler(Reordered(), 0, 2)
    assert [*sampler] == [[0], [1]]
    assert [sampler.stands_in(n) for n in range(2)] == [True, False]
    assert [*sampler] == [[1], [0]]
    assert [sampler.stands_in(n) for n in range(2)] == [False, True]


def test_the_epoch_reaches_what_orders_the_graphs() -> None:
    graphs = in_memory([Data(x=torch.zeros(n % 4 + 1, 1)) for n in range(20)])
    budget = PairBudgetBatchSampler(graphs, 20, shuffle=True)
    sampler = SplitBatchSampler(budget, 1, 2)
    sampler.sampler.set_epoch(3)
    expected = [batch[len(batch) // 2 :] for batch in budget]
    assert [*sampler] == expected
    loaded = StoredLoader(graphs, batch_sampler=sampler)
    for batch, part in zip(loaded, expected, strict=True):
        check_same_batch(batch, next(iter(StoredLoader(graphs[part], len(part)))))


def test_processes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="'world_size' must be at least 1"):
        SplitBatchSampler([[0]], 0, 0)
    with pytest.raises(ValueError, match=r"'rank' must be from 0 to 1.*got 2"):
        SplitBatchSampler([[0]], 2, 2)
