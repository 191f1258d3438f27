"""Datasets: generators, downloads and their caches."""

from pyg_relational.datasets.sort_of_clevr import SortOfCLEVR
from pyg_relational.datasets.sort_of_clevr_scenes import scene_from_objects

__all__ = ["SortOfCLEVR", "scene_from_objects"]
