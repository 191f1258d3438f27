"""Constraints against double and triple loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data import pair_relations
from pyg_relational.data import predicates as p
from pyg_relational.explain import constraints as c


@st.composite
def relations(draw):
    """A batch with some of its pairs listed, in any order, and two relations."""
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    seed, dense = draw(st.integers(0, 2**31)), draw(st.sampled_from([0.4, 0.8, 1.0]))
    generator = torch.Generator().manual_seed(seed)
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    same = batch[:, None] == batch[None]
    pairs = (same & (torch.rand(same.shape, generator=generator) < dense)).nonzero().t()
    pairs = pairs[:, torch.randperm(pairs.size(1), generator=generator)]
    r, s = (torch.rand(2, pairs.size(1), generator=generator) < 0.6).unbind()
    return batch, len(sizes), pairs, r, s


def loops(batch, graphs, pairs, r, s):
    """Cases and how often each constraint holds, pair by pair."""
    r = dict(zip(map(tuple, pairs.t().tolist()), r.tolist(), strict=True))
    s = dict(zip(map(tuple, pairs.t().tolist()), s.tolist(), strict=True))
    out = {}

    def note(name, a, holds):
        out.setdefault(name, [[0, 0] for _ in range(graphs)])
        out[name][int(batch[a])][0] += bool(holds)
        out[name][int(batch[a])][1] += 1

    for a, b in r:
        if a == b:
            note("reflexivity", a, r[a, a])
        elif r[a, b] and (b, a) in r:
            note("symmetry", a, r[b, a])
            note("antisymmetry", a, not r[b, a])
        if (b, a) in r and (r[a, b] or s[b, a]):
            note("inverse", a, r[a, b] and s[b, a])
        for d in range(batch.numel()):
            if len({a, b, d}) == 3 and r[a, b] and r.get((b, d)) and (a, d) in r:
                note("transitivity", a, r[a, d])
    return out


@given(relations())
@settings(max_examples=60, deadline=None)
def test_all_constraints_are_those_of_loops(case):
    batch, graphs, pairs, r, s = case
    expected = loops(*case)
    given_as = {"batch": batch, "batch_size": graphs}
    for name in ("symmetry", "antisymmetry", "reflexivity", "transitivity", "inverse"):
        others = (r, s) if name == "inverse" else (r,)
        found = getattr(c, name)(pairs, *others, **given_as)
        want = expected.get(name, [[0, 0]] * graphs)
        assert torch.stack([found.holds, found.count], dim=1).tolist() == want, name
        # Probabilities that mean the same give the same.
        likely = [torch.where(x, 0.4, 0.1) for x in others]
        again = getattr(c, name)(pairs, *likely, **given_as, threshold=0.25)
        assert torch.equal(again.holds, found.holds)
        assert torch.equal(again.count, found.count)


def test_predicates_obey_what_they_should():
    torch.manual_seed(0)
    sets = [Data(x=torch.randint(0, 9, (n, 3)).double()) for n in (12, 0, 1, 7, 40)]
    data = Batch.from_data_list(sets)
    items = [p.larger(), p.smaller(), p.same("size"), p.near(3), p.inside()]
    columns = {"size": 0, "position": [1, 2]}
    pairs, holds = pair_relations(data, items, columns, self_pairs=True)
    r = dict(
        zip(["larger", "smaller", "same", "near", "inside"], holds.t(), strict=True)
    )

    def total(name, *relations):
        others = [r[relation] for relation in relations]
        return getattr(c, name)(pairs, *others, data.batch, data.num_graphs).total

    for name in ("larger", "smaller"):
        assert total("antisymmetry", name) == 1
        assert total("transitivity", name) == 1
        assert total("reflexivity", name) == 0
        assert total("symmetry", name) == 0
    for name in ("same", "near"):
        assert total("symmetry", name) == 1
        assert total("antisymmetry", name) == 0
        assert total("inverse", name, name) == 1
    assert total("transitivity", "same") == 1
    assert 0 < total("transitivity", "near") < 1
    for name in ("same", "near", "inside"):
        assert total("reflexivity", name) == 1
    assert total("transitivity", "inside") == 1
    assert total("inverse", "larger", "smaller") == 1
    assert total("inverse", "larger", "larger") == 0


def test_shares_per_graph_in_all_and_written_out():
    pairs = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 3, 2, 4]])
    batch = torch.tensor([0, 0, 1, 1, 2])
    found = c.symmetry(pairs, torch.tensor([0.9, 0.2, 0.6, 0.7, 0.9]), batch, 4)
    assert found.share.tolist() == [
        0.0,
        1.0,
        *[pytest.approx(math.nan, nan_ok=True)] * 2,
    ]
    assert found.total == pytest.approx(2 / 3)
    assert str(found) == "66.67% (2 of 3)"
    empty = c.transitivity(torch.empty(2, 0, dtype=torch.long), torch.empty(0))
    assert (empty.holds.tolist(), str(empty)) == ([0], "no case")


def test_one_graph_without_batch_and_a_probability_of_one_half_does_not_hold():
    pairs = torch.tensor([[0, 1, 1, 2, 0, 2], [1, 0, 2, 1, 2, 0]])
    relation = torch.tensor([0.9, 0.5, 0.9, 0.1, 0.4, 0.2])
    assert c.antisymmetry(pairs, relation).count.tolist() == [2]
    found = c.transitivity(pairs, relation)
    assert (found.holds.tolist(), found.count.tolist()) == ([0], [1])
    # 0 to 1 to 2 and 1 to 0 to 2
    assert c.transitivity(pairs, relation, threshold=0.3).holds.tolist() == [2]


PAIRS, ONE_EACH = torch.tensor([[0, 1], [1, 0]]), torch.ones(2)


@pytest.mark.parametrize(
    ("pairs", "relation", "options", "message"),
    [
        (PAIRS.t()[:1].t(), ONE_EACH, {}, r"a number for each of 1 pairs.*got \[2\]"),
        (PAIRS, torch.ones(2, 1), {}, r"shape \[2\] \(got \[2, 1\]\); pass one column"),
        (PAIRS[0], ONE_EACH, {}, r"'edge_index' must list pairs.*got \[2\]"),
        (PAIRS - 1, ONE_EACH, {}, r"objects from 0 to 0 \(got -1 to 0\)"),
        (PAIRS, ONE_EACH, {"batch": torch.tensor([0])}, r"0 to 0 \(got 0 to 1\)"),
        (
            PAIRS,
            ONE_EACH,
            {"batch": torch.tensor([0, 1])},
            r"pair \[0, 1\] of graphs 0",
        ),
        (PAIRS[:, [0, 0]], ONE_EACH, {}, r"each pair once \(got \[0, 1\] repeat.*coal"),
        (PAIRS, 3 * ONE_EACH, {}, r"'relation' .*\(got 3 to 3\); apply '.sigmoid\(\)'"),
        (PAIRS, math.nan * ONE_EACH, {}, r"probabilities from 0 to 1 \(got nan to nan"),
        (PAIRS, ONE_EACH, {"threshold": 1}, r"at least 0 and below 1 \(got 1\)"),
    ],
)
def test_wrong_input(pairs, relation, options, message):
    for constraint in (c.symmetry, c.antisymmetry, c.reflexivity, c.transitivity):
        with pytest.raises(ValueError, match=message):
            constraint(pairs, relation, **options)
    with pytest.raises(ValueError, match=message):
        c.inverse(pairs, relation, relation, **options)


def test_the_other_relation_is_named():
    with pytest.raises(ValueError, match=r"'other' must hold truth values"):
        c.inverse(PAIRS, ONE_EACH, 2 * ONE_EACH)
