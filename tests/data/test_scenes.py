import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.utils import from_networkx

from pyg_relational.data import SceneEncoder, SceneError
from pyg_relational.data.scenes.scan import read_structure


def scene(**colours: str) -> nx.DiGraph:
    graph = nx.DiGraph(light="on")
    for number, (name, colour) in enumerate(colours.items()):
        graph.add_node(name, colour=colour, pos={"x": float(number), "y": 2.0})
    return graph


def test_features_are_as_named() -> None:
    graph = nx.Graph(answer="yes", hour=3)
    graph.add_node("a", colour="red", size=1, pos=(0.0, 4.0), name="one two three four")
    graph.add_node("b", colour="blue", size=3, pos=(2.0, 4.0), big=True)
    graph.add_node("c", colour="red", size=5, pos=(4.0, 4.0), big=None)
    graph.add_edge("c", "a", kind="on", distance=2.5)
    graph.add_edge("b", "b", kind="by", distance=2.5)
    encoder = SceneEncoder(
        targets="graph.answer", edge_type="kind", standardize=False
    ).fit(graph)
    data = encoder.transform(graph)
    assert encoder.feature_names == {
        "x": [
            "big",
            "big.known",
            "colour=blue",
            "colour=red",
            "colour=<unseen>",
            "pos.x",
            "pos.y",
            "size",
        ],
        "edge_attr": ["distance", "kind=by", "kind=on", "kind=<unseen>"],
        "u": ["hour"],
        "y": ["answer"],
        "edge_type": ["by", "on", "<unseen>"],
    }
    assert data.x.tolist() == [
        [0, 0, 0, 1, 0, 0, 4, 1],
        [1, 1, 1, 0, 0, 2, 4, 3],
        [0, 0, 0, 1, 0, 4, 4, 5],
    ]
    # `graph.edges` names an undirected edge from the node that comes first.
    assert data.edge_index.tolist() == [[0, 1, 2], [2, 1, 0]]
    assert data.edge_reversed.tolist() == [False, False, True]
    assert data.edge_attr.tolist() == [[2.5, 0, 1, 0], [2.5, 1, 0, 0], [2.5, 0, 1, 0]]
    assert data.edge_type.tolist() == [1, 0, 1]
    assert data.u.tolist() == [[3]]
    assert data.y.tolist() == [0]
    kinds = {f"{a.level}.{a.name}": a.kind for a in encoder.attributes}
    assert kinds["node.name"] == "text"
    assert kinds["node.pos"] == "vector"
    counts = next(a for a in encoder.attributes if a.name == "big").counts
    assert counts == {"present": 1, "missing": 1, "none": 1, "not_finite": 0}


def test_numbers_are_standardised_from_the_fitted_scenes_only() -> None:
    train = [nx.empty_graph(1) for _ in range(600)]
    sizes = np.random.default_rng(0).normal(5, 3, size=600)
    for graph, size in zip(train, sizes, strict=True):
        graph.nodes[0]["size"] = float(size)
    encoder = SceneEncoder().fit(graph for graph in train)
    (size,) = encoder.attributes
    assert size.mean == pytest.approx([sizes.mean()])
    assert size.std == pytest.approx([sizes.std()])
    other = nx.empty_graph(1)
    other.nodes[0]["size"] = 1000.0
    expected = (1000.0 - sizes.mean()) / sizes.std()
    assert encoder.transform(other).x.item() == pytest.approx(expected, rel=1e-6)


def test_index_categories_and_overrides() -> None:
    graph = nx.empty_graph(3)
    for node, (code, note) in enumerate(zip([7, 3, 7], "abc", strict=True)):
        graph.nodes[node].update(code=code, note=note)
    encoder = SceneEncoder(
        kinds={"node.code": "category"}, leave_out=["node.note"], category="index"
    ).fit(graph)
    data = encoder.transform(graph)
    assert encoder.feature_names["x"] == ["code"]
    assert data.x.tolist() == [[1], [0], [1]]
    assert encoder.inverse_transform(data).nodes[1] == {"code": 3, "note": "b"}


def test_unseen_categories_have_a_slot_or_are_errors() -> None:
    encoder = SceneEncoder().fit(scene(a="red", b="blue"))
    data = encoder.transform(scene(z="green"))
    column = encoder.feature_names["x"].index("colour=<unseen>")
    assert data.x[0, column] == 1
    assert encoder.inverse_transform(data).nodes["z"]["colour"] == "green"
    encoder = SceneEncoder(unseen="error").fit(scene(a="red", b="blue"))
    assert "colour=<unseen>" not in encoder.feature_names["x"]
    message = "scene 1, node 'z', attribute 'colour': has the unseen category 'green'"
    with pytest.raises(SceneError, match=message) as caught:
        encoder.transform([scene(a="red"), scene(z="green")])
    assert caught.value.position == 1


