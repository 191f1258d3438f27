"""Datasets: generators, downloads and their caches."""

from pyg_relational.datasets.babi import BAbI
from pyg_relational.datasets.base import GeneratedDataset, StoredDataset
from pyg_relational.datasets.chickenpox import Chickenpox
from pyg_relational.datasets.clutrr import CLUTRR
from pyg_relational.datasets.digit_relations import DigitRelations
from pyg_relational.datasets.embedding_cache import EmbeddingCache
from pyg_relational.datasets.graph_tasks import GraphTasks
from pyg_relational.datasets.movie_reviews import MovieReviews
from pyg_relational.datasets.moving_shapes import MovingShapes
from pyg_relational.datasets.nlvr import NLVR
from pyg_relational.datasets.nth_farthest import NthFarthest
from pyg_relational.datasets.ogb import OGBMolecules
from pyg_relational.datasets.ogb_hiv import MolHIV, scaffold_split
from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset
from pyg_relational.datasets.pedestrians import Pedestrians
from pyg_relational.datasets.physical_systems import (
    PhysicalConnections,
    PhysicalMotion,
    PhysicalSystemCount,
)
from pyg_relational.datasets.scenes import SceneDataset
from pyg_relational.datasets.sick import SICK
from pyg_relational.datasets.sort_of_clevr import (
    SortOfCLEVR,
    SortOfCLEVROnDisk,
    scene_from_objects,
)
from pyg_relational.datasets.stocks import Stocks
from pyg_relational.datasets.sudoku import Sudoku
from pyg_relational.datasets.vocabulary import Vocabulary

__all__ = [
    "CLUTRR",
    "NLVR",
    "SICK",
    "BAbI",
    "Chickenpox",
    "ChunkedOnDiskDataset",
    "DigitRelations",
    "EmbeddingCache",
    "GeneratedDataset",
    "GraphTasks",
    "MolHIV",
    "MovieReviews",
    "MovingShapes",
    "NthFarthest",
    "OGBMolecules",
    "Pedestrians",
    "PhysicalConnections",
    "PhysicalMotion",
    "PhysicalSystemCount",
    "SceneDataset",
    "SortOfCLEVR",
    "SortOfCLEVROnDisk",
    "Stocks",
    "StoredDataset",
    "Sudoku",
    "Vocabulary",
    "scaffold_split",
    "scene_from_objects",
]
