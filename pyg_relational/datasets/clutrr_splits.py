"""Which CLUTRR chains are for validation, and longer ones to validate on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pyg_relational.datasets.clutrr_files import Chain, Pair

# Of two relations: all of them are needed to learn from.
FACT_LENGTH = 2


def split_chains(
    chains: Sequence[Chain], val_fraction: float, rng: np.random.Generator
) -> tuple[list[Chain], list[Chain]]:
    """Divides chains into training and validation by their sequences of relations.

    Sequences of two relations are all for training.

    Args:
        chains (Sequence[Chain]): The chains.
        val_fraction (float): Share of the longer sequences for validation.
        rng (np.random.Generator): Chooses the sequences.
    """
    longer = sorted({c.types for c in chains if len(c.types) > FACT_LENGTH})
    order = rng.permutation(len(longer))
    held = {longer[k] for k in order[: round(val_fraction * len(longer))]}
    train = [c for c in chains if c.types not in held]
    return train, [c for c in chains if c.types in held]


def composed_pairs(chains: Sequence[Chain]) -> dict[int, list[Pair]]:
    """Returns, for each relation, the sequences of two relations that amount to it.

    Args:
        chains (Sequence[Chain]): Chains, of which those of two relations count.
    """
    found = defaultdict(set)
    for chain in chains:
        if len(chain.types) == FACT_LENGTH:
            found[chain.target].add((chain.types[0], chain.types[1]))
    return {relation: sorted(pairs) for relation, pairs in found.items()}


def lengthened(
    chain: Chain,
    length: int,
    pairs: Mapping[int, Sequence[Pair]],
    rng: np.random.Generator,
) -> Chain:
    """Returns a longer chain with the same answer: again and again, one of its
    relations is replaced by two that amount to it.

    A chain without a relation that can be replaced stays as long as it is.

    Args:
        chain (Chain): A chain from person 0 to 1, to 2, and so on.
        length (int): The number of relations wanted.
        pairs (Mapping): What :func:`composed_pairs` returned.
        rng (np.random.Generator): Chooses relations and pairs.
    """
    types = list(chain.types)
    while len(types) < length:
        places = [k for k, relation in enumerate(types) if relation in pairs]
        if not places:
            break
        place = places[int(rng.integers(len(places)))]
        options = pairs[types[place]]
        types[place : place + 1] = options[int(rng.integers(len(options)))]
    edges = tuple((k, k + 1) for k in range(len(types)))
    return Chain(edges, tuple(types), (0, len(types)), chain.target)
