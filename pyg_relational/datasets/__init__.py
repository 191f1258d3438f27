"""Datasets: generators, downloads and their caches."""

from pyg_relational.datasets.babi import BAbI
from pyg_relational.datasets.movie_reviews import MovieReviews
from pyg_relational.datasets.nth_farthest import NthFarthest
from pyg_relational.datasets.sort_of_clevr import SortOfCLEVR
from pyg_relational.datasets.sort_of_clevr_scenes import scene_from_objects
from pyg_relational.datasets.stocks import Stocks
from pyg_relational.datasets.sudoku import Sudoku
from pyg_relational.datasets.vocabulary import Vocabulary

__all__ = [
    "BAbI",
    "MovieReviews",
    "NthFarthest",
    "SortOfCLEVR",
    "Stocks",
    "Sudoku",
    "Vocabulary",
    "scene_from_objects",
]
