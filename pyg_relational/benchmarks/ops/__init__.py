"""All pairs of a set: our operators against what people write otherwise."""

from pyg_relational.benchmarks.ops.benchmark import run
from pyg_relational.benchmarks.ops.report import summary

__all__ = ["run", "summary"]
