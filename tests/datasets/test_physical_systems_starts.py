from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets.physical_simulator import (
    FORCES,
    centred,
    count_systems,
    reachable,
    sample_pairs,
    sample_starts,
    sample_trees,
    simulate,
)

CARD = Path(__file__).parents[2] / "datasets/physical-systems/README.md"


def starts(force="springs", count=4000, masses=5, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    return sample_starts(force, count, masses, rng, **kwargs)


@pytest.mark.parametrize(
    ("force", "spread"), [("springs", 0.5), ("charges", 1.0), ("gravity", 1.0)]
)
def test_places_and_speeds(force, spread):
    start, _, _ = starts(force)
    assert start.position.mean() == pytest.approx(0, abs=0.02 * spread)
    assert start.position.std() == pytest.approx(spread, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(start.velocity, axis=-1), 0.5)
    assert np.abs(start.velocity.mean(axis=(0, 1))).max() < 0.01


def test_springs_join_half_of_the_pairs():
    start, source, joined = starts()
    assert (joined == joined.transpose(0, 2, 1)).all()
    assert not joined[:, range(5), range(5)].any()
    share = joined.mean(axis=0)[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(share, 0.5, atol=0.03)
    np.testing.assert_allclose(start.coupling, 0.1 * joined)
    assert (start.mass == 1).all()
    assert (source == 1).all()
    assert start.softening is None


def test_unlike_charges_attract():
    start, charge, joined = starts("charges", count=200)
    for s, i, j in np.ndindex(200, 5, 5):
        expected = 0 if i == j else -charge[s, i] * charge[s, j]
        assert start.coupling[s, i, j] == expected
        assert joined[s, i, j] == (i != j and charge[s, i] != charge[s, j])
    assert set(charge.ravel()) == {-1, 1}
    assert (start.mass == 1).all()


def test_all_masses_attract_by_gravity():
    start, mass, joined = starts("gravity", count=200)
    np.testing.assert_array_equal(start.mass, mass)
    assert mass.min() > 0.5
    assert mass.max() < 1.5
    assert mass.std() > 0.25
    np.testing.assert_array_equal(joined[0], ~np.eye(5, dtype=bool))
    expected = 0.3 * mass[:, :, None] * mass[:, None] * joined
    np.testing.assert_allclose(start.coupling, expected)


def test_everyone_starts_within_the_walls():
    inside, _, _ = starts(box=0.4)
    free, _, _ = starts()
    assert np.abs(inside.position).max() <= 0.4
    same = np.abs(free.position) < 0.4
    np.testing.assert_array_equal(inside.position[same], free.position[same])


@given(seed=st.integers(0, 2**31), masses=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_systems_are_connected_components(seed, masses):
    rng = np.random.default_rng(seed)
    for joined in (sample_pairs(5, masses, rng), sample_trees(5, masses, rng)):
        for matrix, reach, count in zip(
            joined, reachable(joined), count_systems(joined), strict=True
        ):
            graph = nx.from_numpy_array(matrix)
            systems = list(nx.connected_components(graph))
            assert count == len(systems)
            for system in systems:
                for mass in system:
                    assert set(np.flatnonzero(reach[mass])) == system


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6, 9, 17])
def test_the_ends_of_a_chain_belong_together(length):
    chain = np.eye(length, k=1, dtype=bool)
    assert reachable((chain | chain.T)[None]).all()


def test_trees():
    joined = sample_trees(20000, 6, np.random.default_rng(0))
    systems = count_systems(joined)
    share = np.bincount(systems, minlength=7)[1:] / 20000
    np.testing.assert_allclose(share, 1 / 6, atol=0.012)
    # As many springs as hold them together, and no more.
    np.testing.assert_array_equal(joined.sum(axis=(1, 2)), 2 * (6 - systems))
    # The place of a mass in the list says nothing.
    free = (joined.sum(axis=2) == 0).mean(axis=0)
    np.testing.assert_allclose(free, free.mean(), atol=0.015)
    # Some are chains, some are stars.
    assert {2, 3, 4, 5} <= set(joined[systems == 1].sum(axis=2).max(axis=1))


def test_starts_with_trees():
    start, _, joined = starts(count=50, masses=10, trees=True)
    np.testing.assert_allclose(start.coupling, 0.1 * joined)
    assert len(set(count_systems(joined))) > 5


def test_systems_seen_from_their_centres_move_alike():
    start, _, joined = starts(count=100)
    rng = np.random.default_rng(1)
    start = replace(start, mass=rng.uniform(0.5, 2, start.mass.shape))
    moved = simulate(start, 10)
    frames = simulate(centred(start), 10)
    reach = reachable(joined)
    for s in range(100):
        for i in range(5):
            own = reach[s, i]
            weight = start.mass[s, own] / start.mass[s, own].sum()
            for values in (frames.position, frames.velocity):
                # [n, T, 2] -> [T, 2]
                centre = np.einsum("n,ntd->td", weight, values[s, own])
                np.testing.assert_allclose(centre, 0, atol=1e-12)
            for j in np.flatnonzero(own):
                for seen, real in (
                    (frames.position, moved.position),
                    (frames.velocity, moved.velocity),
                ):
                    difference = seen[s, i] - seen[s, j]
                    expected = real[s, i] - real[s, j]
                    np.testing.assert_allclose(difference, expected, atol=1e-12)


def test_the_card_shows_the_drift_that_its_code_prints(capsys):
    text = CARD.read_text()
    code = text.split("```python\n")[1].split("```")[0]
    exec(code, {})
    printed = capsys.readouterr().out.split("\n")[:-1]
    assert len(printed) == len(FORCES)
    for line in printed:
        force, *figures = line.split()
        row = next(row for row in text.split("\n") if row.startswith(f"| {force} |"))
        # | force | steps a frame | median | 99 % | largest |
        recorded = [float(cell) for cell in row.split("|")[3:6]]
        np.testing.assert_allclose([float(x) for x in figures], recorded, rtol=0.05)
