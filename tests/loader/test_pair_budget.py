import copy
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from loader import check_same_batch
from torch import Tensor
from torch.utils.data import BatchSampler, SequentialSampler
from torch_geometric.data import Data

from pyg_relational.loader import (
    PairBudgetBatchSampler,
    SplitBatchSampler,
    StoredLoader,
    in_memory,
    pair_costs,
)
from pyg_relational.loader.pair_budget import fill, join_lightest, split_largest

COSTS = st.lists(st.integers(1, 30), min_size=1, max_size=40)


def sampler(costs: list[int], budget: int = 20, **kwargs: Any) -> Any:
    return PairBudgetBatchSampler(costs, budget, torch.tensor(costs), **kwargs)


def ranks(costs: list[int], world_size: int, **kwargs: Any) -> list[Any]:
    return [
        sampler(costs, rank=rank, world_size=world_size, **kwargs)
        for rank in range(world_size)
    ]


def check_epoch(costs: list[int], budget: int, made: list[Any]) -> None:
    """Every graph once, none too many, as many batches for all."""
    found = [[*one] for one in made]
    assert {len(batches) for batches in found} == {len(made[0])}
    batches = [*chain(*found)]
    assert all(batches)
    assert sorted(chain(*batches)) == [*range(len(costs))]
    above = [b for b in batches if len(b) > 1 and sum(costs[n] for n in b) > budget]
    # Joined only where halving could not have made the number fit.
    if above:
        assert len(batches) + len(made) > len(costs)


@given(COSTS, st.integers(1, 60), st.integers(1, 5), st.booleans(), st.integers(0, 5))
@settings(max_examples=200)
def test_every_graph_is_in_one_batch_of_one_process(
    costs: list[int], budget: int, world_size: int, shuffle: bool, epoch: int
) -> None:
    assume(len(costs) >= world_size)
    made = ranks(costs, world_size, budget=budget, shuffle=shuffle)
    for one in made:
        one.set_epoch(epoch)
    check_epoch(costs, budget, made)


@given(COSTS, st.integers(1, 60), st.integers(1, 5), st.integers(0, 5))
def test_nothing_is_above_the_budget_where_batches_are_dropped(
    costs: list[int], budget: int, world_size: int, epoch: int
) -> None:
    assume(len(costs) >= world_size)
    made = ranks(costs, world_size, budget=budget, shuffle=True, drop_last=True)
    for one in made:
        one.set_epoch(epoch)
    found = [[*one] for one in made]
    assert {len(batches) for batches in found} == {len(made[0])}
    numbers = [*chain(*chain(*found))]
    assert len(numbers) == len({*numbers}) > len(costs) - world_size
    for batch in chain(*found):
        assert len(batch) == 1 or sum(costs[n] for n in batch) <= budget


@given(COSTS, st.integers(1, 5), st.integers(0, 3), st.data())
def test_an_epoch_continues_where_it_stopped(
    costs: list[int], world_size: int, epoch: int, data: st.DataObject
) -> None:
    assume(len(costs) >= world_size)
    rank = data.draw(st.integers(0, world_size - 1))
    options = {"rank": rank, "world_size": world_size, "shuffle": True, "seed": 3}
    one = sampler(costs, **options)
    one.set_epoch(epoch)
    whole = [*one]
    stop = data.draw(st.integers(0, len(whole)))
    running = iter(one)
    done = [next(running) for _ in range(stop)]
    state = copy.deepcopy(one.state_dict())
    again = sampler(costs, **options)
    again.load_state_dict(state)
    assert again.state_dict() == state
    again.set_epoch(epoch)  # As a trainer does when it goes on.
    assert [*done, *again] == whole
    assert [*again] == whole
    again.set_epoch(epoch + 1)
    one.set_epoch(epoch + 1)
    assert [*again] == [*one]


