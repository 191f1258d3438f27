import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import transforms
from torch_geometric.data import Batch, InMemoryDataset
from torch_geometric.loader import DataLoader

from pyg_relational.data import TemporalGraph, from_dense_series, to_dense_series
from pyg_relational.datasets.base import collate_ragged

NAMES = ("x_steps", "mask_steps", "num_frames", "node_id", "edge_index", "edge_attr")


def make(nodes, frames, edges=3, timed=True, seed=0, **further):
    """A graph with NaN wherever a node is absent."""
    generator = torch.Generator().manual_seed(seed + 100 * nodes + frames)
    mask = torch.rand(nodes, frames, generator=generator) < 0.7
    x = torch.randn(nodes, frames, 2, generator=generator)
    x[~mask] = torch.nan
    places = mask.t().nonzero()
    if not timed:
        places = torch.arange(nodes).unsqueeze(1).expand(-1, 2).flip(0)
    if not len(places):
        edges = 0
    pick = torch.randint(max(len(places), 1), (edges,), generator=generator)
    time, source = places[pick].unbind(1) if edges else torch.empty(2, 0).long()
    mates = [mask[:, t].nonzero().flatten()[-1] if timed else nodes - 1 for t in time]
    target = torch.tensor([int(m) for m in mates], dtype=torch.long)
    return TemporalGraph(
        x,
        mask,
        edge_index=torch.stack([source, target]),
        edge_time=time if timed else None,
        edge_attr=torch.randn(edges, 1, generator=generator),
        y=torch.randn(1, 3, generator=generator),
        node_id=torch.randperm(nodes, generator=generator) + 10,
        label=torch.arange(nodes),
        frame_time=torch.arange(frames) * 10,
        **further,
    )


def same(a, b):
    """Whether two graphs hold the same bits under the same names."""
    assert {*a.keys()} == {*b.keys()}
    for name in a.keys():  # noqa: SIM118
        left, right = a[name], b[name]
        if not isinstance(left, torch.Tensor):
            assert left == right, name
            continue
        assert left.dtype == right.dtype, name
        assert left.shape == right.shape, name
        if left.is_floating_point():
            left, right = left.nan_to_num(nan=9e9), right.nan_to_num(nan=9e9)
        assert torch.equal(left, right), name
    return True


GRAPHS = [make(3, 4), make(0, 7), make(1, 0), make(5, 2, 9), make(2, 6, 0)]
SIZES = st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 4))


# --- one graph


def test_views_show_what_was_given():
    x, mask = torch.randn(3, 4, 2), torch.rand(3, 4) < 0.5
    graph = TemporalGraph(x, mask)
    assert torch.equal(graph.x, x)
    assert torch.equal(graph["mask"], mask)
    assert torch.equal(graph.get("x"), x)
    assert graph.x_steps[5].tolist() == x[1, 1].tolist()
    assert graph.node_id.tolist() == [0, 1, 2]
    assert graph.num_nodes == 3
    assert graph.num_features == graph.num_node_features == 2
    assert "x" in graph
    assert "mask" in graph
    assert "edge_time" not in graph
    assert graph.get("edge_time", 7) == 7


def test_printing_names_what_is_seen():
    graph = TemporalGraph(torch.zeros(3, 8, 2), y=torch.tensor([1]), node_names=["a"])
    assert str(graph) == (
        "TemporalGraph(x=[3, 8, 2], mask=[3, 8], node_id=[3], y=[1], node_names=[1])"
    )
    assert str(TemporalGraph(y=torch.tensor([1]))) == "TemporalGraph(y=[1])"


def test_assigning_replaces_values():
    graph = make(3, 4)
    graph.x = torch.ones(3, 4, 5)
    assert graph.x.sum() == 60
    assert graph.num_features == 5
    graph["mask"] = torch.zeros(3, 4, dtype=torch.bool)
    assert not graph.mask.any()
    batch = Batch.from_data_list(GRAPHS)
    batch.x = 2 * batch.x
    assert torch.equal(batch[3].x.nan_to_num(), 2 * GRAPHS[3].x.nan_to_num())


