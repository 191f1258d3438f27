"""How simulated systems of masses start: places, velocities, and what joins them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyg_relational.datasets.physical_systems_simulator import (
    Array,
    Systems,
    mirror,
)

SPEED = 0.5
LIGHTEST, HEAVIEST = 0.5, 1.5


@dataclass(frozen=True)
class Force:
    """A force and the settings that it is simulated with.

    Args:
        strength (float): Stiffness of a spring, or factor of the inverse-square force.
        spread (float): Standard deviation of the coordinates at the start.
        softening (float, optional): As in `Systems`.
        steps_per_time (int): Integration steps in a unit of time.
    """

    strength: float
    spread: float
    softening: float | None
    steps_per_time: int


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
    gravity uniform between 0.5 and 1.5.

    Args:
        force (str): A name in `FORCES`.
        count (int): Number of simulations S.
        num_masses (int): Number of masses N in each.
        rng (numpy.random.Generator): The random stream.
        box (float, optional): As in `simulate`; who starts outside of the walls is
            mirrored into them. (default: `None`)
        trees (bool): Springs join masses to as many trees as chance will have it, all
            numbers from 1 to N being equally likely. (default: `False`)
    """
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
    return Systems(
        start.position - weight @ start.position,
        start.velocity - weight @ start.velocity,
        start.coupling,
        start.mass,
        start.softening,
    )
