import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loader import check_same_batch
from torch.utils.data import BatchSampler, SequentialSampler, Subset
from torch_geometric.data import Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader

from pyg_relational.data import TemporalGraph
from pyg_relational.data.convert import Conversion, convert
from pyg_relational.datasets import SceneDataset
from pyg_relational.datasets.base import collate_ragged, collate_stacked
from pyg_relational.loader import (
    NotStoredError,
    StoredGraphs,
    StoredLoader,
    graph_loader,
    in_memory,
    why_not_stored,
)

SIZES = (2, 0, 3, 1, 3, 2)


class Stored(InMemoryDataset):
    """A dataset of given tensors."""

    def __init__(self, data: Data, slices: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._data, self.slices = data, slices


class PairData(Data):
    """Two graphs in one, as in PyG's guide to batching."""

    def __inc__(self, key: str, value: Any, *args: Any) -> Any:
        if key == "edge_index":
            return torch.tensor([[self.x_s.size(0)], [self.x_t.size(0)]])
        if key == "stacked":
            return value.size(0)
        return self.x_s.size(0) if key == "chosen" else super().__inc__(key, value)

    def __cat_dim__(self, key: str, value: Any, *args: Any) -> Any:
        return None if key == "stacked" else super().__cat_dim__(key, value)


def graphs(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> list[Data]:
    """Graphs with attributes of all kinds that are sliced."""
    torch.manual_seed(seed)
    out = []
    for number, size in enumerate(sizes):
        edges = number % 4 if size else 0
        data = Data(
            x=torch.randn(size, 3),
            edge_index=torch.randint(max(size, 1), (2, edges)),
            edge_attr=torch.randn(edges, 2),
            y=torch.tensor([number]),
            small_index=torch.zeros(edges, dtype=torch.int16),
            seen_index=torch.randn(2, number % 3) > 0,
            u=torch.randn(1 + number % 2, 2),
            weight=0.5 * number,
            zero=torch.tensor(number),
            name=f"graph {number}",
        )
        out.append(data)
    return out


def temporal(sizes: tuple[int, ...] = SIZES) -> list[TemporalGraph]:
    torch.manual_seed(0)
    return [
        TemporalGraph(
            torch.randn(size, 1 + number % 3, 2),
            edge_index=torch.randint(max(size, 1), (2, size)),
            frame_time=torch.arange(1.0 + number % 3),
        )
        for number, size in enumerate(sizes)
    ]


def pairs() -> list[PairData]:
    torch.manual_seed(0)
    return [
        PairData(
            x_s=torch.randn(s, 2),
            x_t=torch.randn(t, 2),
            edge_index=torch.stack([torch.randint(n, (3,)) for n in (s, t)]),
            chosen=torch.tensor([0, 1], dtype=torch.int32),
            stacked=torch.randn(2, 2),
            num_nodes=s + t,
        )
        for s, t in ((2, 3), (4, 1), (3, 3), (5, 2))
    ]


def other_graphs() -> dict[str, InMemoryDataset]:
    torch.manual_seed(0)
    each = {
        "x": torch.randn(5, 3, 2),
        "edge_index": torch.randint(3, (5, 2, 4)),
        "edge_label_index": torch.randint(3, (5, 2, 1)),
        "y": torch.arange(5)[:, None],
    }
    nodes = torch.tensor(SIZES)
    rows = {"pixels": torch.arange(6), "u": torch.randn(12, 1)}
    rows["edge_index"] = torch.zeros(2, 6, dtype=torch.int16)
    counts = {"pixels": torch.ones(6).long(), "u": torch.full((6,), 2)}
    counts["edge_index"] = torch.tensor([1, 0, 2, 1, 2, 0])
    middle = Data(x=torch.randn(7, 1), y=torch.arange(6))
    cuts = {"x": torch.tensor([1, 3, 5, 7]), "y": torch.tensor([0, 2, 4, 6])}
    tokens = [Data(u=torch.randn(n, 1), y=torch.zeros(1)) for n in SIZES]
    batches = [Data(x=torch.randn(n, 1), part_batch=torch.arange(n)) for n in (1, 3, 2)]
    return {
        "graphs": in_memory(graphs()),
        "equal graphs": in_memory(graphs((3, 3, 3, 3))),
        "stacked": Stored(*collate_stacked(each)),
        "ragged": Stored(*collate_ragged(rows, counts, nodes)),
        "rows left over": Stored(middle, cuts),
        "without nodes": in_memory(tokens),
        "temporal": in_memory(temporal()),
        "temporal of equal graphs": in_memory(temporal((2, 2, 2))),
        "pairs": in_memory(pairs()),
        "batch vectors": in_memory(batches),
        "empty": in_memory([Data(x=torch.zeros(0, 2)) for _ in range(3)]),
    }


@pytest.fixture(params=list(other_graphs()))
def dataset(request: pytest.FixtureRequest) -> InMemoryDataset:
    return other_graphs()[request.param]


def check(dataset: Any, *args: Any, **kwargs: Any) -> None:
    """The batches of both loaders are the same, from the same seed."""
    torch.manual_seed(1)
    ours = [*StoredLoader(dataset, *args, **kwargs)]
    torch.manual_seed(1)
    theirs = [*DataLoader(dataset, *args, **kwargs)]
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        check_same_batch(one, other)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_batches_are_those_of_pyg(dataset: InMemoryDataset, batch_size: int) -> None:
    check(dataset, batch_size)
    check(dataset, batch_size, shuffle=True)
    check(dataset, batch_size, drop_last=batch_size < 4)


def test_rows_are_followed_and_attributes_left_out(dataset: InMemoryDataset) -> None:
    names = [*dataset[0].keys(), "missing"]
    check(dataset, 3, follow_batch=names)
    for name in names:
        if isinstance(dataset[0], TemporalGraph) and name in ("num_frames", "node_id"):
            continue
        check(dataset, 3, exclude_keys=[name])


def test_a_part_in_its_own_order(dataset: InMemoryDataset) -> None:
    chosen = [2, 0, 1, 2] if len(dataset) > 2 else [1, 0, 1]
    check(dataset[chosen], 2)
    check(Subset(dataset, chosen), 3, shuffle=True)
    check(Subset(dataset[chosen], [-1, 0]), 2)
    check(dataset[1:], 2)
    check(dataset.copy([1, 0]), 2)


@given(
    sizes=st.lists(st.integers(0, 5), min_size=2, max_size=8),
    picks=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_any_graphs_in_any_order(sizes: list[int], picks: list[int], seed: int) -> None:
    dataset = in_memory(graphs(tuple(sizes), seed))
    order = [[pick % len(sizes) for pick in picks]]
    check(dataset, batch_sampler=order, follow_batch=["x", "u"])


def test_generators_and_batch_samplers() -> None:
    dataset = in_memory(graphs())
    orders = []
    for loader in (StoredLoader, DataLoader):
        generator = torch.Generator().manual_seed(3)
        made = loader(dataset, 4, shuffle=True, generator=generator)
        orders.append([[b.y.tolist() for b in made] for _ in range(3)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]
    sampler = BatchSampler(SequentialSampler(dataset), 4, drop_last=True)
    check(dataset, batch_sampler=sampler)


def test_batches_share_nothing() -> None:
    dataset = in_memory(graphs((3, 3, 3)))
    loader = StoredLoader(dataset, 3, follow_batch=["x", "y"])
    (expected,) = DataLoader(dataset, 3, follow_batch=["x", "y"])
    (batch,) = loader
    for held in (batch._store._mapping, batch._slice_dict, batch._inc_dict):
        for value in held.values():
            if isinstance(value, torch.Tensor):
                value.zero_()
    batch.name.clear()
    (batch,) = loader
    check_same_batch(batch, expected)


def test_loaders_survive_pickling_and_reuse_of_their_graphs() -> None:
    dataset = in_memory(graphs())
    loader = pickle.loads(pickle.dumps(StoredLoader(dataset, 4, follow_batch=["u"])))
    # As Lightning makes a loader anew.
    options = {"exclude_keys": ["u"], "collate_fn": list}
    again = StoredLoader(loader.dataset, 4, **options)
    for made, option in ((loader, "follow_batch"), (again, "exclude_keys")):
        theirs = DataLoader(dataset, 4, **{option: ["u"]})
        for one, other in zip(made, theirs, strict=True):
            check_same_batch(one, other)
    assert loader.dataset[1].name == "graph 1"


def test_single_numbers() -> None:
    stored = StoredGraphs(in_memory(graphs()))
    assert stored.__getitems__([-1, 1]).name == ["graph 5", "graph 1"]
    with pytest.raises(IndexError):
        stored.__getitems__([6])
    with pytest.raises(ValueError, match=r"'indices' must name a graph \(got none\)"):
        stored.__getitems__([])
    with pytest.raises(ValueError, match="'batch_size' must be a number of graphs"):
        StoredLoader(in_memory(graphs()), None)


class OwnGet(Stored):
    def get(self, idx: int) -> Data:
        return super().get(idx)


class Preset(Data):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = 1


def refused() -> Iterator[tuple[str, Any]]:
    made = graphs()
    yield "'list' keeps no collated tensors; where its graphs fit", made
    transformed = in_memory(made)
    transformed.transform = lambda data: data
    yield "'_Collated' has a transform, which is called", transformed
    stored = in_memory(made)
    yield "'OwnGet' has a method 'get' of its own", OwnGet(stored._data, stored.slices)
    yield "'_Collated' holds fewer than two graphs", in_memory(made[:1])
    single = Stored(*collate_stacked({"x": torch.zeros(1, 2, 1)}))
    yield "'Stored' holds fewer than two graphs", single
    hetero = HeteroData()
    hetero["node"].x = torch.zeros(1, 1)
    yield "graphs are 'HeteroDataBatch'|'HeteroData'", in_memory([hetero, hetero])
    yield "'Preset' has attributes before any is set", in_memory([Preset()] * 2)
    for value, reason in (
        (torch.eye(2).to_sparse(), "'adj' is a collection|'adj' is"),
        ([torch.zeros(1)], "'parts' is a collection"),
        ({"a": torch.zeros(1)}, "'parts' is a collection"),
        (["a"], "'parts' is stored as 'list'"),
        (None, "the number of nodes is not stored; set 'num_nodes'"),
    ):
        name = "adj" if isinstance(value, torch.Tensor) else "parts"
        edges = torch.zeros(2, 1, dtype=torch.long)
        nodes = {"edge_index": edges} if value is None else {"x": torch.zeros(1, 1)}
        yield reason, in_memory([Data(**nodes, **{name: value})] * 2)
    lost = [Data(u=torch.zeros(1), part_index=torch.zeros(1).long())] * 2
    yield "'part_index' counts nodes, whose number is unknown", in_memory(lost)
    elsewhere = in_memory(made)
    elsewhere._data.x = elsewhere._data.x.to("meta")
    yield "attributes are not in main memory", elsewhere
    damaged = in_memory(made)
    damaged.slices["y"] = damaged.slices["y"] + 1
    yield "'y' runs from 1 to 7 in 6 rows", damaged


@pytest.mark.parametrize(("reason", "dataset"), list(refused()))
def test_what_cannot_be_sliced_is_left_to_pyg(
    reason: str, dataset: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotStoredError, match=reason) as caught:
        StoredLoader(dataset, 2)
    assert why_not_stored(dataset) == str(caught.value)
    with caplog.at_level(logging.INFO):
        loader = graph_loader(dataset, 2, shuffle=True)
    assert type(loader) is DataLoader
    assert str(caught.value) in caplog.text


def test_a_reason_goes_with_the_attribute() -> None:
    dataset = in_memory([Data(x=torch.zeros(1, 1), parts=["a"])] * 2)
    assert why_not_stored(dataset, ["parts"]) is None
    check(dataset, 2, exclude_keys=["parts"])
    assert type(graph_loader(in_memory(graphs()), 2)) is StoredLoader


def test_differences_are_noticed() -> None:
    dataset = in_memory(graphs())
    (expected,) = DataLoader(dataset, 6)
    for name, value in (("x", expected.x + 1), ("y", expected.y.int())):
        (batch,) = StoredLoader(dataset, 6)
        batch[name] = value
        with pytest.raises(AssertionError, match=f"'{name}' of batch differs"):
            check_same_batch(batch, expected)
    (batch,) = StoredLoader(dataset, 6)
    batch._inc_dict["edge_index"] += 1
    with pytest.raises(AssertionError, match="'edge_index' of _inc_dict differs"):
        check_same_batch(batch, expected)


def test_nothing_to_collate() -> None:
    with pytest.raises(ValueError, match="Expected `graphs` to hold a graph"):
        in_memory([])
    with pytest.raises(ValueError, match="attribute besides 'num_nodes'"):
        in_memory([Data(num_nodes=2)] * 2)


def test_converted_scenes(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "datasets" / "scenes" / "rooms.jsonl"
    convert(sample, tmp_path, Conversion({"targets": ["graph.tidy"]}, shard_size=2))
    scenes = SceneDataset(tmp_path)
    assert "'SceneDataset' keeps no collated tensors" in str(why_not_stored(scenes))
    collated = in_memory(scenes)
    assert why_not_stored(collated) is None
    (batch,) = StoredLoader(collated, 6)
    (expected,) = DataLoader(scenes, 6)
    check_same_batch(batch, expected)