def test_values_that_are_not_finite_count_as_unknown() -> None:
    graph = nx.empty_graph(3)
    nx.set_node_attributes(graph, {0: 1.0, 1: float("nan"), 2: float("inf")}, "size")
    encoder = SceneEncoder(standardize=False).fit(graph)
    assert encoder.transform(graph).x.tolist() == [[1, 1], [0, 0], [0, 0]]


def relations(kind: type[nx.Graph]) -> nx.Graph:
    graph = kind()
    graph.add_nodes_from("abc")
    graph.add_edge("a", "c", relation="left")
    graph.add_edge("b", "c", relation="above")
    return graph


def test_relations_as_labels_of_all_pairs() -> None:
    graph = relations(nx.DiGraph)
    encoder = SceneEncoder(relations="labels", edge_type="relation").fit(graph)
    data = encoder.transform(graph)
    assert data.edge_index is None
    assert encoder.feature_names["edge_label"] == [
        "<none>",
        "above",
        "left",
        "<unseen>",
    ]
    labels = dict(
        zip(
            map(tuple, data.edge_label_index.t().tolist()),
            data.edge_label.tolist(),
            strict=True,
        )
    )
    assert labels == {(0, 1): 0, (0, 2): 2, (1, 0): 0, (1, 2): 1, (2, 0): 0, (2, 1): 0}
    both = SceneEncoder(relations="both").fit(graph).transform(graph)
    assert both.edge_index.tolist() == [[0, 1], [2, 2]]
    assert both.edge_label.tolist() == [0, 1, 0, 1, 0, 0]


def test_labels_of_undirected_and_of_several_relations() -> None:
    graph = relations(nx.Graph)
    encoder = SceneEncoder(relations="labels", edge_type="relation").fit(graph)
    assert encoder.transform(graph).edge_label.tolist() == [0, 2, 0, 1, 2, 1]
    graph = relations(nx.MultiDiGraph)
    graph.add_edge("a", "c", relation="above")
    graph.add_edge("a", "a", relation="above")
    encoder = SceneEncoder(relations="labels", edge_type="relation").fit(graph)
    data = encoder.transform(graph)
    assert encoder.feature_names["edge_label"] == ["above", "left", "<unseen>"]
    assert data.edge_label_index[:, 0].tolist() == [0, 0]
    assert data.edge_label[:3].tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_targets_of_nodes_and_edges() -> None:
    graph = relations(nx.Graph)
    nx.set_node_attributes(graph, {"a": 1.5, "b": None}, "mass")
    node = SceneEncoder(targets="node.mass").fit(graph).transform(graph)
    assert node.x.shape == (3, 0)
    assert node.y[0] == 1.5
    assert node.y[1:].isnan().all()
    edge = SceneEncoder(targets="edge.relation").fit(graph).transform(graph)
    assert edge.y.tolist() == [1, 0, 1, 0]
    nx.set_node_attributes(graph, {"a": True, "b": False}, "heavy")
    encoder = SceneEncoder(targets="node.heavy", leave_out=["node.mass"]).fit(graph)
    assert encoder.transform(graph).y.tolist() == [1, 0, -100]


def test_without_exact_values_the_features_are_told() -> None:
    graph = relations(nx.Graph)
    for number, node in enumerate(graph):
        graph.nodes[node].update(size=number, colour="red", pos=(0.1 * number, 1.0))
    encoder = SceneEncoder(exact=False).fit(graph)
    data = encoder.transform(graph)
    assert {"scene", "exact_node"}.isdisjoint(data.keys())
    back = encoder.inverse_transform(data)
    assert type(back) is nx.Graph
    assert [*back.edges(data="relation")] == [(0, 2, "left"), (1, 2, "above")]
    assert [size for _, size in back.nodes(data="size")] == [0, 1, 2]
    assert back.nodes[2]["colour"] == "red"
    assert back.nodes[2]["pos"] == pytest.approx((0.2, 1.0))


# What users of PyG's `from_networkx` complain about.


def test_nodes_may_differ_in_their_attributes() -> None:
    graph = nx.Graph()
    graph.add_node(0, size=2.0)
    graph.add_node(1, colour="red")
    with pytest.raises(ValueError, match="Not all nodes contain the same attributes"):
        from_networkx(graph)
    encoder = SceneEncoder(standardize=False).fit(graph)
    assert encoder.transform(graph).x.tolist() == [[0, 0, 0, 2, 1], [1, 0, 1, 0, 0]]


def test_text_is_encoded() -> None:
    graph = scene(a="red", b="blue")
    assert from_networkx(graph).colour == ["red", "blue"]
    assert SceneEncoder().fit(graph).transform(graph).x.dtype == torch.float32


