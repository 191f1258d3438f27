"""Masses that attract or repel each other in a plane, stepped so that energy stays.

The force on mass i from mass j, and the potential energy of the two, at distance r:

| softening | force | potential |
|---|---|---|
| none | C_ij (x_j - x_i) | C_ij r^2 / 2 |
| s | C_ij (x_j - x_i) / (r^2 + s^2)^(3/2) | -C_ij / (r^2 + s^2)^(1/2) |

The coupling C_ij is the stiffness of a spring of rest length zero, the product of two
charges (negative where they attract) with a minus, or of two masses.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyg_relational._checks import check_int

Array = NDArray[np.float64]
# Simulations at a time: their state stays in the processor's cache.
CHUNK = 500
# A velocity in the middle of five places, exact for polynomials of degree 4.
STENCIL = np.array([1, -8, 0, 8, -1]) / 12
# Of all masses at the start.
SPEED = 0.5
# Masses with gravity.
LIGHTEST, HEAVIEST = 0.5, 1.5


@dataclass(frozen=True)
class Systems:
    """What S simulations of N masses each start from."""

    position: Array  # `[S, N, 2]`, or `[S, N, T, 2]` of T frames
    velocity: Array  # the same shape, per unit of time
    coupling: Array  # `[S, N, N]`, symmetric; positive where two masses attract
    mass: Array  # `[S, N]`, positive
    # Length below which an inverse-square force no longer grows; `None` for springs.
    softening: float | None = None


def simulate(
    start: Systems,
    num_frames: int,
    frame_time: float = 0.1,
    steps_per_frame: int = 10,
    box: float | None = None,
) -> Systems:
    """Returns the frames of all simulations, the start being the first one.

    Velocity Verlet (kick, drift, kick): symplectic, time-reversible and of second
    order; the total momentum is conserved to rounding without walls. Between two
    kicks masses move on straight lines, so that elastic walls mirror them exactly."""
    _check(start, num_frames, steps_per_frame, box)
    count, masses, _ = start.position.shape
    # [2, S, N, T, 2]: positions and velocities
    frames = np.empty((2, count, masses, num_frames, 2))
    for first in range(0, count, CHUNK):
        part = slice(first, first + CHUNK)
        chosen = Systems(
            start.position[part],
            start.velocity[part],
            start.coupling[part],
            start.mass[part],
            start.softening,
        )
        _run(chosen, frames[:, part], frame_time, steps_per_frame, box)
    return replace(start, position=frames[0], velocity=frames[1])


def acceleration(systems: Systems, position: Array) -> Array:
    """Returns the accelerations `[S, N, 2]` of masses at positions `[S, N, 2]`."""
    weight = systems.coupling
    if systems.softening is not None:
        square = _squared_distances(position) + systems.softening**2
        weight = weight / (square * np.sqrt(square))
    # sum_j w_ij (x_j - x_i), the pair (i, i) being 0
    force = weight @ position - weight.sum(axis=-1, keepdims=True) * position
    return force / systems.mass[..., None]


def energy(systems: Systems) -> Array:
    """Returns kinetic plus potential energy, `[S]`, or of T frames `[S, T]`."""
    return kinetic_energy(systems) + potential_energy(systems)


def kinetic_energy(systems: Systems) -> Array:
    """Returns the kinetic energy, `[S]`, or of T frames `[S, T]`."""
    # [S, N, ..., 2] -> [S, N, ...]
    speed = (systems.velocity**2).sum(axis=-1)
    return 0.5 * np.einsum("sn,sn...->s...", systems.mass, speed)


def potential_energy(systems: Systems) -> Array:
    """Returns the potential energy, `[S]`, or of T frames `[S, T]`."""
    total = np.zeros(np.delete(systems.position.shape, [1, -1]))
    # One pair at a time: all of them at once would need N times the memory.
    for i, j in zip(*np.triu_indices(systems.mass.shape[1], k=1), strict=True):
        difference = systems.position[:, i] - systems.position[:, j]
        square = (difference**2).sum(axis=-1)
        # [S] -> [S, 1, ...]
        coupling = systems.coupling[:, i, j].reshape(-1, *[1] * (square.ndim - 1))
        if systems.softening is None:
            total += 0.5 * coupling * square
        else:
            total -= coupling / np.sqrt(square + systems.softening**2)
    return total


def energy_drift(systems: Systems) -> Array:
    """Returns by how much the energy ever differs from that of the first frame, `[S]`.

    It is measured in the first frame's kinetic plus absolute potential energy, since
    the sum of the two may be 0 where masses attract."""
    kinetic, potential = kinetic_energy(systems), potential_energy(systems)
    total = kinetic + potential
    scale = kinetic[:, 0] + np.abs(potential[:, 0])
    return np.abs(total - total[:, :1]).max(axis=1) / scale


def path_energy(systems: Systems, position: Array, frame_time: float) -> Array:
    """Returns the energy `[S, T - 4]` of all frames but the first and last two, with
    velocities that are told from five places in a row."""
    length = position.shape[2] - 4
    velocity = np.zeros_like(position[:, :, 2:-2])
    for first, weight in enumerate(STENCIL):
        velocity += weight / frame_time * position[:, :, first : first + length]
    return energy(replace(systems, position=position[:, :, 2:-2], velocity=velocity))


def _run(
    start: Systems,
    frames: Array,
    frame_time: float,
    steps_per_frame: int,
    box: float | None,
) -> None:
    step = frame_time / steps_per_frame
    position, velocity = start.position.copy(), start.velocity.copy()
    change = acceleration(start, position)
    for frame in range(frames.shape[3]):
        frames[0, :, :, frame], frames[1, :, :, frame] = position, velocity
        if frame == frames.shape[3] - 1:
            break
        for _ in range(steps_per_frame):
            velocity += 0.5 * step * change
            position += step * velocity
            if box is not None:
                mirror(position, velocity, box)
            change = acceleration(start, position)
            velocity += 0.5 * step * change


def mirror(position: Array, velocity: Array, box: float) -> None:
    """Folds straight paths back into the box, in place, however often they met a
    wall."""
    outside = np.abs(position) > box
    if not outside.any():
        return
    # A path through mirrored boxes side by side has the period of two of them.
    phase = (position[outside] + box) % (4 * box)
    turned = phase > 2 * box
    position[outside] = np.where(turned, 4 * box - phase, phase) - box
    velocity[outside] *= np.where(turned, -1, 1)


def _squared_distances(position: Array) -> Array:
    """Returns `[S, N, N]` for positions `[S, N, 2]`."""
    x, y = position[..., 0], position[..., 1]
    across = x[:, :, None] - x[:, None]
    along = y[:, :, None] - y[:, None]
    return np.asarray(across * across + along * along)


def _check(
    start: Systems, num_frames: int, steps_per_frame: int, box: float | None
) -> None:
    check_int("num_frames", num_frames, 1)
    check_int("steps_per_frame", steps_per_frame, 1)
    if start.softening is not None and start.softening <= 0:
        raise ValueError(
            f"Expected `softening` to be positive, got {start.softening}; an "
            "inverse-square force without it is infinite where two masses meet."
        )
    if box is not None and not np.abs(start.position).max(initial=0) <= box:
        raise ValueError(
            f"Expected all masses to start within `box` {box}, got the coordinate "
            f"{np.abs(start.position).max()}; give a larger `box`, or `None`."
        )


@dataclass(frozen=True)
class Force:
    """A force and the settings that it is simulated with."""

    strength: float  # stiffness of a spring, or factor of the inverse-square force
    spread: float  # standard deviation of the coordinates at the start
    softening: float | None  # as in `Systems`
    steps_per_time: int  # integration steps in a unit of time


FORCES = {
    "springs": Force(0.1, 0.5, None, 100),
    "charges": Force(1.0, 1.0, 0.2, 1000),
    "gravity": Force(0.3, 1.0, 0.3, 500),
}


def sample_starts(
    force: str,
    count: int,
    num_masses: int,
    rng: np.random.Generator,
    box: float | None = None,
    trees: bool = False,
) -> tuple[Systems, Array, NDArray[np.bool_]]:
    """Returns starts, the charge or mass `[S, N]` that makes the force, and which
    masses are joined `[S, N, N]`.

    Springs join each pair with probability 1/2. Of charges, which are plus or minus 1,
    those of unlike sign are joined; by gravity, all are. Masses are 1, those with
    gravity uniform between 0.5 and 1.5."""
    settings, size = FORCES[force], (count, num_masses)
    position = rng.normal(0, settings.spread, (*size, 2))
    angle = rng.uniform(0, 2 * np.pi, size)
    velocity = SPEED * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if box is not None:
        mirror(position, velocity, box)
    source: Array = np.ones(size)
    mass: Array = source
    if force == "springs":
        joined = sample_trees(*size, rng) if trees else sample_pairs(*size, rng)
        product = joined.astype(float)
    else:
        if force == "charges":
            source = rng.choice([-1.0, 1.0], size)
            product = -source[:, :, None] * source[:, None]
        else:
            source = mass = rng.uniform(LIGHTEST, HEAVIEST, size)
            product = source[:, :, None] * source[:, None]
        product[:, range(num_masses), range(num_masses)] = 0
        joined = product > 0
    coupling: Array = settings.strength * product
    start = Systems(position, velocity, coupling, mass, settings.softening)
    return start, source, joined


def sample_pairs(
    count: int, num_masses: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Returns symmetric matrices `[S, N, N]` whose pairs are joined by chance 1/2."""
    upper = np.triu(rng.random((count, num_masses, num_masses)) < 0.5, k=1)
    return upper | upper.transpose(0, 2, 1)


