"""Generating, storing and training on more scenes than have to fit into memory."""

from pyg_relational.benchmarks.on_disk.benchmark import run, summary

__all__ = ["run", "summary"]
