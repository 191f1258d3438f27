"""Which objects are compared, by which columns, and one's own predicates."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data import (
    Predicate,
    pair_relations,
    predicate,
    triple_relations,
    typed_edges,
)
from pyg_relational.data.predicates import larger, near, same
from pyg_relational.data.relations import attribute_table

SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@predicate
def heavier(a, b):
    return a["weight"] > b["weight"]


@given(SIZES, st.booleans())
@settings(max_examples=40, deadline=None)
def test_all_pairs_and_triples_of_each_graph_and_no_others(sizes, self_pairs):
    batch = Batch.from_data_list([Data(x=torch.rand(n, 1)) for n in sizes])
    ptr = torch.tensor([0, *sizes]).cumsum(0).tolist()
    pairs, holds = pair_relations(batch, [larger()], {"size": 0}, self_pairs)
    sets = [range(*ends) for ends in pairwise(ptr)]
    assert [tuple(pair) for pair in pairs.t().tolist()] == [
        (a, b) for rows in sets for b in rows for a in rows if self_pairs or a != b
    ]
    assert torch.equal(holds[:, 0], batch.x[pairs[0], 0] > batch.x[pairs[1], 0])
    triples, none = triple_relations(batch, [], {})
    assert [tuple(triple) for triple in triples.t().tolist()] == [
        (a, b, c)
        for rows in sets
        for a in rows
        for b in rows
        for c in rows
        if len({a, b, c}) == 3
    ]
    assert none.shape == (triples.size(1), 0)


def test_graphs_are_told_by_ptr_by_batch_or_are_one():
    x = torch.rand(5, 1)
    expected = [[1, 0], [0, 1], [3, 2], [4, 2], [2, 3], [4, 3], [2, 4], [3, 4]]
    for data in (
        Data(x=x, batch=torch.tensor([0, 0, 1, 1, 1])),
        Data(x=x, ptr=torch.tensor([0, 2, 5])),
    ):
        assert pair_relations(data, [], {})[0].t().tolist() == expected
    assert pair_relations(Data(x=x), [], {})[0].size(1) == 20
    assert pair_relations(Data(x=x[:0]), [], {})[0].size(1) == 0


def test_typed_edges_are_where_a_predicate_holds():
    data = Data(x=torch.tensor([[1.0, 0.0], [2.0, 0.0], [2.0, 1.0]]))
    items = [larger(), same("color")]
    index, kind = typed_edges(*pair_relations(data, items, {"size": 0, "color": 1}))
    assert list(zip(*index.tolist(), kind.tolist(), strict=True)) == [
        (1, 0, 0),
        (1, 0, 1),
        (2, 0, 0),
        (0, 1, 1),
    ]


def test_own_predicates_by_decorator_by_name_and_made_of_others():
    x = torch.tensor([[1.0, 0.0], [3.0, 1.0], [2.0, 9.0]])
    columns = {"weight": 0, "position": 1}
    close = near(2)
    both = Predicate("both", 2, lambda a, b: heavier(a, b) & close(a, b))
    assert (heavier.name, heavier.arity) == ("heavier", 2)
    index, holds = pair_relations(Data(x=x), [heavier, both], columns)
    true = [index[:, holds[:, k]].t().tolist() for k in range(2)]
    assert true == [[[1, 0], [2, 0], [1, 2]], [[1, 0]]]

    @predicate
    def sum_of(a, b, c):
        return a["weight"] == b["weight"] + c["weight"]

    index, holds = triple_relations(Data(x=x), [sum_of], columns)
    assert index[:, holds[:, 0]].t().tolist() == [[1, 0, 2], [1, 2, 0]]


def test_columns_of_x_by_number_list_or_other_tensor():
    data = Data(x=torch.arange(6).view(2, 3), pos=torch.rand(2, 2), w=torch.ones(2))
    columns = {"a": 2, "b": [0, 2], "c": "pos", "d": "w", "e": (1,)}
    table = attribute_table(data, columns)
    assert table["a"].tolist() == [2, 5]
    assert table["b"].tolist() == [[0, 2], [3, 5]]
    assert table["c"] is data.pos
    assert table["d"] is data.w
    assert table["e"].tolist() == [[1], [4]]


def test_columns_by_their_names():
    names = ["size", "color=red", "color=blue", "at.x", "at.y", "box[0]", "box[1]"]
    x = torch.rand(4, 7)
    table = attribute_table(Data(x=x), names)
    for name, columns in {
        "size": 0,
        "color": [1, 2],
        "color=blue": 2,
        "at": [3, 4],
        "at.x": 3,
        "box": [5, 6],
    }.items():
        assert torch.equal(table[name], x[:, columns])
    # Nested names make an attribute at each level; an exact name comes first.
    x = torch.rand(4, 4)
    table = attribute_table(Data(x=x), ["a.b.x", "a.b.y", "a.c", "a"])
    assert torch.equal(table["a.b"], x[:, :2])
    assert torch.equal(table["a"], x[:, 3])


def test_what_is_not_known_is_nan():
    names = ["size", "size.known", "at.x", "at.y", "at.known"]
    x = torch.tensor([[5.0, 1, 1, 2, 0], [0.0, 0, 3, 4, 1]])
    table = attribute_table(Data(x=x), names)
    nan = pytest.approx(math.nan, nan_ok=True)
    assert table["size"].tolist() == [5.0, nan]
    assert table["at"].tolist() == [[nan, nan], [3.0, 4.0]]
    assert table["at.x"].tolist() == [nan, 3.0]
    assert table["size.known"].tolist() == [1.0, 0.0]

    names = ["color=red", "color=<unseen>", "color.known", "color_of_box=red"]
    red, unseen, unknown = [1, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]
    x = torch.tensor([red, unseen, unknown, red, unseen, unknown])
    _, holds = pair_relations(Data(x=x), [same("color")], names)
    index, _ = pair_relations(Data(x=x), [], {})
    assert index[:, holds[:, 0]].t().tolist() == [[3, 0], [0, 3]]
    assert attribute_table(Data(x=x), names)["color_of_box"].tolist() == [[1]] * 6


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("size", TypeError, r"mapping .*got the string 'size'"),
        ({"size": 3}, ValueError, r"'columns\['size'\]' must be from 0 to 2.*got 3"),
        ({"size": [0, -1]}, ValueError, r"must be from 0 to 2.*got -1"),
        ({"size": True}, TypeError, r"must be a column of 'x', a list .*got True"),
        ({"size": [0.5]}, TypeError, r"must be a column of 'x'.*got \[0.5\]"),
        ({"size": "pos"}, ValueError, r"names 'pos', which must be .*got NoneType"),
        ({"size": "u"}, ValueError, r"one row for each of 2 objects \(got shape \[1\]"),
        (["size", "color"], ValueError, r"each of the 3 columns of 'x' \(got 2 names"),
        (["a", "b", "b"], ValueError, r"differently \(got 'b' 2 times\)"),
    ],
)
def test_wrong_columns(columns, error, message):
    data = Data(x=torch.zeros(2, 3), u=torch.zeros(1))
    with pytest.raises(error, match=message):
        attribute_table(data, columns)


def test_wrong_objects():
    for data, got in ((Data(), "NoneType"), (Data(x=torch.zeros(3)), r"shape \[3\]")):
        with pytest.raises(ValueError, match=rf"shape \[N, F\].*got {got}"):
            attribute_table(data, {"size": 0})


def test_an_attribute_that_no_column_holds():
    data = Data(x=torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"'weight'.*got 'wieght'.*mean 'wieght'"):
        pair_relations(data, [heavier], {"wieght": 0})
    with pytest.raises(ValueError, match=r"'weight'.*\(got no attribute\)"):
        pair_relations(data, [heavier], {})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda a, b: a["s"] - b["s"],
            r"'mine' must return .*\[2\].*got torch.float32",
        ),
        (
            lambda a, b: a.matrix("s") > b.matrix("s"),
            r"\[2\].*got torch.bool .*\[2, 1\]",
        ),
        (lambda a, b: True, r"one truth value a pair or triple \(got bool\)"),
    ],
)
def test_wrong_answers_of_own_predicates(function, message):
    with pytest.raises(ValueError, match=message):
        pair_relations(
            Data(x=torch.zeros(2, 1)), [Predicate("mine", 2, function)], {"s": 0}
        )


def test_wrong_predicates():
    with pytest.raises(ValueError, match=r"'name' must be a non-empty string \(got ''"):
        Predicate("", 2, max)
    with pytest.raises(ValueError, match=r"'arity' must be 2 or 3 \(got 1\)"):
        Predicate("big", 1, max)
    with pytest.raises(ValueError, match=r"'arity' must be 2 or 3 \(got 4\)"):
        predicate(lambda a, b, c, d: a)
    with pytest.raises(TypeError, match=r"'function' must be callable \(got int\)"):
        Predicate("big", 2, 1)
    with pytest.raises(TypeError, match=r"'heavier' is about 2 objects \(got 1\)"):
        heavier(None)
    data = Data(x=torch.zeros(3, 1))
    with pytest.raises(
        ValueError, match=r"triples .*about 3 objects \(got 'heavier', w"
    ):
        triple_relations(data, [heavier], {"weight": 0})
    with pytest.raises(ValueError, match=r"pairs must be of class Predicate.*'larger'"):
        pair_relations(data, ["larger"], {"size": 0})
