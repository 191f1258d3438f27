"""Checks that any relational layer or model must pass, for ours and for yours."""

from pyg_relational.testing.bad_inputs import BAD_INPUTS
from pyg_relational.testing.contract import CHECKS, Part, check_part, random_sets
from pyg_relational.testing.naive import all_pairs, pair_value

__all__ = [
    "BAD_INPUTS",
    "CHECKS",
    "Part",
    "all_pairs",
    "check_part",
    "pair_value",
    "random_sets",
]