def test_gradients_flow_through_the_views_of_a_batch():
    x = torch.randn(2, 3, 1, requires_grad=True)
    batch = Batch.from_data_list([TemporalGraph(x), TemporalGraph(torch.ones(1, 5, 1))])
    (batch.x * torch.arange(5.0).view(1, 5, 1)).sum().backward()
    assert x.grad.squeeze(-1).tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    "change",
    [
        lambda g: copy.copy(g),
        lambda g: copy.deepcopy(g),
        lambda g: g.clone(),
        lambda g: pickle.loads(pickle.dumps(g)),
        lambda g: g.to("cpu"),
        lambda g: g.contiguous(),
        lambda g: TemporalGraph.from_dict(g.to_dict()),
        lambda g: g.detach(),
    ],
)
@pytest.mark.parametrize("graph", GRAPHS)
def test_copies_are_equal_and_apart(change, graph):
    before = copy.deepcopy(graph)
    made = change(copy.copy(graph))
    assert same(made, graph)
    made.y = made.y + 1
    made.label = None
    made.x = made.x + 1
    assert same(graph, before)


def test_deep_copies_share_no_memory():
    graph = make(3, 4)
    for made in (copy.deepcopy(graph), graph.clone()):
        made.x_steps.zero_()
        assert graph.x_steps.nan_to_num().abs().sum() > 0


def test_dtype_and_device_change_all_rows():
    graph = make(3, 4).apply(lambda v: v.double() if v.is_floating_point() else v)
    assert graph.x.dtype == graph.edge_attr.dtype == torch.float64
    moved = make(3, 4).to("meta")
    assert {v.device.type for v in moved.to_dict().values()} == {"meta"}
    assert graph.clone().requires_grad_("x").x.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_move_to_an_accelerator_and_back():
    batch = Batch.from_data_list(GRAPHS).pin_memory()
    assert batch.x_steps.is_pinned()
    moved = batch.to("cuda", non_blocking=True)
    assert moved.x.is_cuda
    assert moved.subgraph(torch.tensor([0, 3], device="cuda")).x.is_cuda
    for graph, expected in zip(moved.cpu().to_data_list(), GRAPHS, strict=True):
        assert same(graph, expected)


# --- batches


@settings(max_examples=60, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=5), st.booleans(), st.integers(0, 99))
def test_batches_come_apart_unchanged(sizes, timed, seed):
    graphs = [make(*size, timed=timed, seed=seed) for size in sizes]
    batch = Batch.from_data_list(graphs)
    for graph, expected in zip(batch.to_data_list(), graphs, strict=True):
        assert type(graph) is TemporalGraph
        assert same(graph, expected)
    longest = max(graph.num_frames.item() for graph in graphs)
    assert batch.x.shape == (batch.num_nodes, longest, 2)
    start = 0
    for graph in graphs:
        rows = slice(start, start + graph.num_nodes)
        length = graph.num_frames.item()
        inside = batch.x[rows, :length]
        assert torch.equal(inside.nan_to_num(9), graph.x.nan_to_num(9))
        assert torch.equal(batch.mask[rows, :length], graph.mask)
        assert not batch.x[rows, length:].any()
        assert not batch.mask[rows, length:].any()
        start += graph.num_nodes
    assert batch.validate()


def test_edges_and_indices_are_counted_on_and_back():
    graphs = [make(3, 4, edge_label_index=torch.tensor([[0], [2]])) for _ in range(3)]
    batch = Batch.from_data_list(graphs)
    assert batch.edge_label_index.tolist() == [[0, 3, 6], [2, 5, 8]]
    assert batch.edge_time.tolist() == graphs[0].edge_time.tolist() * 3
    assert batch[2].edge_label_index.tolist() == [[0], [2]]


