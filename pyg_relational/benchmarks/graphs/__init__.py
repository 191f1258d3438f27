"""Graph algorithms learned on small graphs and tested on ever larger ones."""

from pyg_relational.benchmarks.graphs.benchmark import run
from pyg_relational.benchmarks.graphs.report import summary

__all__ = ["run", "summary"]
