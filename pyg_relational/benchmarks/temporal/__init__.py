"""Graphs over time: a batch against loops, and beside PyTorch Geometric Temporal."""

from pyg_relational.benchmarks.temporal.benchmark import run, summary

__all__ = ["run", "summary"]