def test_some_graphs_of_a_batch():
    batch = Batch.from_data_list(GRAPHS)
    assert [g.num_nodes for g in batch[[0, 3]]] == [3, 5]
    assert same(batch.index_select(torch.tensor([4]))[0], GRAPHS[4])
    assert same(batch[torch.tensor([False, False, True, False, False])][0], GRAPHS[2])
    assert [g.num_frames.item() for g in batch[1:3]] == [7, 0]


def test_batches_are_copied_and_pickled():
    batch = Batch.from_data_list(GRAPHS)
    for made in (copy.copy(batch), copy.deepcopy(batch), batch.clone()):
        assert same(made, batch)
        assert same(made[3], GRAPHS[3])
    assert same(pickle.loads(pickle.dumps(batch))[0], GRAPHS[0])


def test_a_batch_of_batches_counts_graphs_without_nodes():
    # PyG itself counts up to the last graph that has a node.
    first, second = GRAPHS[:2], GRAPHS[2:]
    joined = Batch.from_data_list([Batch.from_data_list(g) for g in (first, second)])
    assert joined.batch.tolist() == [0] * 3 + [2] + [3] * 5 + [4] * 2
    assert torch.equal(
        joined.x.nan_to_num(), Batch.from_data_list(GRAPHS).x.nan_to_num()
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(workers):
    loader = DataLoader(
        GRAPHS * 2,
        batch_size=4,
        num_workers=workers,
        follow_batch=["edge_attr", "y"],
        exclude_keys=["label"],
    )
    batches = list(loader)
    assert [batch.num_graphs for batch in batches] == [4, 4, 2]
    assert batches[0].y_batch.tolist() == [0, 1, 2, 3]
    assert batches[0].edge_attr_batch.tolist() == [0] * 3 + [3] * 9
    assert "label" not in batches[0]
    made = [graph for batch in batches for graph in batch.to_data_list()]
    for graph, expected in zip(made, GRAPHS * 2, strict=True):
        expected = copy.copy(expected)
        del expected["label"]
        del graph["edge_attr_batch"], graph["edge_attr_ptr"]
        assert same(graph, expected)


def test_shuffling_changes_the_order_alone():
    graphs = [make(2, t) for t in range(1, 9)]
    torch.manual_seed(0)
    (batch,) = DataLoader(graphs, batch_size=8, shuffle=True)
    order = batch.num_frames.tolist()
    assert sorted(order) == [*range(1, 9)]
    assert order != [*range(1, 9)]
    for graph in batch.to_data_list():
        assert same(graph, graphs[graph.num_frames.item() - 1])


def test_without_what_the_views_need_the_error_says_so():
    (batch,) = DataLoader(GRAPHS[:2], batch_size=2, exclude_keys=["num_frames"])
    with pytest.raises(ValueError, match=r"'num_frames' is missing.*'exclude_keys'"):
        _ = batch["x"]
    assert "x_steps" in str(batch)


# --- datasets


class Few(InMemoryDataset):
    def __init__(self, graphs, **options):
        super().__init__(**options)
        self.data, self.slices = self.collate(graphs)


def test_in_memory_datasets(tmp_path):
    dataset = Few(GRAPHS)
    for i, expected in enumerate(GRAPHS):
        assert same(dataset[i], expected)
    assert dataset.num_features == 2
    assert not hasattr(dataset, "x")
    assert str(dataset._data).startswith("TemporalGraph(x_steps=")
    with pytest.raises(
        ValueError, match=r"of 5 graphs .* take a graph, 'dataset\[i\]'"
    ):
        _ = dataset._data["x"]
    assert same(dataset.copy([3, 0])[1], GRAPHS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # That a file must be trusted is a warning.
        Few.save(GRAPHS, str(tmp_path / "few.pt"))
        loaded = Few(GRAPHS[:1])
        loaded.load(str(tmp_path / "few.pt"))
    assert type(loaded[3]) is TemporalGraph
    for i, expected in enumerate(GRAPHS):
        assert same(loaded[i], expected)


def test_vectorised_storage_gives_the_same_samples():
    joined, slices = Few.collate(GRAPHS)
    counts = {name: slices[name].diff() for name in NAMES}
    rows = {name: joined[name] for name in NAMES}
    data, made = collate_ragged(rows, counts, data_class=TemporalGraph)
    dataset = Few(GRAPHS[:1])
    dataset.data, dataset.slices = TemporalGraph.from_dict(data.to_dict()), made
    for i, expected in enumerate(GRAPHS):
        for name in ("x", "mask", *NAMES):
            left, right = dataset[i][name], expected[name]
            assert torch.equal(left.nan_to_num(), right.nan_to_num())


# --- PyG's own methods and transforms


def test_rows_are_never_mistaken_for_nodes_or_edges():
    # 2 nodes, 2 frames, 4 edges: as many rows as edges; 1 frame: as many as nodes.
    graph = make(2, 2, 4, timed=False)
    assert graph.x_steps.size(0) == graph.num_edges
    assert not graph.is_edge_attr("x_steps")
    assert same(
        graph.edge_subgraph(torch.tensor([0])).subgraph(torch.arange(2)).sort(),
        graph.edge_subgraph(torch.tensor([0])),
    )
    short = make(3, 1)
    for name in ("x_steps", "mask_steps", "num_frames", "frame_time"):
        assert not short.is_node_attr(name)
        assert not short.is_edge_attr(name)
    assert short.is_node_attr("label")
    assert short.is_node_attr("node_id")
    assert short.is_edge_attr("edge_time")
    equal = make(3, 3, 3)
    assert not equal.is_node_attr("frame_time")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(SIZES, min_size=1, max_size=4), st.booleans(), st.randoms(), st.booleans()
)
def test_subgraph_takes_nodes_with_their_frames(sizes, timed, random, as_mask):
    batch = Batch.from_data_list([make(*size, timed=timed) for size in sizes])
    nodes = [n for n in range(batch.num_nodes) if random.random() < 0.5]
    subset = torch.tensor(nodes, dtype=torch.long)
    if as_mask:
        subset = torch.zeros(batch.num_nodes, dtype=torch.bool)
        subset[nodes] = True
    part = batch.subgraph(subset)
    assert torch.equal(part.x.nan_to_num(9), batch.x[nodes].nan_to_num(9))
    assert torch.equal(part.mask, batch.mask[nodes])
    assert torch.equal(part.node_id, batch.node_id[nodes])
    kept = [
        e for e, pair in enumerate(batch.edge_index.t().tolist()) if {*pair} <= {*nodes}
    ]
    assert torch.equal(part.edge_attr, batch.edge_attr[kept])
    ends = torch.tensor(nodes, dtype=torch.long)[part.edge_index]
    assert torch.equal(ends, batch.edge_index[:, kept])
    if timed:
        assert torch.equal(part.edge_time, batch.edge_time[kept])
    assert part.validate()


def test_subgraph_in_another_order():
    graph = make(4, 3, 8, timed=False)
    part = graph.subgraph(torch.tensor([3, 0]))
    assert torch.equal(part.x.nan_to_num(), graph.x[[3, 0]].nan_to_num())
    assert torch.equal(part.label, torch.tensor([3, 0]))


def test_transforms_of_static_edges():
    graph = TemporalGraph(
        torch.randn(3, 2, 1),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        edge_attr=torch.tensor([[1.0], [2.0]]),
    )
    out = transforms.ToUndirected()(graph.clone())
    assert out.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert out.edge_attr.flatten().tolist() == [1, 1, 2, 2]
    assert torch.equal(out.x, graph.x)
    assert out.is_undirected()
    assert not graph.is_undirected()
    assert not graph.has_isolated_nodes()
    assert graph.subgraph(torch.tensor([0, 2])).has_isolated_nodes()
    assert graph.coalesce().num_edges == 2
    largest = transforms.LargestConnectedComponents()(
        TemporalGraph(graph.x, edge_index=torch.tensor([[0], [2]]))
    )
    assert torch.equal(largest.x, graph.x[[0, 2]])
    scaled = transforms.NormalizeFeatures(["x"])(
        TemporalGraph(torch.tensor([[[1.0, 3.0], [2.0, 2.0]]]))
    )
    assert scaled.x.tolist() == [[[0.0, 1.0], [0.5, 0.5]]]


def test_timed_edges_are_not_merged():
    with pytest.raises(ValueError, match="'edge_time' is set: edges between the same"):
        make(3, 4).coalesce()


def test_transforms_that_leave_frames_behind_are_noticed():
    graph = TemporalGraph(torch.randn(3, 2, 1), edge_index=torch.tensor([[0], [1]]))
    out = transforms.RemoveIsolatedNodes()(graph)
    with pytest.raises(
        ValueError, match=r"node and frame, 4 \(got 6\).*graph.subgraph"
    ):
        _ = out["x"]
    assert "x_steps=[6, 1]" in str(out)
    with pytest.raises(ValueError, match="node and frame, 4"):
        out.validate()


def test_validate_looks_into_batches():
    batch = Batch.from_data_list([make(3, 4), make(3, 2)])
    assert batch.validate()
    wrong = batch.clone()
    wrong.node_id[4] = wrong.node_id[3]
    with pytest.raises(ValueError, match=r"'node_id' must not repeat.* 2 times"):
        wrong.validate()
    with pytest.warns(UserWarning, match="must not repeat"):
        assert not wrong.validate(raise_on_error=False)
    late = batch.clone()
    late.edge_time[-1] = 3  # The batch has that frame, the second graph has not.
    with pytest.raises(ValueError, match=r"'edge_time' must name one of 2 frames"):
        late.validate()
    assert TemporalGraph(node_id=torch.arange(2)).validate()


# --- bad input


X = torch.zeros(3, 4, 2)
EDGES = torch.tensor([[0, 1], [1, 2]])
ABSENT = torch.ones(3, 4, dtype=torch.bool)
ABSENT[1, 2] = False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.zeros(3, 4)}, r"'x' .*\[N, T, F\] \(got shape \[3, 4\]\)"),
        ({"x": [[1.0]]}, r"'x' must be a tensor .*got list"),
        ({"mask": ABSENT}, "'mask' needs 'x'"),
        ({"x": X, "mask": torch.ones(3, 4)}, "'mask' .*bool .got torch.float32"),
        ({"x": X, "mask": [True]}, "'mask' .*bool .got list"),
        ({"x": X, "mask": ABSENT.t()}, r"shape \[3, 4\] \(got \[4, 3\]\)"),
        ({"x": X, "node_id": torch.arange(2)}, r"one id for each of 3 nodes"),
        ({"x": X, "node_id": [0, 1, 2]}, r"one id for each of 3 nodes .*got list"),
        ({"x": X, "node_id": torch.tensor([4, 7, 7])}, "repeat.*got id 7 2 times"),
        ({"x": X, "edge_time": EDGES[0]}, "'edge_time' needs 'edge_index'"),
        ({"x": X, "edge_attr": X}, "'edge_attr' needs 'edge_index'"),
        ({"x": X, "edge_index": ABSENT.long()}, r"shape \[2, E\] \(got \[3, 4\]\)"),
        ({"x": X, "edge_index": [0, 1]}, r"shape \[2, E\] \(got list\)"),
        ({"x": X, "edge_index": EDGES[:1]}, r"shape \[2, E\] \(got \[1, 2\]\)"),
        ({"x": X, "edge_index": EDGES + 1}, "one of 3 nodes.*got 3"),
        ({"x": X, "edge_index": EDGES - 1}, "one of 3 nodes.*got -1"),
        ({"x": X, "edge_index": EDGES.int()}, "'edge_index' .*int64 .got torch.int32"),
        (
            {"x": X, "edge_index": EDGES, "edge_time": torch.tensor([0])},
            r"'edge_time' must be a tensor with a row for each of 2 edges",
        ),
        (
            {"x": X, "edge_index": EDGES, "edge_time": EDGES},
            r"'edge_time' must have shape \[E\] \(got \[2, 2\]\)",
        ),
        (
            {"x": X, "edge_index": EDGES, "edge_attr": torch.ones(3, 1)},
            r"'edge_attr' .* 2 edges \(got shape \[3, 1\]\)",
        ),
        (
            {"x": X, "edge_index": EDGES, "edge_time": torch.tensor([0, 4])},
            "'edge_time' must name one of 4 frames, counted from 0 .got 4",
        ),
        (
            {"x": X, "edge_index": EDGES, "edge_time": torch.tensor([0.0, 1.0])},
            "'edge_time' must be of dtype int64",
        ),
        (
            {
                "x": X,
                "mask": ABSENT,
                "edge_index": EDGES,
                "edge_time": torch.tensor([0, 2]),
            },
            r"got edge 1 at frame 2, where node 1 is absent\); leave the edge out",
        ),
        ({"x": X, "x_steps": X[0]}, "'x_steps' is made from 'x'; give one"),
        ({"x": X, "num_frames": X[0]}, "'num_frames' is made from 'x'"),
        ({"x_steps": X[0]}, "'x_steps' needs 'mask_steps': a graph keeps"),
        (
            {
                "x_steps": X[0],
                "mask_steps": ABSENT[0],
                "num_frames": torch.tensor([2]),
            },
            "'x_steps' needs 'node_id'",
        ),
        (
            {
                "x_steps": X[0],
                "mask_steps": ABSENT[0, :3],
                "num_frames": torch.tensor([4]),
                "node_id": torch.arange(1),
            },
            r"'mask_steps' must have an entry for each of 4 rows .*got 3",
        ),
        (
            {
                "x_steps": X[0],
                "mask_steps": ABSENT[0],
                "num_frames": torch.tensor([3]),
                "node_id": torch.arange(1),
            },
            "row for each of 1 nodes and 3 frames .got 4",
        ),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        TemporalGraph(**given)