def test_batches_are_filled_in_order() -> None:
    one = sampler([4, 4, 12, 5, 21, 3, 9, 9, 9])
    assert [*one] == [[0, 1, 2], [3], [4], [5, 6], [7, 8]]


def test_a_peek_does_not_move_the_epoch() -> None:
    one = sampler([10] * 6)
    next(iter(one))
    assert len([*one]) == len(one) == 3


def test_epochs_differ_and_repeat_by_seed() -> None:
    costs = [1 + n % 7 for n in range(50)]
    one, same, other = (sampler(costs, shuffle=True, seed=s) for s in (0, 0, 1))
    first = [*one]
    assert first == [*same] != [*other]
    one.set_epoch(1)
    assert [*one] != first
    one.set_epoch(0)
    assert [*one] == first
    assert [*sampler(costs)] == [*sampler(costs, seed=1)]


def test_every_epoch_has_as_many_batches() -> None:
    costs = np.random.default_rng(0).integers(1, 15, 200).tolist()
    one = sampler(costs, shuffle=True, world_size=2)
    lengths = set()
    for epoch in range(30):
        one.set_epoch(epoch)
        lengths.add(len([*one]))
    assert lengths == {len(one)}


def test_an_epoch_without_a_short_order_takes_the_first_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = [1, 20, 1, 20, 1, 20, 9, 9, 9]
    one = sampler(costs, shuffle=True)
    first = one._first
    filled = [[np.array([n]) for n in range(9)]] * 10
    monkeypatch.setattr(one, "_filled", lambda *_: filled)
    taken = [*one]
    assert taken != [*map(list, first)]
    parts = {n: number for number, batch in enumerate(first) for n in batch.tolist()}
    assert all(len({parts[n] for n in batch}) == 1 for batch in taken)
    check_epoch(costs, 20, [one])


def test_large_batches_are_divided_until_all_processes_have_one() -> None:
    made = ranks([1] * 8, 3, budget=8)
    assert [[*one] for one in made] == [[[0, 1, 2]], [[3, 4, 5]], [[6, 7]]]
    divided = split_largest([np.arange(2), np.arange(2, 9)], 4)
    assert [b.tolist() for b in divided] == [[0, 1], [2, 3, 4], [5, 6], [7, 8]]


def test_the_lightest_are_joined() -> None:
    made = ranks([25, 21, 30], 2)
    assert sorted(sorted(b) for one in made for b in one) == [[0, 1], [2]]
    costs = np.array([1, 2, 2, 2])
    batches = join_lightest([np.array([n]) for n in range(4)], 2, costs)
    assert sorted(sorted(b.tolist()) for b in batches) == [[0, 1], [2, 3]]
    dropped = ranks([25, 21, 30], 2, drop_last=True)
    assert [[*one] for one in dropped] == [[[0]], [[1]]]


def test_filling_nothing() -> None:
    assert fill(np.array([], dtype=np.int64), np.array([], dtype=np.int64), 3) == []


def graphs(sizes: list[int], edges: list[int]) -> list[Data]:
    return [
        Data(x=torch.zeros(n, 1), edge_index=torch.zeros(2, e, dtype=torch.long))
        for n, e in zip(sizes, edges, strict=True)
    ]


def expected(cost: str, nodes: int, edges: int) -> int:
    if cost == "edges":
        return max(edges, 1)
    if cost == "dense":
        return max(nodes**2, 1)
    return max(int(np.ceil(nodes * np.log2(max(nodes, 2)))), 1)


@pytest.mark.parametrize("cost", ["sorted", "dense", "edges"])
@pytest.mark.parametrize("stored", [True, False])
def test_costs_of_methods(cost: str, stored: bool) -> None:
    sizes, edges = [0, 1, 2, 5, 8], [0, 3, 0, 7, 2]
    given = in_memory(graphs(sizes, edges)) if stored else graphs(sizes, edges)
    found = pair_costs(given, cost).tolist()
    wanted = [expected(cost, n, e) for n, e in zip(sizes, edges, strict=True)]
    assert found == wanted
    if stored:
        assert pair_costs(given[[3, 0]], cost).tolist() == [wanted[3], wanted[0]]
    batches = [*PairBudgetBatchSampler(given, 30, cost)]
    assert sorted(chain(*batches)) == [*range(5)]


