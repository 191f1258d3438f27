"""Benchmarks: each module has ``run(...)``, which `pyg-relational benchmark` calls."""