def test_bad_assignments():
    graph = make(3, 4)
    with pytest.raises(
        ValueError, match=r"'x' .*3 nodes and 4 frames \(got shape \[3, 5"
    ):
        graph.x = torch.zeros(3, 5, 1)
    with pytest.raises(ValueError, match=r"'mask' must be of dtype bool .*float32"):
        graph.mask = torch.zeros(3, 4)
    with pytest.raises(ValueError, match="'x' must stay: build a graph"):
        graph.x = None
    with pytest.raises(ValueError, match="'mask' must stay"):
        del graph["mask"]
    with pytest.raises(ValueError, match=r"has no 'x'.*TemporalGraph\(x=x"):
        TemporalGraph().x = X
    assert TemporalGraph().x is None
    assert TemporalGraph().mask is None


SERIES_SIZES = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=80, deadline=None)
@given(SERIES_SIZES, st.integers(0, 99))
def test_graphs_hold_what_is_observed(shape, seed):
    torch.manual_seed(seed)
    mask = torch.rand(shape) < 0.4
    x = torch.randn(*shape, 2).where(mask.unsqueeze(-1), torch.nan)
    graphs = from_dense_series(x, mask)
    assert len(graphs) == shape[0]
    for b, graph in enumerate(graphs):
        assert graph.node_id.tolist() == mask[b].any(0).nonzero().flatten().tolist()
        assert graph.mask.any(1).all()
        assert not graph.mask.numel() or graph.mask[:, -1].any()
        again = torch.full_like(x[b], torch.nan)
        again[: graph.x.size(1), graph.node_id] = graph.x.transpose(0, 1)
        assert torch.equal(again.nan_to_num(9), x[b].nan_to_num(9))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4)
)
def test_padding_and_back(sizes):
    frames, nodes = (max(size[i] for size in sizes) for i in (0, 1))
    mask = torch.zeros(len(sizes), frames, nodes, dtype=torch.bool)
    for b, (t, n) in enumerate(sizes):
        mask[b, :t, :n] = True
    x = torch.randn(*mask.shape, 3) * mask.unsqueeze(-1)
    dense, observed = to_dense_series(Batch.from_data_list(from_dense_series(x, mask)))
    # What is padding in every sample is gone.
    frames, nodes = (int(mask.any(0).any(i).sum()) for i in (1, 0))
    assert torch.equal(dense, x[:, :frames, :nodes])
    assert torch.equal(observed, mask[:, :frames, :nodes])