def test_keys_of_parallel_edges_are_kept() -> None:
    graph = nx.MultiDiGraph()
    graph.add_edge(0, 1, key="road", length=1.0)
    graph.add_edge(0, 1, key="rail", length=2.0)
    encoder = SceneEncoder().fit(graph)
    back = encoder.inverse_transform(encoder.transform(graph))
    assert [*back.edges(keys=True)] == [(0, 1, "road"), (0, 1, "rail")]


@pytest.mark.parametrize(
    "value", [None, torch.eye(2), np.arange(3), {"a": {"b": 1}}, [1, "a"]]
)
def test_none_tensors_and_nested_values_are_kept(value: Any) -> None:
    graph = nx.path_graph(2, create_using=nx.DiGraph)
    nx.set_node_attributes(graph, dict.fromkeys(graph, value), "value")
    encoder = SceneEncoder().fit(graph)
    back = encoder.inverse_transform(encoder.transform(graph))
    assert type(back.nodes[0]["value"]) is type(value)
    assert str(back.nodes[0]["value"]) == str(value)


def test_names_of_any_type_and_clashing_ones_are_harmless() -> None:
    graph = nx.path_graph(3, create_using=nx.DiGraph)
    names = ("x", "y", "edge_index", "batch", "num_nodes", "ptr", "index", 5)
    for name in names:
        nx.set_node_attributes(graph, 1.0, name)
        nx.set_edge_attributes(graph, 2.0, name)
        graph.graph[name] = 3.0
    encoder = SceneEncoder(standardize=False).fit(graph)
    data = encoder.transform(graph)
    assert data.x.tolist() == [[1] * len(names)] * 3
    assert data.edge_index.tolist() == [[0, 1], [1, 2]]
    assert data.num_nodes == 3
    assert data.y is None


def test_node_order_is_kept() -> None:
    graph = nx.Graph()
    graph.add_nodes_from([(3, {"n": 3}), (1, {"n": 1}), (2, {"n": 2})])
    data = SceneEncoder(standardize=False).fit(graph).transform(graph)
    assert data.x.flatten().tolist() == [3, 1, 2]


# Schemas.


def test_a_saved_schema_encodes_the_same(tmp_path: Path) -> None:
    graphs = [scene(a="red", b="blue"), scene(c="red")]
    graphs[0].nodes["a"][("n", 1)] = float("nan")
    encoder = SceneEncoder(targets="graph.light", max_categories=5).fit(graphs)
    encoder.save(tmp_path / "schema.json")
    loaded = SceneEncoder.load(tmp_path / "schema.json")
    assert loaded.schema == encoder.schema
    assert str(loaded) == str(encoder) == "SceneEncoder(x=7, edge_attr=0, u=0)"
    for ours, theirs in zip(
        encoder.transform(graphs), loaded.transform(graphs), strict=True
    ):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)
    assert json.loads((tmp_path / "schema.json").read_text()) == encoder.schema
    assert SceneEncoder.from_schema(encoder.schema).schema == encoder.schema


def test_order_of_scenes_does_not_change_the_schema() -> None:
    graphs = [scene(a="red"), scene(b="blue"), nx.DiGraph(light="off")]
    names = [SceneEncoder().fit(g).feature_names for g in (graphs, graphs[::-1])]
    assert names[0] == names[1]


def test_parts_scanned_apart_give_the_same_schema() -> None:
    graphs = [scene(a="red"), scene(b="blue", c="red"), nx.MultiGraph(light="off")]
    whole = SceneEncoder().fit(graphs)
    parts = SceneEncoder()
    scan = parts.new_scan()
    for graph in graphs:
        single = SceneEncoder().new_scan()
        single.add(read_structure([graph]), 0)
        scan.merge(single)
    assert parts.fit_scan(scan).schema == whole.schema


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "expected 'format'"),
        ({"version": 99}, r"expected version 1 \(got 99\)"),
        ({"attributes": None}, "expected a section 'attributes'"),
        ({"scenes": {}}, "'scenes' lacks 'scenes'"),
        ({"options": {"speed": 1}}, "unknown option 'speed'"),
        ({"attributes": {"node": [{"name": "a"}]}}, "'a' of the schema has no 'kind'"),
        (
            {"attributes": {"node": [{"name": "a", "kind": "odd", "role": "feature"}]}},
            "unknown kind 'odd'",
        ),
    ],
)
def test_broken_schemas(change: dict[str, Any], message: str) -> None:
    schema = {**copy.deepcopy(SceneEncoder().fit(scene(a="red")).schema), **change}
    with pytest.raises(ValueError, match=message):
        SceneEncoder.from_schema(schema)


def test_truncated_schema_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    SceneEncoder().fit(scene(a="red")).save(path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"schema\.json' is not a schema of scenes"):
        SceneEncoder.load(path)


# Scenes that contradict the schema, and other bad input.


