"""Each predicate against a loop over pairs that says what it means."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data import pair_relations, triple_relations
from pyg_relational.data import predicates as p
from pyg_relational.data.predicates import named_predicates

COLUMNS = {"size": 0, "position": [1, 2], "color": [3, 4], "lengths": [0, 3]}
# Whole numbers, so that ties, contact and equality occur.
OBJECT = st.lists(st.integers(-3, 3), min_size=5, max_size=5)
SETS = st.lists(st.lists(OBJECT, max_size=5), min_size=1, max_size=4)


def gap(a, b):
    return max(abs(a[k] - b[k]) - (a[0] + b[0]) / 2 for k in (1, 2))


def fits(a, b, sizes=(0, 0)):
    return all(
        a[k] - a[s] / 2 >= b[k] - b[s] / 2 and a[k] + a[s] / 2 <= b[k] + b[s] / 2
        for k, s in zip((1, 2), sizes, strict=True)
    )


def lies_between(a, b, c, width=0.25):
    length = math.dist(b[1:3], c[1:3])
    if length == 0:
        return False
    along = [(c[k] - b[k]) / length for k in (1, 2)]
    to_a = [a[k] - b[k] for k in (1, 2)]
    share = sum(x * y for x, y in zip(to_a, along, strict=True))
    aside = abs(to_a[0] * along[1] - to_a[1] * along[0])
    return 1e-9 < share < length - 1e-9 and aside <= width * length + 1e-9


MEANING = [
    (p.larger(), lambda a, b: a[0] > b[0]),
    (p.larger(margin=1), lambda a, b: a[0] > b[0] + 1),
    (p.smaller(), lambda a, b: a[0] < b[0]),
    (p.smaller(margin=1), lambda a, b: a[0] + 1 < b[0]),
    (p.same("size"), lambda a, b: a[0] == b[0]),
    (p.same("size", tolerance=1), lambda a, b: abs(a[0] - b[0]) <= 1),
    (p.same("color"), lambda a, b: a[3:5] == b[3:5]),
    (p.left_of(), lambda a, b: a[1] < b[1]),
    (p.left_of(margin=1), lambda a, b: a[1] + 1 < b[1]),
    (p.right_of(), lambda a, b: a[1] > b[1]),
    (p.above(), lambda a, b: a[2] > b[2]),
    (p.above(y_down=True, margin=1), lambda a, b: a[2] + 1 < b[2]),
    (p.below(), lambda a, b: a[2] < b[2]),
    (p.below(y_down=True), lambda a, b: a[2] > b[2]),
    (p.below(("color", "size")), lambda a, b: a[4] < b[4]),
    (p.near(2.0), lambda a, b: math.dist(a[1:3], b[1:3]) <= 2),
    (p.inside(), fits),
    (p.inside(size="lengths"), lambda a, b: fits(a, b, (0, 3))),
    (p.touching(), lambda a, b: gap(a, b) == 0),
    (p.touching(tolerance=1), lambda a, b: abs(gap(a, b)) <= 1),
    (p.overlapping(), lambda a, b: gap(a, b) < 0),
    (p.overlapping(tolerance=1), lambda a, b: gap(a, b) < -1),
]


def batch_of(sets, dtype=torch.float64):
    graphs = [Data(x=torch.tensor(rows, dtype=dtype).view(-1, 5)) for rows in sets]
    return Batch.from_data_list(graphs)


@given(SETS, st.sampled_from([torch.float64, torch.float32, torch.int64, torch.int8]))
@settings(max_examples=40, deadline=None)
def test_every_predicate_means_what_a_loop_says(sets, dtype):
    items = [item for item, _ in MEANING]
    index, holds = pair_relations(batch_of(sets, dtype), items, COLUMNS)
    expected, start = {}, 0
    for rows in sets:
        for i, b in enumerate(rows):
            for j, a in enumerate(rows):
                if i != j:
                    truth = [bool(meaning(a, b)) for _, meaning in MEANING]
                    expected[start + j, start + i] = truth
        start += len(rows)
    found = zip(map(tuple, index.t().tolist()), holds.tolist(), strict=True)
    assert dict(found) == expected
    assert index.size(1) == len(expected)


@given(SETS)
@settings(max_examples=40, deadline=None)
def test_between_means_what_a_triple_loop_says(sets):
    index, holds = triple_relations(batch_of(sets), [p.between()], COLUMNS)
    expected, start = [], 0
    for rows in sets:
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                for k, c in enumerate(rows):
                    if len({i, j, k}) == 3:
                        truth = lies_between(a, b, c)
                        expected.append(((start + i, start + j, start + k), truth))
        start += len(rows)
    found = zip(map(tuple, index.t().tolist()), holds[:, 0].tolist(), strict=True)
    assert list(found) == expected


def test_width_of_between():
    x = torch.tensor([[0.0, 0.0], [10.0, 0.0], [5.0, 2.4], [5.0, 2.6], [11.0, 0.0]])
    columns = {"position": [0, 1]}

    def between_the_first_two(width):
        index, holds = triple_relations(Data(x=x), [p.between(width=width)], columns)
        mine = (index[1] == 0) & (index[2] == 1) & holds[:, 0]
        return index[0, mine].tolist()

    assert between_the_first_two(0.25) == [2]
    assert between_the_first_two(0.27) == [2, 3]
    assert between_the_first_two(0.0) == []


@given(SETS, st.floats(0, 2))
@settings(max_examples=40, deadline=None)
def test_larger_smaller_and_same_share_out_all_pairs(sets, margin):
    batch = batch_of(sets)
    batch.x = batch.x / 3
    items = [p.larger(margin=margin), p.smaller(margin=margin), p.same("size", margin)]
    _, holds = pair_relations(batch, items, COLUMNS)
    assert (holds.sum(dim=1) == 1).all()


def test_unknown_values_fulfil_nothing():
    x = torch.full((3, 5), math.nan)
    items = [item for item, _ in MEANING]
    assert not pair_relations(Data(x=x), items, COLUMNS)[1].any()
    assert not triple_relations(Data(x=x), [p.between()], COLUMNS)[1].any()


def test_unsigned_values_do_not_wrap_around():
    data = Data(x=torch.tensor([[3], [250]], dtype=torch.uint8))
    items = [p.larger(), p.same("size", tolerance=10)]
    index, holds = pair_relations(data, items, {"size": 0})
    assert index.t().tolist() == [[1, 0], [0, 1]]
    assert holds.tolist() == [[True, False], [False, False]]


def test_names():
    names = ["larger", "same_color", "larger_age", "smaller_age", "between", "left_of"]
    found = named_predicates([*names, p.near(0.5)])
    assert [item.name for item in found] == [*names, "near_0.5"]
    assert [item.arity for item in found] == [2, 2, 2, 2, 3, 2, 2]
    data = Data(age=torch.tensor([1, 2]), num_nodes=2)
    _, holds = pair_relations(data, found[2:4], {"age": "age"})
    assert holds.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (
            ["largest"],
            ValueError,
            r"one of .* \(got 'largest'\); did you mean 'larger'",
        ),
        (["near"], ValueError, r"'near' needs a distance; pass 'near\(distance\)'"),
        ("larger", TypeError, r"must be a list \(got 'larger'\)"),
        ([3], TypeError, r"must hold names or predicates \(got 3\)"),
        ([p.larger], TypeError, r"\(got <function larger .*call it"),
        (["larger", p.larger(margin=1)], ValueError, r"got 'larger' 2 times.*replace"),
    ],
)
def test_wrong_names(names, error, message):
    with pytest.raises(error, match=message):
        named_predicates(names)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "wide", None])
def test_wrong_limits(value):
    for make, name in (
        (p.near, "distance"),
        (lambda v: p.larger(margin=v), "margin"),
        (lambda v: p.same("size", tolerance=v), "tolerance"),
        (lambda v: p.above(margin=v), "margin"),
        (lambda v: p.inside(tolerance=v), "tolerance"),
        (lambda v: p.touching(tolerance=v), "tolerance"),
        (lambda v: p.overlapping(tolerance=v), "tolerance"),
        (lambda v: p.between(width=v), "width"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' must be a number of at least"):
            make(value)


def test_wrong_columns_of_an_attribute():
    data = Data(x=torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"'color' must have one column .*\(got 2\)"):
        pair_relations(data, [p.larger("color")], COLUMNS)
    with pytest.raises(ValueError, match=r"'size' must have at least 2 columns"):
        pair_relations(data, [p.above("size")], COLUMNS)
    three = {"position": [0, 1, 2], "size": [3, 4]}
    with pytest.raises(ValueError, match=r"'size' must have one column, or 3 as"):
        pair_relations(data, [p.inside()], three)
