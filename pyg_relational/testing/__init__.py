"""Checks that any relational layer or model must pass, for ours and for yours."""

from pyg_relational.testing.contract import CHECKS, Part, check_part
from pyg_relational.testing.data import random_sets
from pyg_relational.testing.naive import all_pairs, pair_value

__all__ = ["CHECKS", "Part", "all_pairs", "check_part", "pair_value", "random_sets"]