def contradicting() -> Iterator[tuple[str, nx.DiGraph, str]]:
    graph = scene(a="red")
    graph.nodes["a"]["pos"] = "here"
    yield "text", graph, r"node 'a', attribute 'pos': must be numbers for pos\.x, pos"
    graph = scene(a="red")
    graph.nodes["a"]["pos"] = {"x": 1.0}
    yield "shape", graph, r"'pos': must be numbers for pos\.x, pos\.y as in the schema"
    graph = scene(a="red")
    del graph.nodes["a"]["pos"]
    yield "missing", graph, "'pos': is missing, which it never was in the fitted"
    graph = scene(a="red")
    graph.nodes["a"]["pos"] = {"x": float("nan"), "y": 1.0}
    yield "nan", graph, "'pos': is None or not finite"
    graph = scene(a="red")
    graph.nodes["a"]["weight"] = 1
    yield "new", graph, r"'weight': is not in the schema \(node attributes: 'colour', "
    graph = scene(a="red", b="red")
    graph.add_edge("a", "b", near=1)
    yield "edge", graph, r"edge \('a', 'b'\), attribute 'near': is not in the schema"
    graph = scene(a="red")
    graph.graph["light"] = ["on"]
    yield (
        "list",
        graph,
        r"graph, attribute 'light': must be a category as in the schema \(got",
    )
    graph = scene(a="red")
    graph.nodes["a"]["flag"] = 3
    yield "truth", graph, "attribute 'flag': must be a boolean"


@pytest.mark.parametrize("case", [*contradicting()], ids=lambda case: case[0])
def test_scenes_that_contradict_the_schema(case: tuple[str, nx.DiGraph, str]) -> None:
    fitted = [scene(a="red"), scene(b="blue")]
    if case[0] == "truth":
        fitted[0].nodes["a"]["flag"] = True
    encoder = SceneEncoder().fit(fitted)
    with pytest.raises(SceneError, match="scene 1, .*" + case[2]):
        encoder.transform(
            [scene(a="red"), case[1]] if case[0] != "truth" else [fitted[0], case[1]]
        )


def test_cyclic_deep_and_huge_values() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    cases = {
        "contains itself": cycle,
        "is nested deeper than 32 levels": deep,
        "holds more than 1,000,000 items": list(range(1_000_001)),
    }
    for message, value in cases.items():
        graph = nx.DiGraph()
        graph.add_node("a", value=value)
        with pytest.raises(SceneError, match=f"node 'a', attribute 'value': {message}"):
            SceneEncoder().fit([nx.DiGraph(), graph])
        other = nx.DiGraph()
        other.add_node("a", value="text")
        other.add_node("b", value=1)
        with pytest.raises(SceneError, match=message):
            SceneEncoder().fit(other).transform(graph)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relations": "pairs"}, "'relations' must be one of edges, labels, both"),
        ({"category": "hash"}, "'category' must be one of"),
        ({"max_categories": 0}, "'max_categories' must be at least 1"),
        ({"kinds": {"node.colour": "colour"}}, "'kinds' must say of 'node.colour'"),
        ({"leave_out": ["colour"]}, "attributes are named by their level"),
        ({"targets": ["node.a", "graph.b"]}, "'targets' must be of one level"),
        (
            {"targets": "node.colour", "leave_out": ["node.colour"]},
            "in both 'targets' and 'leave_out'",
        ),
        ({"targets": "node.color"}, "no fitted scene has the node attribute 'color'"),
        ({"kinds": {"node.colour": "number"}}, "cannot be of kind 'number'"),
        ({"kinds": {"node.pos": "category"}}, "cannot be of kind 'category'"),
        ({"edge_type": "relation"}, "no fitted scene has the edge attribute"),
        (
            {"kinds": {"graph.light": "text"}, "targets": "graph.light"},
            "the target 'graph.light' is of kind 'text'",
        ),
        (
            {"kinds": {"node.colour": "category"}, "max_categories": 1},
            "has more than 1 values, too many for a category",
        ),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneEncoder(**options).fit(scene(a="red", b="blue"))


def test_what_is_no_scene() -> None:
    with pytest.raises(TypeError, match="scene 1 must be a networkx graph"):
        SceneEncoder().fit([scene(a="red"), {}])
    with pytest.raises(ValueError, match="must hold a scene to fit"):
        SceneEncoder().fit([])
    with pytest.raises(RuntimeError, match="the encoder is not fitted"):
        SceneEncoder().transform(scene(a="red"))


def test_a_value_that_holds_the_same_list_twice_is_no_cycle() -> None:
    part = [1, "a"]
    graph = nx.DiGraph()
    graph.add_node("a", value=[part, part])
    encoder = SceneEncoder().fit(graph)
    back = encoder.inverse_transform(encoder.transform(graph))
    assert back.nodes["a"]["value"] == [[1, "a"], [1, "a"]]
