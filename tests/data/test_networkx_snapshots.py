import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from pyg_relational.data import from_networkx_snapshots


def frame(nodes, edges=(), kind=nx.Graph):
    graph = kind()
    for name, x in nodes.items():
        graph.add_node(name, x=x, colour=[0.0, 1.0])
    for source, target, weight in edges:
        graph.add_edge(source, target, weight=weight)
    return graph


FRAMES = [
    frame({"ann": 1, ("b", 2): 2}, [("ann", ("b", 2), 0.5)]),
    nx.Graph(),
    frame({7: 3, "ann": 4}, [(7, "ann", 1.5), (7, 7, 2.5)]),
]


def test_nodes_come_and_go_by_name():
    graph = from_networkx_snapshots(FRAMES, ["x", "colour"], ["weight"], [0, 5, 6])
    assert graph.node_names == ["ann", ("b", 2), 7]
    assert graph.node_id.tolist() == [0, 1, 2]
    assert graph.mask.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert graph.x[..., 0].tolist() == [[1, 0, 4], [2, 0, 0], [0, 0, 3]]
    assert graph.x[2, 2].tolist() == [3, 0, 1]
    assert graph.x.dtype == torch.get_default_dtype()
    assert graph.frame_time.tolist() == [0, 5, 6]
    edges = zip(graph.edge_time.tolist(), graph.edge_index.t().tolist(), strict=True)
    assert [(time, *pair) for time, pair in edges] == [
        (0, 0, 1),
        (0, 1, 0),
        (2, 2, 0),
        (2, 0, 2),
        (2, 2, 2),
    ]
    assert graph.edge_attr.flatten().tolist() == [0.5, 0.5, 1.5, 1.5, 2.5]
    assert Batch.from_data_list([graph, graph])[1].node_names == graph.node_names
    assert graph.subgraph(torch.tensor([2])).node_names == [7]


def test_directions_and_parallel_edges_are_kept():
    nodes = {"a": 1.0, "b": 2.0}
    way = [("b", "a", 1.0)]
    directed = from_networkx_snapshots([frame(nodes, way, nx.DiGraph)], ["x"])
    assert directed.edge_index.tolist() == [[1], [0]]
    assert "edge_attr" not in directed
    many = frame(nodes, [*way, *way], nx.MultiDiGraph)
    assert from_networkx_snapshots([many], ["x"]).edge_index.tolist() == [
        [1, 1],
        [0, 0],
    ]


def test_nodes_without_attributes_or_edges():
    graph = from_networkx_snapshots([frame({"a": 1})], [], ["weight"])
    assert graph.x.shape == (1, 1, 0)
    assert graph.edge_index.shape == (2, 0)
    assert graph.mask.all()


@pytest.mark.parametrize(
    ("graphs", "attrs", "message"),
    [
        ([nx.Graph()], ["x"], "a graph with nodes .got none"),
        ([], ["x"], "a graph with nodes .got none"),
        (
            FRAMES,
            ["height"],
            "node 'ann' of frame 0 must have the attribute 'height' .got 'x', 'colour'",
        ),
        ([frame({"a": "red"})], ["x"], "'x' of node 'a' of frame 0 .*got 'red'"),
        ([frame({"a": {}})], ["x"], "'x' of node 'a' of frame 0 must be a number"),
        ([frame({"a": 1, "b": np.ones(2)})], ["x"], "'node_attrs' .*1 and 2 numbers"),
        ([frame({"a": 1}), frame({"a": [1, 2]})], ["x"], "'x' must be as wide in all"),
    ],
)
def test_bad_graphs(graphs, attrs, message):
    with pytest.raises(ValueError, match=message):
        from_networkx_snapshots(graphs, attrs)


def test_bad_edges_and_times():
    with pytest.raises(ValueError, match=r"edge \('ann', \('b', 2\)\) of frame 0 must"):
        from_networkx_snapshots(FRAMES, ["x"], ["length"])
    with pytest.raises(ValueError, match="frames out of order"):
        from_networkx_snapshots(FRAMES, ["x"], times=[0, 2, 1])
