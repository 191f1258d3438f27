import math
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets import physical_simulator as simulator
from pyg_relational.datasets.physical_simulator import (
    FORCES,
    Systems,
    centred,
    count_systems,
    energy,
    energy_drift,
    kinetic_energy,
    path_energy,
    potential_energy,
    reachable,
    sample_pairs,
    sample_starts,
    sample_trees,
    simulate,
)


def systems(softening=None, count=3, masses=4, seed=0, spread=0.7):
    """Masses of different weight, with couplings of both signs unless on springs."""
    rng = np.random.default_rng(seed)
    coupling = rng.uniform(
        0.2 if softening is None else -0.5, 1, (count, masses, masses)
    )
    coupling = np.triu(coupling, k=1)
    return Systems(
        rng.normal(0, spread, (count, masses, 2)),
        rng.normal(0, 0.5, (count, masses, 2)),
        coupling + coupling.transpose(0, 2, 1),
        rng.uniform(0.5, 2, (count, masses)),
        softening,
    )


def looped(start, frames, frame_time, steps, box):
    """Positions and velocities `[N][T][2]` of one simulation, mass by mass."""
    dt, masses = frame_time / steps, range(len(start.mass[0]))
    x = start.position[0].tolist()
    v = start.velocity[0].tolist()

    def pull(i):
        total = [0.0, 0.0]
        for j in masses:
            d = [x[j][0] - x[i][0], x[j][1] - x[i][1]]
            strength = start.coupling[0, i, j]
            if start.softening is not None:
                strength /= math.hypot(*d, start.softening) ** 3
            total[0] += strength * d[0]
            total[1] += strength * d[1]
        return [t / start.mass[0, i] for t in total]

    def kick():
        for i, a in enumerate([pull(i) for i in masses]):
            for k in range(2):
                v[i][k] += dt / 2 * a[k]

    seen = [([p[:] for p in x], [p[:] for p in v])]
    for _ in range(frames - 1):
        for _ in range(steps):
            kick()
            for i in masses:
                for k in range(2):
                    x[i][k] += dt * v[i][k]
                    if box is not None and abs(x[i][k]) > box:
                        x[i][k] = math.copysign(2 * box, x[i][k]) - x[i][k]
                        v[i][k] = -v[i][k]
            kick()
        seen.append(([p[:] for p in x], [p[:] for p in v]))
    # [T, 2, N, 2] -> [2, N, T, 2]
    return np.array(seen).transpose(1, 2, 0, 3)


@pytest.mark.parametrize("softening", [None, 0.3])
@pytest.mark.parametrize("box", [None, 1.5])
def test_equals_a_loop_over_masses(softening, box):
    start = systems(softening, masses=3, spread=0.5)
    frames = simulate(start, 30, 0.1, 4, box)
    expected = looped(start, 30, 0.1, 4, box)
    np.testing.assert_allclose(frames.position[0], expected[0], atol=1e-11)
    np.testing.assert_allclose(frames.velocity[0], expected[1], atol=1e-11)
    if box is not None:
        # A wall was met.
        open_air = simulate(start, 30, 0.1, 4).position[0]
        assert np.abs(open_air - expected[0]).max() > 0.1


def springs_exactly(start, times):
    """Positions `[S, N, T, 2]` by the eigenvectors of the equation of motion."""
    laplacian = -start.coupling.copy()
    masses = range(start.mass.shape[1])
    laplacian[:, masses, masses] += start.coupling.sum(axis=-1)
    root = np.sqrt(start.mass)[..., None]
    values, vectors = np.linalg.eigh(laplacian / root / root.transpose(0, 2, 1))
    place = vectors.transpose(0, 2, 1) @ (root * start.position)
    speed = vectors.transpose(0, 2, 1) @ (root * start.velocity)
    omega = np.sqrt(values.clip(1e-12))[..., None, None]
    t = times[:, None]
    modes = np.cos(omega * t) * place[:, :, None] + (
        np.sin(omega * t) / omega * speed[:, :, None]
    )
    return np.einsum("snm,smtd->sntd", vectors, modes) / root[..., None]


def test_springs_follow_the_exact_solution_to_second_order():
    start, times = systems(), np.arange(40) * 0.1
    exact = springs_exactly(start, times)
    errors = [
        np.abs(simulate(start, 40, 0.1, steps).position - exact).max()
        for steps in (4, 8, 16)
    ]
    assert errors[0] < 2e-3
    ratios = np.array(errors[:-1]) / errors[1:]
    np.testing.assert_allclose(ratios, 4, atol=0.1)


@pytest.mark.parametrize("softening", [None, 0.3])
def test_energy_stays_to_second_order(softening):
    start = systems(softening, count=20)
    drifts = [
        np.median(energy_drift(simulate(start, 50, 0.1, steps))) for steps in (10, 20)
    ]
    assert drifts[0] < 1e-3
    assert drifts[0] / drifts[1] == pytest.approx(4, rel=0.1)


def test_energy_does_not_creep_away():
    # A method that is not symplectic, such as Euler's, loses or gains all the time.
    start = systems(count=10)
    frames = simulate(start, 4001, 0.1, 2)
    total = energy(frames)
    early = np.abs(total[:, :401] / total[:, :1] - 1).max(axis=1)
    late = np.abs(total[:, -400:] / total[:, :1] - 1).max(axis=1)
    assert (late < 1.5 * early).all()
    assert (late < 0.01).all()


