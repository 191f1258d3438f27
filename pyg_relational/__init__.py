"""Relational reasoning for PyTorch Geometric."""

from pyg_relational.version import __version__

__all__ = ["__version__"]
