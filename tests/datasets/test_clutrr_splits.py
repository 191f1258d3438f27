import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.datasets.clutrr import (
    Chain,
    composed_pairs,
    lengthened,
    split_chains,
)


def chain(types, target):
    edges = tuple((k, k + 1) for k in range(len(types)))
    return Chain(edges, tuple(types), (0, len(types)), target)


def total(types):
    """Whole numbers from 0 to 6, composed by adding them up."""
    return sum(types) % 7


PAIRS = [chain((a, b), total((a, b))) for a in range(7) for b in range(7)]
TRIPLES = [chain((a, b, 1), total((a, b, 1))) for a in range(7) for b in range(7)] * 2


def test_a_sequence_is_in_one_split():
    rng = np.random.default_rng(0)
    train, val = split_chains([*PAIRS, *TRIPLES], 0.2, rng)
    assert len(train) + len(val) == len(PAIRS) + len(TRIPLES)
    held = {c.types for c in val}
    assert len(held) == 10
    assert len(val) == 20
    assert not held & {c.types for c in train}
    # What relations amount to is learnt from pairs: all of them stay.
    assert {c.types for c in PAIRS} <= {c.types for c in train}


def test_the_seed_chooses():
    first, again, other = (
        split_chains(TRIPLES, 0.2, np.random.default_rng(seed))[1] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_composed_pairs():
    chains = [chain((1, 2), 3), chain((0, 3), 3), chain((1, 2), 3), chain((1, 1, 1), 3)]
    assert composed_pairs(chains) == {3: [(0, 3), (1, 2)]}


@given(
    types=st.lists(st.integers(0, 6), min_size=2, max_size=4),
    length=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_a_lengthened_chain_has_the_same_answer(types, length, seed):
    before = chain(types, total(types))
    rng = np.random.default_rng(seed)
    after = lengthened(before, length, composed_pairs(PAIRS), rng)
    assert len(after.types) == max(length, len(types))
    assert total(after.types) == after.target == before.target
    assert after.edges == tuple((k, k + 1) for k in range(len(after.types)))
    assert after.query == (0, len(after.types))


@pytest.mark.parametrize("pairs", [{}, {5: [(1, 4)]}])
def test_what_cannot_be_replaced_stays(pairs):
    before = chain((1, 2, 3), 6)
    assert lengthened(before, 9, pairs, np.random.default_rng(0)) == before