def sample_trees(
    count: int, num_masses: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Returns symmetric matrices `[S, N, N]` of separate trees.

    Their number is uniform from 1 to N. So many masses found a tree each; every
    further mass is joined to one of those that are in a tree, all equally likely. Then
    masses are shuffled.
    """
    founders = rng.integers(1, num_masses + 1, count)
    joined = np.zeros((count, num_masses, num_masses), dtype=bool)
    for mass in range(1, num_masses):
        (grown,) = np.nonzero(founders <= mass)
        joined[grown, mass, rng.integers(mass, size=len(grown))] = True
    joined |= joined.transpose(0, 2, 1)
    order = rng.permuted(np.tile(np.arange(num_masses), (count, 1)), axis=1)
    sample = np.arange(count)[:, None, None]
    return joined[sample, order[:, :, None], order[:, None]]


def reachable(joined: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which masses belong to the same system, `[S, N, N]`, themselves too."""
    reach = joined | np.eye(joined.shape[-1], dtype=bool)
    # Paths of twice the length each time.
    for _ in range(max(1, joined.shape[-1] - 1).bit_length()):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    return reach


def count_systems(joined: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns how many systems the masses form, `[S]`."""
    # Each system is counted at its first mass.
    first = reachable(joined).argmax(axis=-1) == np.arange(joined.shape[-1])
    return first.sum(axis=-1)


def centred(start: Systems) -> Systems:
    """Returns starts in which the centre of mass of each system rests at the origin.

    Nothing else changes: systems do not act on each other, and laws of motion are the
    same for a moving observer.
    """
    share = reachable(start.coupling != 0) * start.mass[:, None]
    weight: Array = share / share.sum(axis=-1, keepdims=True)
    return replace(
        start,
        position=start.position - weight @ start.position,
        velocity=start.velocity - weight @ start.velocity,
    )
