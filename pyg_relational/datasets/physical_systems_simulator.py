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

Array = NDArray[np.float64]
# Simulations at a time: their state stays in the processor's cache.
CHUNK = 500
# A velocity in the middle of five places, exact for polynomials of degree 4.
STENCIL = np.array([1, -8, 0, 8, -1]) / 12


@dataclass(frozen=True)
class Systems:
    """What S simulations of N masses each start from.

    Args:
        position (ndarray): `[S, N, 2]`, or `[S, N, T, 2]` of T frames.
        velocity (ndarray): The same shape, per unit of time.
        coupling (ndarray): `[S, N, N]`, symmetric; positive where two masses attract.
        mass (ndarray): `[S, N]`, positive.
        softening (float, optional): Length below which an inverse-square force no
            longer grows; `None` for springs. (default: `None`)
    """

    position: Array
    velocity: Array
    coupling: Array
    mass: Array
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
    kicks masses move on straight lines, so that elastic walls mirror them exactly.

    Args:
        start (Systems): The first frame; it may be one that was simulated before.
        num_frames (int): Frames to return, at least 1.
        frame_time (float): Time between two frames; negative goes back in time.
            (default: `0.1`)
        steps_per_frame (int): Integration steps between two frames. (default: `10`)
        box (float, optional): Walls at plus and minus this coordinate; `None` for
            none. (default: `None`)

    Raises:
        ValueError: A number is out of range, or a mass starts outside of the box.
    """
    _check(start, num_frames, steps_per_frame, box)
    count, masses, _ = start.position.shape
    # [2, S, N, T, 2]: positions and velocities
    frames = np.empty((2, count, masses, num_frames, 2))
    for first in range(0, count, CHUNK):
        part = slice(first, first + CHUNK)
        _run(_select(start, part), frames[:, part], frame_time, steps_per_frame, box)
    return Systems(frames[0], frames[1], start.coupling, start.mass, start.softening)


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
    the sum of the two may be 0 where masses attract.

    Args:
        systems (Systems): What :func:`simulate` returned.
    """
    kinetic, potential = kinetic_energy(systems), potential_energy(systems)
    total = kinetic + potential
    scale = kinetic[:, 0] + np.abs(potential[:, 0])
    return np.abs(total - total[:, :1]).max(axis=1) / scale


def path_energy(systems: Systems, position: Array, frame_time: float) -> Array:
    """Returns the energy `[S, T - 4]` of all frames but the first and last two, with
    velocities that are told from five places in a row.

    Args:
        systems (Systems): Masses and coupling; places and velocities are not read.
        position (ndarray): `[S, N, T, 2]`.
        frame_time (float): Time between two frames.
    """
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
    """Folds straight paths back into the box, in place, however often they met a wall.

    Args:
        position (ndarray): Where the paths would be without walls, `[..., 2]`.
        velocity (ndarray): Their velocities, of the same shape.
        box (float): Walls at plus and minus this coordinate.
    """
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


def _select(systems: Systems, part: slice) -> Systems:
    return Systems(
        systems.position[part],
        systems.velocity[part],
        systems.coupling[part],
        systems.mass[part],
        systems.softening,
    )


def _check(
    start: Systems, num_frames: int, steps_per_frame: int, box: float | None
) -> None:
    for name, value in {
        "num_frames": num_frames,
        "steps_per_frame": steps_per_frame,
    }.items():
        if value < 1:
            raise ValueError(f"Expected `{name}` to be at least 1, got {value}.")
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
