import logging
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loader import check_same_batch
from torch.utils.data import Subset
from torch_geometric.data import Data, InMemoryDataset, OnDiskDataset
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import ChunkedOnDiskDataset, SortOfCLEVROnDisk
from pyg_relational.loader import (
    NotStoredError,
    OnDiskGraphs,
    PairBudgetBatchSampler,
    StoredLoader,
    graph_loader,
    pair_costs,
    why_not_stored,
)

SIZES = (2, 0, 3, 1, 3, 2)


def graphs(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> list[Data]:
    """Graphs with attributes of all kinds that are joined."""
    torch.manual_seed(seed)
    out = []
    for number, size in enumerate(sizes):
        edges = number % 4 if size else 0
        data = Data(
            x=torch.randn(size, 3),
            edge_index=torch.randint(max(size, 1), (2, edges)),
            edge_attr=torch.randn(edges, 2, 1),
            y=torch.tensor([number]),
            small_index=torch.zeros(edges, dtype=torch.int16),
            seen_index=torch.randn(2, number % 3) > 0,
            u=torch.randn(1 + number % 2, 2),
            weight=0.5 * number,
            first=torch.randn(size) > 0,
        )
        out.append(data)
    return out


def tokens() -> list[Data]:
    return [Data(u=torch.randn(n, 1), y=torch.zeros(1)) for n in SIZES]


def counted() -> list[Data]:
    edges = torch.zeros(2, 1, dtype=torch.long)
    return [Data(u=torch.ones(1, n), edge_index=edges, num_nodes=n) for n in [3] * 4]


class Made:
    """A picklable chunk of given graphs."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __call__(self, chunk: int) -> Any:
        return InMemoryDataset.collate(self.graphs)


def build(root: Path, made: list[Data], **options: Any) -> ChunkedOnDiskDataset:
    return ChunkedOnDiskDataset(str(root), "a.db", Made(made), 1, **options)


KINDS = {"graphs": graphs, "without nodes": tokens, "counted": counted}


@pytest.fixture(params=KINDS)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> ChunkedOnDiskDataset:
    return build(tmp_path, KINDS[request.param]())


def check(dataset: Any, *args: Any, **kwargs: Any) -> None:
    """The batches of both loaders are the same, from the same seed."""
    torch.manual_seed(1)
    loader = graph_loader(dataset, *args, **kwargs)
    assert type(loader.dataset) is OnDiskGraphs
    ours = [*loader]
    torch.manual_seed(1)
    theirs = [*DataLoader(dataset, *args, **kwargs)]
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        check_same_batch(one, other)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_batches_are_those_of_pyg(
    dataset: ChunkedOnDiskDataset, batch_size: int
) -> None:
    check(dataset, batch_size)
    check(dataset, batch_size, shuffle=True)


def test_rows_are_followed_and_attributes_left_out(
    dataset: ChunkedOnDiskDataset,
) -> None:
    names = [*dataset[0].keys(), "missing"]
    check(dataset, 3, follow_batch=names)
    for name in names:
        check(dataset, 3, exclude_keys=[name])
    check(dataset, 4, exclude_keys=names[1:])


def test_a_part_in_its_own_order(dataset: ChunkedOnDiskDataset) -> None:
    chosen = [2, 0, 1, 2]
    check(dataset[chosen], 2)
    check(Subset(dataset, chosen), 3, shuffle=True)
    check(Subset(dataset[chosen], [-1, 0]), 2)
    check(dataset[1:], 2)


@given(
    sizes=st.lists(st.integers(0, 5), min_size=2, max_size=8),
    picks=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_any_graphs_in_any_order(
    tmp_path_factory: Any, sizes: list[int], picks: list[int], seed: int
) -> None:
    dataset = build(tmp_path_factory.mktemp("any"), graphs(tuple(sizes), seed))
    order = [[pick % len(sizes) for pick in picks]]
    check(dataset, batch_sampler=order, follow_batch=["x", "u"])


@pytest.mark.parametrize("representation", ["state", "pixels"])
def test_sort_of_clevr(tmp_path: Path, representation: str) -> None:
    dataset = SortOfCLEVROnDisk(
        str(tmp_path), representation=representation, num_train=40, chunk_size=15
    )
    check(dataset, 16, shuffle=True, follow_batch=["u"], exclude_keys=["pair"])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_workers_of_a_loader_open_the_file_themselves(tmp_path: Path) -> None:
    dataset = build(tmp_path, graphs())
    check(dataset, 4)
    for one, other in zip(
        StoredLoader(dataset, 4, num_workers=2), DataLoader(dataset, 4), strict=True
    ):
        check_same_batch(one, other)


def test_loaders_survive_pickling_and_reuse_of_their_graphs(tmp_path: Path) -> None:
    dataset = build(tmp_path, graphs())
    loader = StoredLoader(dataset, 4, follow_batch=["u"])
    next(iter(loader))
    loader = pickle.loads(pickle.dumps(loader))
    # As Lightning makes a loader anew.
    again = StoredLoader(loader.dataset, 4, exclude_keys=["u"])
    for made, option in ((loader, "follow_batch"), (again, "exclude_keys")):
        theirs = DataLoader(dataset, 4, **{option: ["u"]})
        for one, other in zip(made, theirs, strict=True):
            check_same_batch(one, other)
    assert loader.dataset[1].y.tolist() == [1]


def test_batches_share_nothing(tmp_path: Path) -> None:
    dataset = build(tmp_path, graphs((3, 3, 3)))
    loader = StoredLoader(dataset, 3, follow_batch=["x", "y"])
    (expected,) = DataLoader(dataset, 3, follow_batch=["x", "y"])
    (batch,) = loader
    for held in (batch._store._mapping, batch._slice_dict, batch._inc_dict):
        for value in held.values():
            if isinstance(value, torch.Tensor):
                value.zero_()
    (batch,) = loader
    check_same_batch(batch, expected)


def test_left_out_attributes_are_not_read(tmp_path: Path) -> None:
    dataset = build(tmp_path, graphs())
    loader = StoredLoader(dataset, 6, exclude_keys=["x", "u"])
    seen: list[str] = []
    dataset.db.connection.set_trace_callback(seen.append)
    (batch,) = loader
    (query,) = [text for text in seen if text.startswith("SELECT")]
    assert "COL_u" not in query
    # Nodes are counted by the length of the cell.
    assert query.count("COL_x") == query.count("LENGTH(COL_x)") == 1
    assert batch.ptr.tolist() == [0, 2, 2, 5, 6, 9, 11]


def test_batches_by_cost(tmp_path: Path) -> None:
    dataset = build(tmp_path, graphs())
    sampler = PairBudgetBatchSampler(dataset, budget=9, cost="dense")
    check(dataset, batch_sampler=sampler)


def test_wrong_numbers(tmp_path: Path) -> None:
    stored = OnDiskGraphs(build(tmp_path, graphs()))
    assert stored.__getitems__([-1, 1]).y.tolist() == [5, 1]
    assert len(stored) == 6
    with pytest.raises(IndexError):
        stored.__getitems__([6])
    with pytest.raises(ValueError, match=r"'indices' must name a graph \(got none\)"):
        stored.__getitems__([])


class OwnGet(ChunkedOnDiskDataset):
    def deserialize(self, data: Any) -> Data:
        return super().deserialize(data)


def test_what_cannot_be_joined_is_left_to_pyg(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edges = {"edge_index": torch.zeros(2, 1, dtype=torch.long)}
    cases = [
        (
            "has a transform, which is called",
            build(tmp_path / "a", graphs(), transform=lambda data: data),
        ),
        (
            "has a method 'deserialize' of its own",
            OwnGet(str(tmp_path / "a"), "a.db", Made(graphs()), 1),
        ),
        (
            "'part_batch' is incremented in another way",
            build(tmp_path / "b", [Data(part_batch=torch.zeros(2).long())] * 2),
        ),
        (
            "'edge_index' counts nodes, whose number is unknown",
            build(tmp_path / "c", [Data(y=torch.zeros(1), **edges)] * 2),
        ),
    ]
    for reason, dataset in cases:
        with pytest.raises(NotStoredError, match=reason) as caught:
            StoredLoader(dataset, 2)
        assert why_not_stored(dataset) == str(caught.value)
        with caplog.at_level(logging.INFO):
            loader = graph_loader(dataset, 2)
        assert type(loader) is DataLoader
        assert str(caught.value) in caplog.text
    plain = OnDiskDataset(str(tmp_path))
    assert "'OnDiskDataset' keeps no collated" in str(why_not_stored(plain))
    with pytest.raises(NotStoredError, match="is not a 'ChunkedOnDiskDataset'"):
        OnDiskGraphs(plain)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE graphs SET COL_x = x'00' WHERE id = 2",
        "UPDATE graphs SET COL_y = x'00' WHERE id = 2",
        "UPDATE graphs SET COL_y = 'text' WHERE id = 2",
        "DELETE FROM graphs WHERE id = 2",
        # Together they are a whole row.
        "UPDATE graphs SET COL_x = zeroblob(1 + 10 * (id - 2)) WHERE id IN (2, 3)",
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, change: str) -> None:
    dataset = build(tmp_path, graphs())
    connection = sqlite3.connect(dataset.processed_paths[0])
    connection.executescript(change)
    connection.close()
    with pytest.raises(ValueError, match=r"a\.db' is damaged.*; delete it"):
        OnDiskGraphs(dataset).__getitems__([2, 3, 0])


def test_pairs_are_counted_without_reading_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = graphs()
    dataset = build(tmp_path, made)
    monkeypatch.setattr(ChunkedOnDiskDataset, "get", None)
    assert dataset.row_counts("edge_attr").tolist() == [g.num_edges for g in made]
    for cost in ("sorted", "dense", "edges"):
        assert pair_costs(dataset, cost).equal(pair_costs(made, cost))
    assert pair_costs(dataset[[4, 1]], "dense").tolist() == [9, 1]


@pytest.mark.parametrize("cost", ["sorted", "dense"])
def test_numbers_of_nodes_that_are_stored_count(tmp_path: Path, cost: str) -> None:
    made = [Data(x=torch.ones(n + 1, 1), num_nodes=n) for n in (3, 5)]
    assert pair_costs(build(tmp_path, made), cost).equal(pair_costs(made, cost))
