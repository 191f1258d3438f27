"""Readouts of graph networks on OGB's molecules, with equally many parameters."""

from pyg_relational.benchmarks.ogb.benchmark import run
from pyg_relational.benchmarks.ogb.report import summary

__all__ = ["run", "summary"]
