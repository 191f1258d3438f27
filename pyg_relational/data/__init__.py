"""Data that changes over time, and how it comes from other forms."""

from pyg_relational.data.temporal import TemporalGraph

__all__ = ["TemporalGraph"]
