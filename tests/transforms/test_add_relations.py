import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_relational.data.predicates import near
from pyg_relational.transforms import AddRelations

COLUMNS = {"size": 0, "position": [1, 2]}
NAMES = ["larger", "left_of", "between", near(0.5)]
SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=5)


def graphs(sizes):
    return [Data(x=torch.rand(n, 3), y=torch.tensor([n])) for n in sizes]


def same(left, right):
    assert set(left.keys()) == set(right.keys())
    for name, value in left:
        assert torch.equal(value, right[name]), name


@given(SIZES, st.sampled_from(["labels", "edges"]))
@settings(max_examples=40, deadline=None)
def test_a_batch_is_its_graphs(sizes, as_):
    transform = AddRelations(NAMES if as_ == "labels" else NAMES[:2], COLUMNS, as_)
    alone = [transform(graph) for graph in graphs(sizes)]
    together = Batch.from_data_list([Data(x=g.x, y=g.y) for g in alone])
    before = set(together.keys())
    changed = transform(together)
    # The same as batching afterwards, and it comes apart again.
    same(changed, Batch.from_data_list(alone))
    for graph, part in zip(alone, changed.to_data_list(), strict=True):
        same(graph, part)
    assert set(together.keys()) == before
    assert "edge_index" not in together._slice_dict
    assert "edge_label" not in together._slice_dict


def test_labels():
    x = torch.tensor([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 0.0]])
    transform = AddRelations(["larger", "between", "left_of"], COLUMNS)
    assert transform.names == ["larger", "left_of"]
    assert transform.triple_names == ["between"]
    data = transform(Data(x=x))
    source, target = data.edge_label_index
    assert data.edge_label.dtype == torch.float32
    assert data.edge_label.tolist() == [
        [float(a > b), float(a < b)] for a, b in zip(source, target, strict=True)
    ]
    held = data.triple_label_index[:, data.triple_label[:, 0] == 1]
    assert held.t().tolist() == [[1, 0, 2], [1, 2, 0]]


def test_edges_are_typed_in_the_order_of_the_names():
    x = torch.tensor([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0]])
    data = AddRelations(["larger", "left_of"], COLUMNS, as_="edges")(Data(x=x))
    assert data.edge_index.tolist() == [[1, 0], [0, 1]]
    assert data.edge_type.tolist() == [0, 1]
    assert "edge_label" not in data


def test_only_triples_and_nothing():
    data = AddRelations(["between"], COLUMNS)(graphs([3])[0])
    assert set(data.keys()) == {"x", "y", "triple_label_index", "triple_label"}
    assert set(AddRelations([], COLUMNS)(graphs([3])[0]).keys()) == {"x", "y"}


def test_loader_of_transformed_graphs():
    transform = AddRelations(["larger"], COLUMNS)
    loader = DataLoader([transform(g) for g in graphs([3, 2, 4])], batch_size=3)
    (batch,) = loader
    index = batch.edge_label_index
    assert torch.equal(batch.batch[index[0]], batch.batch[index[1]])
    size = batch.x[:, 0]
    assert torch.equal(batch.edge_label[:, 0] == 1, size[index[0]] > size[index[1]])


@pytest.mark.parametrize(
    ("as_", "name"),
    [("labels", "edge_label"), ("edges", "edge_index"), ("edges", "edge_type")],
)
def test_nothing_is_overwritten(as_, name):
    data = graphs([2])[0]
    data[name] = torch.zeros(2, 1, dtype=torch.long)
    other = "labels" if as_ == "edges" else "edges"
    with pytest.raises(ValueError, match=f"'{name}' is there already.*as_='{other}'"):
        AddRelations(["larger"], COLUMNS, as_)(data)
    assert set(data.keys()) == {"x", "y", name}


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"'as_' must be one of .*got 'edge'.*'edges'"):
        AddRelations(["larger"], COLUMNS, as_="edge")
    with pytest.raises(
        ValueError, match="'between' is about three objects, and an edge"
    ):
        AddRelations(["between"], COLUMNS, as_="edges")
    with pytest.raises(
        ValueError, match=r"'predicates' must be one of .*\(got 'big'\)"
    ):
        AddRelations(["big"], COLUMNS)
    shown = str(AddRelations(["between", "larger"], COLUMNS))
    assert shown == "AddRelations(['larger', 'between'], as_='labels')"