def test_a_frame_between_others_stays_empty():
    x, mask = torch.ones(1, 4, 2, 1), torch.zeros(1, 4, 2, dtype=torch.bool)
    mask[0, 1, 1] = True
    (graph,) = from_dense_series(x, mask)
    assert graph.mask.tolist() == [[False, True]]
    assert graph.node_id.tolist() == [1]


def test_targets_are_split_too():
    x = torch.arange(12.0).view(2, 3, 2, 1)
    y = torch.tensor([4, 5])
    graphs = from_dense_series(x, y=y, u=torch.ones(2, 7), name=["a", "b"])
    batch = Batch.from_data_list(graphs)
    assert batch.y.tolist() == [4, 5]
    assert batch.u.shape == (2, 7)
    assert batch.name == ["a", "b"]
    # Frame by frame in the dense batch, node by node in the graph.
    assert graphs[1].x.flatten(1).tolist() == [[6, 8, 10], [7, 9, 11]]


def test_one_graph_is_a_batch_of_one():
    graph = TemporalGraph(torch.randn(2, 3, 1))
    x, mask = to_dense_series(graph)
    assert torch.equal(x[0], graph.x.transpose(0, 1))
    assert mask.shape == (1, 3, 2)
    assert mask.all()


def test_graphs_without_nodes_have_a_place():
    graphs = [TemporalGraph(torch.ones(n, 2, 1)) for n in (0, 2, 0)]
    x, mask = to_dense_series(Batch.from_data_list(graphs))
    assert mask.sum((1, 2)).tolist() == [0, 4, 0]
    assert x.sum((1, 2, 3)).tolist() == [0, 4, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.ones(2, 3, 1)}, r"\[B, T, N, F\] \(got shape \[2, 3, 1\]\)"),
        ({"x": [1.0]}, r"\[B, T, N, F\] \(got list\)"),
        (
            {"x": torch.ones(2, 3, 1, 1), "mask": torch.ones(2, 3, 1)},
            r"'mask' must be boolean of shape \[2, 3, 1\] .*float32",
        ),
        (
            {"x": torch.ones(2, 3, 1, 1), "mask": torch.ones(2, 3).bool()},
            r"'mask' must be boolean of shape \[2, 3, 1\] \(got shape \[2, 3\]",
        ),
        (
            {"x": torch.ones(2, 3, 1, 1), "y": torch.ones(3)},
            r"'y' must have one entry for each of 2 samples \(got 3\)",
        ),
    ],
)
def test_bad_input_series(given, message):
    with pytest.raises(ValueError, match=message):
        from_dense_series(**given)


def test_a_graph_without_features_is_refused():
    with pytest.raises(ValueError, match="'batch' must have 'x'"):
        to_dense_series(TemporalGraph(y=torch.ones(1)))