@pytest.mark.parametrize("softening", [None, 0.3])
def test_energy_equals_a_loop_over_pairs(softening):
    start = systems(softening)
    frames = simulate(start, 5)
    for s in range(3):
        for t in range(5):
            x, v = frames.position[s, :, t], frames.velocity[s, :, t]
            kinetic = sum(start.mass[s, i] * (v[i] ** 2).sum() / 2 for i in range(4))
            potential = 0.0
            for i in range(4):
                for j in range(i):
                    c, r = start.coupling[s, i, j], np.linalg.norm(x[i] - x[j])
                    if softening is None:
                        potential += c * r**2 / 2
                    else:
                        potential -= c / math.hypot(r, softening)
            assert kinetic_energy(frames)[s, t] == pytest.approx(kinetic)
            assert potential_energy(frames)[s, t] == pytest.approx(potential)
    np.testing.assert_allclose(energy(frames)[:, 0], energy(start))
    np.testing.assert_allclose(
        energy(start), kinetic_energy(start) + potential_energy(start)
    )


@pytest.mark.parametrize("softening", [None, 0.3])
def test_energy_of_places_alone(softening):
    frames = simulate(systems(softening), 12, 0.02)
    blind = replace(frames, position=np.nan, velocity=np.nan)
    told = path_energy(blind, frames.position, 0.02)
    np.testing.assert_allclose(told, energy(frames)[:, 2:-2], rtol=0, atol=1e-4)
    # Not so of places that are no motion of these masses.
    wrong = path_energy(blind, frames.position, 0.04)
    assert np.abs(wrong - energy(frames)[:, 2:-2]).min() > 0.05


def test_drift_is_the_largest_deviation_of_any_frame():
    start = systems(0.3, count=1)
    # All attract: the potential energy is negative.
    start = replace(start, coupling=np.abs(start.coupling))
    frames = simulate(start, 3)
    # As if the second frame were of another energy.
    velocity = frames.velocity.copy()
    velocity[:, :, 1] *= 2
    changed = replace(frames, velocity=velocity)
    scale = kinetic_energy(start) + abs(potential_energy(start))
    expected = 3 * kinetic_energy(frames)[:, 1] / scale
    np.testing.assert_allclose(energy_drift(changed), expected, rtol=1e-2)


@pytest.mark.parametrize("softening", [None, 0.3])
@given(seed=st.integers(0, 2**31), masses=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_momentum_stays_without_walls(softening, seed, masses):
    start = systems(softening, masses=masses, seed=seed)
    frames = simulate(start, 20)
    # [S, T, 2]
    momentum = np.einsum("sn,sntd->std", start.mass, frames.velocity)
    np.testing.assert_allclose(momentum, momentum[:, :1].repeat(20, 1), atol=1e-11)
    (x, y), (vx, vy) = (
        np.moveaxis(frames.position, -1, 0),
        np.moveaxis(frames.velocity, -1, 0),
    )
    turning = np.einsum("sn,snt->st", start.mass, x * vy - y * vx)
    np.testing.assert_allclose(turning, turning[:, :1].repeat(20, 1), atol=1e-10)


@pytest.mark.parametrize("softening", [None, 0.3])
@pytest.mark.parametrize("box", [None, 2.5])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_time_runs_backwards_too(softening, box, seed):
    start = systems(softening, seed=seed)
    # A few of all seeds would start outside of the walls.
    start = replace(start, position=start.position.clip(-2.4, 2.4))
    there = simulate(start, 25, 0.1, 5, box)
    last = replace(
        there, position=there.position[:, :, -1], velocity=there.velocity[:, :, -1]
    )
    back = simulate(last, 25, -0.1, 5, box)
    np.testing.assert_allclose(back.position[:, :, ::-1], there.position, atol=1e-8)
    np.testing.assert_allclose(back.velocity[:, :, ::-1], there.velocity, atol=1e-8)


@given(
    place=st.floats(-2, 2),
    speed=st.floats(-100, 100),
    frames=st.integers(2, 5),
)
@settings(max_examples=60, deadline=None)
def test_free_masses_bounce_between_the_walls(place, speed, frames):
    start = Systems(
        np.array([[[place, 0.0]]]),
        np.array([[[speed, 0.0]]]),
        np.zeros((1, 1, 1)),
        np.ones((1, 1)),
    )
    out = simulate(start, frames, 0.5, 2, 2.0)
    assert np.abs(out.position).max() <= 2
    for t in range(frames):
        # A path that comes back is a triangular wave, 8 long for walls at -2 and 2.
        phase = (place + speed * 0.5 * t + 2) % 8
        expected = min(phase, 8 - phase) - 2
        assert out.position[0, 0, t, 0] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(np.abs(out.velocity[..., 0]), abs(speed))


def test_frames_go_on_from_any_frame():
    start = systems(0.3)
    whole = simulate(start, 21, box=2.0)
    middle = replace(
        start, position=whole.position[:, :, 10], velocity=whole.velocity[:, :, 10]
    )
    rest = simulate(middle, 11, box=2.0)
    np.testing.assert_array_equal(rest.position, whole.position[:, :, 10:])


def test_simulations_do_not_depend_on_each_other(monkeypatch):
    start = systems(0.3, count=7)
    whole = simulate(start, 5)
    monkeypatch.setattr(simulator, "CHUNK", 3)
    parts = simulate(start, 5)
    np.testing.assert_array_equal(whole.position, parts.position)
    np.testing.assert_array_equal(whole.velocity, parts.velocity)
    np.testing.assert_array_equal(whole.position[:, :, 0], start.position)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"num_frames": 0}, "`num_frames` to be at least 1, got 0"),
        ({}, {"steps_per_frame": 0}, "`steps_per_frame` to be at least 1, got 0"),
        ({}, {"box": 0.1}, r"start within `box` 0.1, got .* give a larger `box`"),
        ({"softening": 0.0}, {}, "`softening` to be positive, got 0.0"),
    ],
)
def test_wrong_numbers_are_named(changes, arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(replace(systems(), **changes), **({"num_frames": 2} | arguments))


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
