import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.graph_tasks import TASKS, GraphTasks, geometric_graph, hops

SEEDS = st.integers(0, 2**32 - 1)
GRAPH_TASKS = [name for name in TASKS if name != "sorting"]


def graph_of(sample):
    """The sample's graph, whose edges come in both directions, sorted by target."""
    graph = nx.empty_graph(len(sample.x))
    pairs = [tuple(pair) for pair in sample.edge_index.T.tolist()]
    assert len(set(pairs)) == len(pairs)
    assert {(b, a) for a, b in pairs} == set(pairs)
    assert (np.diff(sample.edge_index[1]) >= 0).all()
    graph.add_edges_from(pairs)
    return graph


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), SEEDS)
def test_graphs_are_connected_and_have_the_edges_of_their_places(nodes, seed):
    graph = geometric_graph(nodes, np.random.default_rng(seed))
    assert graph.number_of_nodes() == nodes
    assert nx.is_connected(graph)
    place = np.random.default_rng(seed).random((nodes, 2))
    complete = nx.empty_graph(nodes)
    complete.add_weighted_edges_from(
        (i, j, np.linalg.norm(place[i] - place[j]))
        for i in range(nodes)
        for j in range(i)
    )
    tree = nx.minimum_spanning_tree(complete)
    radius = np.sqrt(3 / (np.pi * nodes))
    short = [(i, j) for i, j, d in complete.edges(data="weight") if d < radius]
    expected = {frozenset(edge) for edge in [*tree.edges, *short]}
    assert {frozenset(edge) for edge in graph.edges} == expected


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.floats(0, 1), SEEDS)
def test_hops_and_number_of_paths_are_those_of_networkx(nodes, share, seed):
    graph = nx.gnp_random_graph(nodes, share, seed=seed)
    sources = np.random.default_rng(seed).permutation(nodes)[:5]
    distance, paths = hops(nx.to_numpy_array(graph) > 0, sources)
    for row, source in enumerate(sources.tolist()):
        known = nx.single_source_shortest_path_length(graph, source)
        assert distance[row].tolist() == [known.get(v, -1) for v in range(nodes)]
        for v in known:
            number = len(list(nx.all_shortest_paths(graph, source, v)))
            assert min(paths[row, v], 2) == min(number, 2)


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 40), SEEDS)
def test_the_path_is_the_only_shortest_one(nodes, seed):
    sample = TASKS["shortest-path"](nodes, np.random.default_rng(seed))
    graph = graph_of(sample)
    assert sample.x.sum(axis=0).tolist() == [1, 1]
    start, end = sample.x.argmax(axis=0).tolist()
    (path,) = nx.all_shortest_paths(graph, start, end)
    assert np.flatnonzero(sample.y).tolist() == sorted(path)
    assert sample.length == len(path) - 1 >= 2


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 40), SEEDS)
def test_edges_lead_away_towards_or_neither(nodes, seed):
    sample = TASKS["breadth-first-search"](nodes, np.random.default_rng(seed))
    assert sample.x.sum() == 1
    layer = nx.single_source_shortest_path_length(
        graph_of(sample), int(sample.x[:, 0].argmax())
    )
    expected = [1 + layer[b] - layer[a] for a, b in sample.edge_index.T.tolist()]
    assert sample.y.tolist() == expected
    assert set(expected) <= {0, 1, 2}
    assert sample.length == max(layer.values())


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 40), SEEDS)
def test_a_component_has_the_colour_of_one_of_its_nodes(nodes, seed):
    sample = TASKS["connected-components"](nodes, np.random.default_rng(seed))
    components = list(nx.connected_components(graph_of(sample)))
    assert 2 <= len(components) <= 4
    seen, far = set(), 0
    for component in components:
        (marked,) = [v for v in component if sample.x[v].any()]
        assert sample.x[marked].sum() == 1
        colour = int(sample.x[marked].argmax())
        assert {int(sample.y[v]) for v in component} == {colour}
        assert len(component) >= 2
        seen.add(colour)
        graph = graph_of(sample).subgraph(component)
        far = max(far, *nx.single_source_shortest_path_length(graph, marked).values())
    assert len(seen) == len(components)
    assert sample.length == far


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 300), SEEDS)
def test_each_number_points_to_the_one_before(nodes, seed):
    sample = TASKS["sorting"](nodes, np.random.default_rng(seed))
    values = sample.x[:, 0].tolist()
    order = sorted(range(nodes), key=values.__getitem__)
    assert sample.edge_index is None
    assert sample.y[order[0]] == order[0]
    assert [sample.y[i] for i in order[1:]] == order[:-1]
    assert values[order[0]] >= 0
    assert values[order[-1]] <= 1
    assert np.diff(np.sort(values)).min() > 0.49 / nodes


def test_long_paths_are_not_rare():
    rng = np.random.default_rng(0)
    lengths = [TASKS["shortest-path"](24, rng).length for _ in range(200)]
    assert np.mean(np.array(lengths) >= 7) > 0.3
    assert np.mean(np.array(lengths) == 2) > 0.05


@pytest.mark.parametrize("task", TASKS)
def test_samples_depend_on_the_seed_alone(task):
    first, again, other = (
        TASKS[task](30, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first.x == again.x).all()
    assert (first.y == again.y).all()
    assert len(first.y) != len(other.y) or (first.y != other.y).any()


SIZES = {"num_train": 12, "num_val": 8, "num_test": 6}


def build(root, name="shortest-path", split="train", **kwargs):
    return GraphTasks(root, name, split, **(SIZES | kwargs))


@pytest.mark.parametrize("name", TASKS)
def test_samples_are_those_of_the_generator(tmp_path, name, monkeypatch):
    made = []
    original = TASKS[name]
    monkeypatch.setitem(
        TASKS, name, lambda n, rng: made.append(original(n, rng)) or made[-1]
    )
    dataset = build(tmp_path, name, num_nodes=(8, 11))
    assert len(dataset) == len(made) == 12
    assert {sample.num_nodes for sample in dataset} == {8, 9, 10, 11}
    for sample, expected in zip(dataset, made, strict=True):
        assert torch.equal(sample.x, torch.from_numpy(expected.x))
        assert torch.equal(sample.y, torch.from_numpy(expected.y))
        assert sample.length.tolist() == [expected.length]
        assert ("edge_index" in sample) == (name != "sorting")
        if name != "sorting":
            assert sample.edge_index.tolist() == expected.edge_index.tolist()


def test_batches(tmp_path):
    batch = next(iter(DataLoader(build(tmp_path, num_nodes=8), batch_size=3)))
    assert batch.x.shape == (24, 2)
    assert batch.y.shape == (24,)
    assert batch.length.shape == (3,)
    owner = batch.batch[batch.edge_index]
    assert torch.equal(owner[0], owner[1])
    # Rows of a graph are counted from its own first one.
    numbers = next(iter(DataLoader(build(tmp_path, "sorting"), batch_size=12)))
    assert numbers.y.max() < 16


def test_every_split_size_and_seed_has_graphs_of_its_own(tmp_path):
    same = dict.fromkeys(SIZES, 20)
    variants = [
        {},
        {"split": "val"},
        {"split": "test"},
        {"seed": 1},
        {"num_nodes": (8, 17)},
    ]
    drawn = [tuple(build(tmp_path, **same, **v)._data.y.tolist()) for v in variants]
    assert len(set(drawn)) == len(variants)
