"""Any scene comes back equal: class, order, keys, attributes in value and type."""

import pickle
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_relational.data import SceneEncoder

CLASSES = (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph)
KEYS = st.one_of(
    st.integers(-3, 12),
    st.text(max_size=3),
    st.booleans(),
    st.tuples(st.integers(0, 3), st.text(max_size=1)),
    st.frozensets(st.integers(0, 2)),
    st.floats(allow_nan=False),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-5, 5))
# One strategy an attribute, so that columns of every kind occur, clean and mixed.
VALUES = {
    "x": st.integers(-9, 9),
    "y": st.floats(),
    "batch": st.booleans(),
    "edge_index": st.sampled_from(["red", "green", "blue"]),
    "ptr": st.text(max_size=5),
    "num_nodes": NUMBERS,
    "pos": st.fixed_dictionaries({"x": st.floats(), "y": st.integers(0, 3)}),
    "index": st.tuples(st.floats(), st.floats()),
    "list": st.lists(st.integers(), min_size=2, max_size=2),
    "array": st.builds(
        lambda kind, n: np.arange(n, n + 3).astype(kind),
        st.sampled_from(["float32", "float64", "int8", "uint64", "bool"]),
        st.integers(0, 5),
    ),
    "tensor": st.builds(
        lambda n: torch.tensor([n, 0.5], dtype=torch.bfloat16), st.integers(0, 5)
    ),
    "scalar": st.sampled_from([np.float32(0.1), np.int64(3), 2.5, 7]),
    "truth": st.sampled_from([True, np.bool_(False)]),
    "mixed": st.one_of(
        st.none(),
        st.text(max_size=2),
        NUMBERS,
        st.dictionaries(st.text(max_size=2), st.lists(NUMBERS, max_size=2), max_size=2),
        st.complex_numbers(),
        st.binary(max_size=2),
        st.sets(st.integers(0, 3)),
    ),
    5: st.one_of(st.none(), st.integers(0, 3)),
    ("a", 1): st.sampled_from([1, 1.0, True, "1"]),
}


def attributes() -> st.SearchStrategy[dict[Any, Any]]:
    return st.fixed_dictionaries(
        {}, optional={name: st.none() | values for name, values in VALUES.items()}
    )


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    graph = draw(st.sampled_from(CLASSES))()
    graph.graph.update(draw(attributes()))
    for key in draw(st.lists(KEYS, max_size=5)):
        graph.add_node(key)
    if not graph:
        return graph
    for key in graph:
        graph.nodes[key].update(draw(attributes()))
    nodes = list(graph)
    place = st.integers(0, len(nodes) - 1)
    for a, b in draw(st.lists(st.tuples(place, place), max_size=6)):
        source, target = nodes[a], nodes[b]
        if graph.is_multigraph():
            key = graph.add_edge(source, target, draw(st.none() | KEYS))
            graph[source][target][key].update(draw(attributes()))
        else:
            graph.add_edge(source, target)
            graph[source][target].update(draw(attributes()))
    return graph


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.generic):
        return a.tobytes() == b.tobytes()
    # Tells 0.0 from -0.0 and finds nan equal to itself.
    return repr(a) == repr(b)


def assert_same_scene(a: nx.Graph, b: nx.Graph) -> None:
    assert type(a) is type(b)
    assert same(a.graph, b.graph)
    assert same([*a.nodes(data=True)], [*b.nodes(data=True)])
    keys = {"keys": True} if a.is_multigraph() else {}
    assert same([*a.edges(data=True, **keys)], [*b.edges(data=True, **keys)])


def check_round_trip(scenes: list[nx.Graph], **options: Any) -> None:
    encoder = SceneEncoder(**options)
    found = encoder.fit_transform(scenes)
    for scene, data in zip(scenes, found, strict=True):
        assert torch.isfinite(data.x).all()
        assert_same_scene(scene, encoder.inverse_transform(data))
    batch = Batch.from_data_list(found)
    for number, scene in enumerate(scenes):
        assert_same_scene(scene, encoder.inverse_transform(batch[number]))


# Shrinking scenes takes minutes, and the first failing one tells enough.
GENERATED = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(GENERATED, max_examples=60)
@given(st.lists(graphs(), min_size=1, max_size=4))
def test_any_scenes(scenes: list[nx.Graph]) -> None:
    check_round_trip(scenes)


@settings(GENERATED, max_examples=25)
@given(
    st.lists(graphs(), min_size=1, max_size=2),
    st.sampled_from(["labels", "both"]),
    st.sampled_from(["one-hot", "index"]),
    st.sampled_from(["seen", "always"]),
)
def test_any_options(
    scenes: list[nx.Graph], relations: str, category: str, masks: str
) -> None:
    check_round_trip(scenes, relations=relations, category=category, masks=masks)


@pytest.mark.slow
@settings(GENERATED, max_examples=10_000)
@given(graphs())
def test_ten_thousand_scenes(scene: nx.Graph) -> None:
    check_round_trip([scene])


BUNDLED = {
    "karate club": nx.karate_club_graph,
    "Les Miserables": nx.les_miserables_graph,
    "Florentine families": nx.florentine_families_graph,
    "Southern women": nx.davis_southern_women_graph,
    "Petersen": nx.petersen_graph,
    "Krackhardt's kite": nx.krackhardt_kite_graph,
    "empty": nx.null_graph,
    "isolated": lambda: nx.empty_graph(3),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_graphs(name: str) -> None:
    check_round_trip([BUNDLED[name]()])


def test_bundled_graphs_together() -> None:
    scenes = [create() for create in BUNDLED.values()]
    check_round_trip(scenes)


def test_through_loader_device_and_pickle() -> None:
    scene = nx.MultiDiGraph(title="a")
    scene.add_node(("a", 1), size=1, tags=("x", [1, 2]))
    scene.add_edge(("a", 1), ("a", 1), key="k", note=None)
    encoder = SceneEncoder().fit(scene)
    data = encoder.transform([scene, scene])
    (batch,) = DataLoader(pickle.loads(pickle.dumps(data)), batch_size=2)
    for part in encoder.inverse_transform(batch.to("cpu")):
        assert_same_scene(scene, part)


def test_views_and_frozen_graphs() -> None:
    graph = nx.karate_club_graph()
    view = nx.freeze(graph.subgraph(range(10)))
    encoder = SceneEncoder().fit(view)
    back = encoder.inverse_transform(encoder.transform(view))
    assert nx.utils.graphs_equal(view, back)
