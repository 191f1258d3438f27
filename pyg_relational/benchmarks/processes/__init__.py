"""One process against two that share each batch: the same losses, in less time?"""

from pyg_relational.benchmarks.processes.benchmark import run, summary

__all__ = ["run", "summary"]