def test_a_loader_takes_the_batches() -> None:
    dataset = in_memory(graphs([2, 3, 4, 1, 5], [1] * 5))
    batches = PairBudgetBatchSampler(dataset, 20, "dense")
    loader = StoredLoader(dataset, batch_sampler=batches)
    assert [batch.ptr.diff().tolist() for batch in loader] == [[2, 3], [4, 1], [5]]
    assert len(loader) == 3


def test_states_of_other_batches_are_refused() -> None:
    state = sampler([5] * 9, shuffle=True).state_dict()
    for options, name in (
        ({"seed": 1}, "'seed' was 0 and is 1"),
        ({"world_size": 2}, "'world_size' was 1 and is 2"),
        ({"budget": 21}, "'budget' was 20 and is 21"),
        ({"drop_last": True}, "'drop_last' was False"),
    ):
        with pytest.raises(ValueError, match=f"other batches: {name}"):
            sampler([5] * 9, **{"shuffle": True, **options}).load_state_dict(state)
    with pytest.raises(ValueError, match="'costs' was"):
        sampler([5] * 8, shuffle=True).load_state_dict(state)
    with pytest.raises(ValueError, match=r"'position' .* at most 3 \(got 4\)"):
        sampler([5] * 9, shuffle=True).load_state_dict({**state, "position": 4})


def argument(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (argument("budget", 0), r"'budget' must be at least 1 \(got 0\)"),
        (argument("seed", -1), r"'seed' must be at least 0 \(got -1\)"),
        (argument("world_size", 0), r"'world_size' must be at least 1"),
        (argument("rank", 1), r"'rank' must be from 0 to 0, below 'world_size'"),
        (argument("oversize", "skip"), r"'oversize' must be one of alone, error"),
        (argument("world_size", 4), r"a graph for each of 4 processes \(got 3\)"),
        (
            {"oversize": "error", "budget": 9},
            r"graph 1 is 10, of 1 in all above 9; raise it",
        ),
        (
            {"oversize": "error", "budget": 10, "world_size": 2},
            r"3 batches of single graphs that 2 processes cannot share evenly",
        ),
    ],
)
def test_bad_arguments(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sampler([6, 10, 6], **options)


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        ("pairs", r"'cost' must be one of sorted, dense, edges \(got 'pairs'\)"),
        (torch.ones(3), r"int64 of shape \[2\] \(got torch.float32 of shape \[3\]\)"),
        (torch.tensor([1, 0]), r"'cost' must be at least 1 \(got 0\)"),
        ("edges", "graphs have no 'edge_index'; all pairs cost"),
    ],
)
def test_bad_costs(cost: str | Tensor, reason: str) -> None:
    graphs = [Data(x=torch.zeros(1, 1))] * 2
    for dataset in (graphs, in_memory(graphs)):
        with pytest.raises(ValueError, match=reason):
            PairBudgetBatchSampler(dataset, 5, cost)


def test_nodes_that_nobody_counted() -> None:
    graphs = [Data(u=torch.zeros(1))] * 2
    with pytest.raises(ValueError, match="the number of nodes of a graph is not"):
        pair_costs(in_memory(graphs))
    with (
        pytest.warns(UserWarning, match="Unable to accurately infer"),
        pytest.raises(ValueError, match="the number of nodes of a graph is not"),
    ):
        pair_costs(graphs)


def test_epochs_count_from_zero() -> None:
    with pytest.raises(ValueError, match=r"'epoch' must be at least 0 \(got -1\)"):
        sampler([1]).set_epoch(-1)
    assert sampler([1]).sampler.epoch == 0


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
